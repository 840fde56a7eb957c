//! What is known of each network, and who of it waits. The rules of slowing down, without waiting for anything.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::digest::Mark;
use super::super::network::Network;
use super::COME_BACK;

/// Mistakes that cost nothing.
const FREE: u32 = 3;

/// The first pause; it doubles with each failure.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: what a person waits at most behind a guesser's address.
const LONGEST: Duration = Duration::from_secs(2);

/// Failures older than this are forgotten.
pub(super) const MEMORY: Duration = Duration::from_secs(5 * 60);

/// So many failures in this time are a ban.
const TOO_MANY: usize = 5;
const WINDOW: Duration = Duration::from_secs(2 * 60);

/// How long it lasts.
pub(super) const BAN: Duration = Duration::from_secs(5 * 60);

/// Mistakes of one network that are known again.
const MISTAKES: usize = 8;

/// Networks that are remembered.
pub(super) const NETWORKS: usize = 4096;

/// Attempts that wait at once: of one network, and of all.
pub(super) const WAITING: usize = 256;
pub(super) const WAITING_ALL: usize = 1024;

/// One network.
pub(super) struct Record {
    public: bool,
    /// Failures in a row, for the pause.
    failures: u32,
    /// When the last few were.
    recent: Vec<Instant>,
    last: Instant,
    /// The last few mistakes.
    mistakes: VecDeque<Mark>,
    banned: Option<Instant>,
    /// No attempt is checked before.
    open_at: Instant,
    /// An attempt is being checked.
    busy: bool,
    /// The last to come stands last.
    waiting: Vec<u64>,
    changed: Arc<Notify>,
    /// Wrong tokens whose answers are held back.
    pub(super) held: usize,
    /// Until when somebody is taken to be guessing at an address that cannot be banned.
    besieged: Option<Instant>,
}

/// What somebody sees who waits.
pub(super) enum Look {
    /// It is their turn.
    Go,
    /// It is nobody's before then.
    At(Instant),
    /// Others come first.
    Later,
    /// They were sent away, and may come back after that time.
    Refused(Duration),
}

/// All networks.
#[derive(Default)]
pub(super) struct Table {
    records: HashMap<IpAddr, Record>,
    waiting: usize,
    tickets: u64,
}

impl Record {
    fn new(public: bool, now: Instant) -> Self {
        Self {
            public,
            failures: 0,
            recent: Vec::new(),
            last: now,
            mistakes: VecDeque::new(),
            banned: None,
            open_at: now,
            busy: false,
            waiting: Vec::new(),
            changed: Arc::default(),
            held: 0,
            besieged: None,
        }
    }

    /// How long a ban still lasts.
    pub(super) fn banned(&self, now: Instant) -> Option<Duration> {
        self.banned.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// How long somebody waits who has failed so often.
    pub(super) fn pause(&self) -> Duration {
        match self.failures.checked_sub(FREE) {
            Some(doublings) => (PAUSE * 2_u32.pow(doublings.min(8))).min(LONGEST),
            None => Duration::ZERO,
        }
    }

    /// Whether this mistake was made a moment ago.
    pub(super) fn knows(&self, mark: Mark) -> bool {
        self.mistakes.contains(&mark)
    }

    /// One more failure. Whether it was one too many.
    pub(super) fn fail(&mut self, mark: Mark, now: Instant) -> bool {
        self.mistakes.truncate(MISTAKES - 1);
        self.mistakes.push_front(mark);
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        self.recent.retain(|at| now.duration_since(*at) < WINDOW);
        self.recent.push(now);
        if self.recent.len() < TOO_MANY {
            return false;
        }
        self.recent.clear();
        if self.public {
            self.banned = Some(now + BAN);
            self.changed.notify_waiters();
        } else {
            self.besieged = Some(now + BAN);
        }
        self.public
    }

    /// Whether somebody guesses there, though it may not be whoever asks.
    pub(super) fn besieged(&self, now: Instant) -> bool {
        self.besieged.is_some_and(|until| now < until)
    }

    fn forget(&mut self, now: Instant) {
        if now.duration_since(self.last) >= MEMORY {
            self.failures = 0;
            self.recent.clear();
            self.mistakes.clear();
        }
    }

    fn is_idle(&self) -> bool {
        !self.busy && self.waiting.is_empty() && self.held == 0
    }

    fn is_clean(&self, now: Instant) -> bool {
        self.is_idle()
            && self.banned(now).is_none()
            && !self.besieged(now)
            && (self.failures == 0 || now >= self.last + MEMORY)
    }
}

impl Table {
    /// What is known of a network.
    pub(super) fn record(&mut self, network: Network, now: Instant) -> &mut Record {
        if self.records.len() >= NETWORKS && !self.records.contains_key(&network.address) {
            self.make_room(now);
        }
        let record = self.records.entry(network.address);
        let record = record.or_insert_with(|| Record::new(network.public, now));
        record.forget(now);
        record
    }

    /// Whether a network has made this mistake already, unless it is banned.
    pub(super) fn knows(&mut self, network: Network, mark: Mark, now: Instant) -> Result<bool, Duration> {
        let Some(record) = self.records.get_mut(&network.address) else { return Ok(false) };
        record.forget(now);
        record.banned(now).map_or_else(|| Ok(record.knows(mark)), Err)
    }

    /// Joins those who wait, as the last to come. Too many: somebody else has to go.
    pub(super) fn queue(&mut self, network: Network, now: Instant) -> (u64, Arc<Notify>) {
        if self.waiting >= WAITING_ALL {
            let largest = self.records.iter().max_by_key(|(_, record)| record.waiting.len());
            if let Some(address) = largest.map(|(address, _)| *address) {
                self.send_away(address);
            }
        }
        if self.records.get(&network.address).is_some_and(|record| record.waiting.len() >= WAITING) {
            self.send_away(network.address);
        }
        self.tickets += 1;
        self.waiting += 1;
        let ticket = self.tickets;
        let record = self.record(network, now);
        record.waiting.push(ticket);
        (ticket, Arc::clone(&record.changed))
    }

    fn send_away(&mut self, address: IpAddr) {
        if let Some(record) = self.records.get_mut(&address)
            && !record.waiting.is_empty()
        {
            record.waiting.remove(0);
            self.waiting -= 1;
            record.changed.notify_waiters();
        }
    }

    /// Whether it is somebody's turn, who takes it if it is.
    pub(super) fn look(&mut self, address: IpAddr, ticket: u64, now: Instant) -> Look {
        let Some(record) = self.records.get_mut(&address) else { return Look::Refused(COME_BACK) };
        if let Some(wait) = record.banned(now) {
            return Look::Refused(wait);
        }
        let Some(at) = record.waiting.iter().position(|waiting| *waiting == ticket) else {
            return Look::Refused(COME_BACK);
        };
        if record.busy || at + 1 < record.waiting.len() {
            return Look::Later;
        }
        if now < record.open_at {
            return Look::At(record.open_at);
        }
        record.busy = true;
        record.waiting.pop();
        self.waiting -= 1;
        Look::Go
    }

    /// Somebody waits no longer. Whether they had not come to their turn, so that the next may be that of another.
    pub(super) fn leave(&mut self, address: IpAddr, ticket: u64) -> bool {
        let Some(record) = self.records.get_mut(&address) else { return false };
        let before = record.waiting.len();
        record.waiting.retain(|waiting| *waiting != ticket);
        let left = before - record.waiting.len();
        self.waiting -= left;
        self.tidy(address);
        left > 0
    }

    /// Whether somebody guesses at an address that cannot be banned.
    pub(super) fn besieged(&self, address: IpAddr, now: Instant) -> bool {
        self.records.get(&address).is_some_and(|record| record.besieged(now))
    }

    /// An attempt was right, or wrong in a certain way. Whether the network is banned now.
    pub(super) fn end(&mut self, address: IpAddr, wrong: Option<Mark>, now: Instant) -> bool {
        let Some(record) = self.records.get_mut(&address) else { return false };
        let Some(mark) = wrong else {
            record.failures = 0;
            // Who was right need not be who was wrong, where everybody has the same address.
            if record.public {
                record.recent.clear();
            }
            record.open_at = now;
            return false;
        };
        let banned = record.fail(mark, now);
        record.open_at = now + record.pause();
        banned
    }

    /// The attempt is over, whatever came of it.
    pub(super) fn free(&mut self, address: IpAddr) {
        if let Some(record) = self.records.get_mut(&address) {
            record.busy = false;
            record.changed.notify_waiters();
        }
        self.tidy(address);
    }

    /// An answer is held back no longer.
    pub(super) fn answered(&mut self, address: IpAddr) {
        if let Some(record) = self.records.get_mut(&address) {
            record.held -= 1;
        }
        self.tidy(address);
    }

    fn tidy(&mut self, address: IpAddr) {
        if self
            .records
            .get(&address)
            .is_some_and(|record| record.is_idle() && record.failures == 0 && record.besieged.is_none())
        {
            self.records.remove(&address);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.records.retain(|_, record| !record.is_clean(now));
        if self.records.len() >= NETWORKS {
            let idle = self.records.iter().filter(|(_, record)| record.is_idle());
            // Who is banned is forgotten last.
            let oldest = idle.min_by_key(|(_, record)| (record.banned(now).is_some(), record.last));
            if let Some(address) = oldest.map(|(address, _)| *address) {
                self.records.remove(&address);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.records.len(), self.waiting)
    }

    #[cfg(test)]
    pub(super) fn clear(&mut self) {
        self.records.clear();
    }
}
