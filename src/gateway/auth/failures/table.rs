//! The state of each network and its waiting attempts: the rules of the rate limit, without any waiting.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::digest::Fingerprint;
use super::super::network::Network;

/// When a client may try again whose attempt did not get its turn in time.
pub(super) const COME_BACK: Duration = Duration::from_secs(2);

/// Failures without a pause.
const FREE: u32 = 3;

/// The first pause; it doubles with each failure.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest pause. A user behind an attacker's address waits at most this long.
const LONGEST: Duration = Duration::from_secs(2);

/// Failures older than this are forgotten.
pub(super) const MEMORY: Duration = Duration::from_secs(5 * 60);

/// This many failures within this time cause a ban.
const TOO_MANY: usize = 5;
const WINDOW: Duration = Duration::from_secs(2 * 60);

/// How long a ban lasts.
pub(super) const BAN: Duration = Duration::from_secs(5 * 60);

/// How many wrong values are remembered per network.
const MISTAKES: usize = 8;

/// How many networks are remembered.
pub(super) const NETWORKS: usize = 4096;

/// How many attempts wait at the same time: per network, and in total.
pub(super) const WAITING: usize = 256;
pub(super) const WAITING_ALL: usize = 1024;

/// The state of one network.
pub(super) struct Record {
    public: bool,
    /// Failures in a row, for the pause.
    failures: u32,
    /// When the last few failures happened.
    recent: Vec<Instant>,
    last: Instant,
    /// The fingerprints of the last few wrong values.
    mistakes: VecDeque<Fingerprint>,
    banned: Option<Instant>,
    /// No attempt is checked before this time.
    open_at: Instant,
    /// An attempt is being checked.
    busy: bool,
    /// The waiting attempts; the newest is last.
    waiting: Vec<u64>,
    changed: Arc<Notify>,
    /// Wrong tokens whose responses are delayed.
    pub(super) held: usize,
    /// Until when this address is treated as under attack. Only for addresses that cannot be banned.
    under_attack_until: Option<Instant>,
}

/// The state of a waiting attempt.
pub(super) enum Look {
    /// It is the turn of this attempt.
    Go,
    /// No attempt gets a turn before this time.
    At(Instant),
    /// Other attempts come first.
    Later,
    /// Refused. The client may try again after this time.
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
            under_attack_until: None,
        }
    }

    /// The remaining time of a ban.
    pub(super) fn banned(&self, now: Instant) -> Option<Duration> {
        self.banned.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// The pause after this number of failures.
    pub(super) fn pause(&self) -> Duration {
        match self.failures.checked_sub(FREE) {
            Some(doublings) => (PAUSE * 2_u32.pow(doublings.min(8))).min(LONGEST),
            None => Duration::ZERO,
        }
    }

    /// Whether this wrong value was sent a short time ago.
    pub(super) fn knows(&self, fingerprint: Fingerprint) -> bool {
        self.mistakes.contains(&fingerprint)
    }

    /// Counts one more failure. Returns whether it causes a ban.
    pub(super) fn fail(&mut self, fingerprint: Fingerprint, now: Instant) -> bool {
        self.mistakes.truncate(MISTAKES - 1);
        self.mistakes.push_front(fingerprint);
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
            self.under_attack_until = Some(now + BAN);
        }
        self.public
    }

    /// Whether this address is under attack. The client that asks need not be the attacker.
    pub(super) fn is_under_attack(&self, now: Instant) -> bool {
        self.under_attack_until.is_some_and(|until| now < until)
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
            && !self.is_under_attack(now)
            && (self.failures == 0 || now >= self.last + MEMORY)
    }
}

impl Table {
    /// The record of a network.
    pub(super) fn record(&mut self, network: Network, now: Instant) -> &mut Record {
        if self.records.len() >= NETWORKS && !self.records.contains_key(&network.address) {
            self.make_room(now);
        }
        let record = self.records.entry(network.address);
        let record = record.or_insert_with(|| Record::new(network.public, now));
        record.forget(now);
        record
    }

    /// Whether a network has sent this wrong value already. The error is the remaining time of a ban.
    pub(super) fn knows(
        &mut self,
        network: Network,
        fingerprint: Fingerprint,
        now: Instant,
    ) -> Result<bool, Duration> {
        let Some(record) = self.records.get_mut(&network.address) else { return Ok(false) };
        record.forget(now);
        record.banned(now).map_or_else(|| Ok(record.knows(fingerprint)), Err)
    }

    /// Adds a waiting attempt, as the newest. If too many wait, the oldest attempt of a network is refused.
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

    /// Whether it is the turn of this attempt. If so, the attempt takes the turn.
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

    /// Removes a waiting attempt. Returns whether it had not had its turn, so that another attempt may be next.
    pub(super) fn leave(&mut self, address: IpAddr, ticket: u64) -> bool {
        let Some(record) = self.records.get_mut(&address) else { return false };
        let before = record.waiting.len();
        record.waiting.retain(|waiting| *waiting != ticket);
        let left = before - record.waiting.len();
        self.waiting -= left;
        self.tidy(address);
        left > 0
    }

    /// Whether an address is under attack that cannot be banned.
    pub(super) fn is_under_attack(&self, address: IpAddr, now: Instant) -> bool {
        self.records.get(&address).is_some_and(|record| record.is_under_attack(now))
    }

    /// Records that an attempt was right, or wrong with this fingerprint. Returns whether the network is banned now.
    pub(super) fn end(&mut self, address: IpAddr, wrong: Option<Fingerprint>, now: Instant) -> bool {
        let Some(record) = self.records.get_mut(&address) else { return false };
        let Some(fingerprint) = wrong else {
            record.failures = 0;
            // Clients that share an address need not be the same user: the failures of an attacker are kept.
            if record.public {
                record.recent.clear();
            }
            record.open_at = now;
            return false;
        };
        let banned = record.fail(fingerprint, now);
        record.open_at = now + record.pause();
        banned
    }

    /// Ends the attempt, whatever its result.
    pub(super) fn free(&mut self, address: IpAddr) {
        if let Some(record) = self.records.get_mut(&address) {
            record.busy = false;
            record.changed.notify_waiters();
        }
        self.tidy(address);
    }

    /// A delayed response was sent.
    pub(super) fn answered(&mut self, address: IpAddr) {
        if let Some(record) = self.records.get_mut(&address) {
            record.held -= 1;
        }
        self.tidy(address);
    }

    fn tidy(&mut self, address: IpAddr) {
        if self.records.get(&address).is_some_and(|record| {
            record.is_idle() && record.failures == 0 && record.under_attack_until.is_none()
        }) {
            self.records.remove(&address);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.records.retain(|_, record| !record.is_clean(now));
        if self.records.len() >= NETWORKS {
            let idle = self.records.iter().filter(|(_, record)| record.is_idle());
            // A banned network is removed last.
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
