//! The account of the untrusted connections: what each of them takes, and which one is closed first. No waiting, no I/O.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::networks::{Member, Networks};

/// How many bytes have the same weight as a connection when networks are compared: the normal cost of a connection at
/// its stages must make no difference, the cost of a connection that takes too much must.
const WEIGHT: usize = 128 << 10;

/// How long a new connection is spared while there are older ones. The time starts when a thread begins to serve the
/// connection, which may be late when processors are busy: the first request has been read within this time, even if a
/// client opens several connections at once. A connection that takes more bytes than the first request of a browser, by
/// TLS and HTTP/2, is not spared.
pub(super) const GRACE: Duration = Duration::from_millis(500);
pub(super) const MODEST: usize = 192 << 10;

/// How long a new connection is spared while all are new, as in the first moment of a flood: one that was served for
/// this long and has sent no request is closed before a newer one of the network that holds most.
pub(super) const SHORT: Duration = Duration::from_millis(100);

/// The step in which connections are compared by their bytes, when those that take most are closed first. It is more
/// than a handshake takes. Bytes.
const HEAP: usize = 64 << 10;

/// How many of the oldest connections are searched for one that is not spared: if threads are late, the oldest ones may
/// be spared as well.
const LOOKED_AT: usize = 64;

/// The places of [`State::networks`].
pub(super) const IDLE: usize = 0;
pub(super) const BUSY: usize = 1;

#[derive(Default)]
pub(super) struct State {
    pub(super) strangers: HashMap<u64, Stranger>,
    /// Connections that may be closed, and after them those that were being answered when it was their turn.
    pub(super) networks: [Networks; 2],
    /// Connections that take at least [`HEAP`] bytes: the heaviest first, the oldest first among equals.
    pub(super) heavy: BTreeSet<(Reverse<usize>, u64)>,
    pub(super) slots: usize,
    pub(super) bytes: usize,
    pub(super) trusted: usize,
    /// Connections that were told to end and are still open, with their cost.
    pub(super) leaving: HashMap<u64, usize>,
    pub(super) leaving_bytes: usize,
    pub(super) told: Option<Instant>,
}

pub(super) struct Stranger {
    pub(super) member: Member,
    pub(super) slots: usize,
    pub(super) bytes: usize,
    pub(super) activity: Arc<Activity>,
    /// Ends the task that serves it.
    pub(super) end: Option<End>,
}

pub(super) type End = Box<dyn FnOnce() + Send>;

/// The activity of an untrusted connection.
#[derive(Default)]
pub(super) struct Activity {
    /// Requests that are being answered.
    pub(super) answering: AtomicUsize,
    /// When the last answer ended.
    pub(super) answered: AtomicU64,
    /// Whether the connection was moved to [`BUSY`].
    pub(super) moved: AtomicBool,
    /// When a thread began to serve the connection; empty before that.
    pub(super) served: OnceLock<Instant>,
}

impl Stranger {
    pub(super) fn weight(&self) -> usize {
        self.slots + self.bytes / WEIGHT
    }

    /// In which of [`State::networks`] it is.
    fn place(&self) -> usize {
        usize::from(self.activity.moved.load(SeqCst))
    }

    /// Whether it is spared as a new one, if new ones are spared for this long.
    fn is_spared(&self, grace: Duration) -> bool {
        self.bytes < MODEST && self.activity.served.get().is_none_or(|since| since.elapsed() < grace)
    }
}

impl State {
    /// The untrusted connection that has to be closed, unless it is the new one. The order of connections is updated
    /// here, from the activity that was recorded in the meantime.
    pub(super) fn first_to_go(&mut self, newcomer: Option<u64>, now: u64) -> Option<u64> {
        let others = |id: &u64| Some(*id) != newcomer;
        while let Some((id, spared)) = self.first_idle().filter(|(id, _)| others(id)) {
            let stranger = self.strangers.get_mut(&id)?;
            let (activity, weight, before) = (&stranger.activity, stranger.weight(), stranger.member);
            activity.moved.store(true, SeqCst);
            let busy = activity.answering.load(SeqCst) > 0;
            let answered = activity.answered.load(Relaxed);
            if !busy {
                activity.moved.store(false, SeqCst);
                if answered <= before.since {
                    // If all of them are new, those that take most are closed first, even while they are being
                    // answered: otherwise one that asks for more bytes would close many that take almost none.
                    let heaviest = || self.heavy.iter().map(|(_, id)| *id).find(others);
                    // A client whose first request was not read yet does not make room for a larger crowd that is
                    // being answered.
                    let crowd = || {
                        let [idle, busy] = self.networks.each_ref().map(Networks::largest);
                        let larger = busy.0 > idle.0 && busy.1 != before.path[0];
                        larger.then(|| self.networks[BUSY].first_to_go()).flatten().filter(others)
                    };
                    let heaviest = if spared { heaviest() } else { None };
                    let is_new = spared || answered == 0;
                    return heaviest.or_else(|| if is_new { crowd() } else { None }).or(Some(id));
                }
                stranger.member.since = answered;
            }
            self.networks[IDLE].remove(before, weight, now);
            self.networks[usize::from(busy)].add(stranger.member, weight, now);
        }
        self.networks[BUSY].first_to_go().filter(others)
    }

    /// The oldest idle connection of the network that holds most; if that one is new, the oldest idle connection of all
    /// that is not new, or not as new. The second value says whether the returned connection is itself new.
    fn first_idle(&self) -> Option<(u64, bool)> {
        let first = self.networks[IDLE].first_to_go()?;
        for (grace, is_new) in [(GRACE, false), (SHORT, true)] {
            let is_spared = |id: &u64| self.strangers.get(id).is_some_and(|known| known.is_spared(grace));
            if !is_spared(&first) {
                return Some((first, is_new));
            }
            if let Some(id) = self.networks[IDLE].oldest().take(LOOKED_AT).find(|id| !is_spared(id)) {
                return Some((id, is_new));
            }
        }
        Some((first, true))
    }

    pub(super) fn change(&mut self, id: u64, now: u64, change: impl FnOnce(&mut Stranger)) -> bool {
        let Some(stranger) = self.strangers.get_mut(&id) else { return false };
        let (before, slots, bytes) = (stranger.weight(), stranger.slots, stranger.bytes);
        change(stranger);
        self.slots = self.slots + stranger.slots - slots;
        self.bytes = self.bytes + stranger.bytes - bytes;
        let heaps = stranger.bytes / HEAP;
        if bytes / HEAP != heaps {
            self.heavy.remove(&(Reverse(bytes / HEAP), id));
            if heaps > 0 {
                self.heavy.insert((Reverse(heaps), id));
            }
        }
        let after = stranger.weight();
        if before != after {
            self.networks[stranger.place()].weigh(stranger.member.path, before, after, now);
        }
        true
    }

    /// Moves a busy connection back to the idle ones.
    pub(super) fn calm(&mut self, id: u64, now: u64) {
        let Some(stranger) = self.strangers.get_mut(&id) else { return };
        let (activity, weight) = (&stranger.activity, stranger.weight());
        if activity.answering.load(SeqCst) == 0 && activity.moved.swap(false, SeqCst) {
            self.networks[BUSY].remove(stranger.member, weight, now);
            stranger.member.since = now;
            self.networks[IDLE].add(stranger.member, weight, now);
        }
    }

    /// Removes a connection from the account of the untrusted ones.
    pub(super) fn leave(&mut self, id: u64, now: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&id)?;
        self.heavy.remove(&(Reverse(stranger.bytes / HEAP), id));
        self.networks[stranger.place()].remove(stranger.member, stranger.weight(), now);
        self.slots -= stranger.slots;
        self.bytes -= stranger.bytes;
        Some(stranger)
    }
}
