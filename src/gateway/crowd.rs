//! Connection limits. Whoever has not logged in must not take the descriptors and the memory that the services and
//! those who have logged in need, and must not keep anybody out.
//!
//! A connection begins as a *stranger*: nothing on it has shown a session, a token or a password. Strangers share a
//! number of places and a number of bytes; each is charged with what it costs at the stage that it has reached. When
//! either is used up, the newcomer stays and another stranger goes: the oldest idle one of the network that holds most
//! ([`networks`]), and only where none is idle, one that is being answered. A connection that has just begun to be
//! served, and takes no more than others, has a moment to show who uses it: meanwhile the oldest idle one of all goes. A
//! connection that has shown who uses it is *trusted*: it leaves the strangers' account and takes one of the places that
//! strangers never get.
//!
//! Invariants: a newcomer is never refused while an older stranger is there; strangers, trusted connections and those
//! that have been told to go never exceed the descriptors together; a request takes no lock here, but for the first of
//! a connection that is then trusted: what a connection does is noted in atomics, and looked at when one has to go.

mod networks;
mod place;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::Notify;
use tokio::time::Instant;

use networks::{Member, Networks};
pub(crate) use place::{Passage, Permit, Place};

/// More connections are of no use to people, whatever the limit of descriptors.
const MOST: usize = 10_000;

/// Descriptors that no client gets.
const LEFT: u64 = 1024;

/// Fewer are too few, whatever the limit of descriptors.
const FEWEST: usize = 8;

/// Strangers at once.
const STRANGERS: usize = 4096;

/// What all strangers together may cost. Bytes. Under a flood the process takes several times as much: what many short
/// connections leave behind between allocations that are still in use cannot be given back at once.
const BYTES: usize = 20 << 20;

/// Connections to the control socket at once, and what they may cost. Only root and the daemon's user get there.
const CONTROL: usize = 256;
const CONTROL_BYTES: usize = 8 << 20;

/// Connections that have been told to go and are not gone yet.
const LEAVING: usize = 256;

/// How long a newcomer waits for those that were told to go; they have no reason to take this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Requests of strangers at once on one connection: more than a browser has under way before somebody has logged in.
const REQUESTS: usize = 16;

/// How many bytes weigh as much as a connection where networks are compared: what honest connections cost at their
/// different stages must make no difference, what a greedy one costs must.
const WEIGHT: usize = 128 << 10;

/// How long a new connection is spared while there are older ones, from when a thread begins to serve it, which may be
/// late where processors are busy: a request that comes with it has been read by then, also where its client opens
/// several at once. One that takes more bytes than a browser's first request, by TLS and HTTP/2, is not spared.
const GRACE: Duration = Duration::from_millis(500);
const MODEST: usize = 192 << 10;

/// Connections that take about as much as each other are alike where those that take most have to go. More than a
/// handshake takes. Bytes.
const HEAP: usize = 64 << 10;

/// How many of the oldest connections are looked at for one that is not spared: where threads are late, the oldest may
/// be spared as well.
const LOOKED_AT: usize = 64;

/// After so many connections have ended, their memory is given back to the system, and how long that may wait. When no
/// more have ended for some time, what the last ones left behind is given back as well.
const MANY: usize = 200;
const SETTLED: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// How often people are told that strangers are sent away.
const TELL: Duration = Duration::from_secs(60);

/// What a connection costs at each stage: measured, and rounded up. Bytes.
pub(crate) mod cost {
    /// No thread has come to it yet.
    pub(super) const ACCEPTED: usize = 2 << 10;
    /// Nothing has been read: what is added to that.
    pub(super) const SILENT: isize = 6 << 10;
    /// HTTP/1, with a buffer for each direction and a request that is being answered.
    pub(crate) const HTTP1: isize = 40 << 10;
    /// A TLS handshake and what is left of it.
    pub(crate) const TLS: isize = 32 << 10;
    /// HTTP/2 with its tables and its window.
    pub(crate) const HTTP2: isize = 128 << 10;
    /// An answer that the client does not take, in HTTP/1 and in HTTP/2.
    pub(crate) const UNSENT: isize = 128 << 10;
    pub(crate) const UNSENT_HTTP2: isize = 512 << 10;
    /// What two sides say to each other after an upgrade.
    pub(crate) const TUNNEL: isize = 16 << 10;
    /// A request that is being answered beside another one.
    pub(super) const REQUEST: usize = 16 << 10;
    /// The same with a connection to a service.
    pub(super) const PASSED_ON: usize = 32 << 10;
}

/// The connections to some ports, or to a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Inner>);

struct Inner {
    limits: Limits,
    state: Mutex<State>,
    /// One of those that were told to go is gone.
    gone: Notify,
    sent_away: AtomicU64,
    /// Connections that have ended since memory was given back, and that they are many.
    ended: AtomicUsize,
    many_ended: Notify,
    /// Counts moments, and connections.
    clock: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    strangers: usize,
    trusted: usize,
    leaving: usize,
    bytes: usize,
}

#[derive(Default)]
struct State {
    strangers: HashMap<u64, Stranger>,
    /// Those that may go.
    idle: Networks,
    /// Those that were being answered when they would have had to go.
    busy: Networks,
    /// Those that take one heap of bytes or more: the heaviest first, of equals the oldest.
    heavy: BTreeSet<(Reverse<usize>, u64)>,
    places: usize,
    bytes: usize,
    trusted: usize,
    /// Those that were told to go and are there still, with what they cost.
    leaving: HashMap<u64, usize>,
    leaving_bytes: usize,
    told: Option<Instant>,
}

struct Stranger {
    member: Member,
    places: usize,
    bytes: usize,
    activity: Arc<Activity>,
    /// Ends what serves it.
    end: Option<End>,
}

type End = Box<dyn FnOnce() + Send>;

/// What a stranger's connection is doing.
#[derive(Default)]
struct Activity {
    /// Requests that are being answered.
    answering: AtomicUsize,
    /// When the last answer ended.
    answered: AtomicU64,
    /// Whether the connection was moved to the busy ones.
    moved: AtomicBool,
    /// When a thread began to serve the connection; none has begun before.
    served: OnceLock<Instant>,
}

impl Stranger {
    fn weight(&self) -> usize {
        self.places + self.bytes / WEIGHT
    }

    fn is_spared(&self) -> bool {
        self.bytes < MODEST && self.activity.served.get().is_none_or(|since| since.elapsed() < GRACE)
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A host.
    Address(IpAddr),
    /// A user of this machine, where the kernel says which.
    User(Option<u32>),
}

impl Crowd {
    /// The connections that there may be when each costs two descriptors, one for the service that it is passed on to,
    /// and something is left for services and their logs.
    pub(crate) fn of_ports() -> Self {
        let descriptors = descriptors();
        let left = descriptors - (descriptors / 4).min(LEFT);
        let most = usize::try_from(left / 2).unwrap_or(MOST).clamp(FEWEST, MOST);
        let strangers = (most / 2).min(STRANGERS);
        let leaving = (most / 8).min(LEAVING);
        Self::of(Limits { strangers, trusted: most - strangers - leaving, leaving, bytes: BYTES })
    }

    /// Those to the control socket. None of them is trusted more than another one.
    pub(crate) fn of_control() -> Self {
        let most = usize::try_from(descriptors() / 8).unwrap_or(CONTROL).clamp(FEWEST, CONTROL);
        Self::of(Limits { strangers: most, trusted: 0, leaving: most, bytes: CONTROL_BYTES })
    }

    fn of(limits: Limits) -> Self {
        let (sent_away, ended, clock) = Default::default();
        let (state, gone, many_ended) = (Mutex::default(), Notify::new(), Notify::new());
        Self(Arc::new(Inner { limits, state, gone, sent_away, ended, many_ended, clock }))
    }

    /// Gives memory back to the system whenever many connections have ended; without an end.
    pub(crate) async fn give_memory_back(&self) {
        let give_back = async || {
            let _ = tokio::task::spawn_blocking(crate::sys::heap::give_back).await;
        };
        let many_ended = || self.0.many_ended.notified();
        loop {
            many_ended().await;
            let mut more = true;
            while more {
                // The others of the same crowd have ended by then.
                tokio::time::sleep(SETTLED).await;
                give_back().await;
                more = tokio::time::timeout(LAST, many_ended()).await.is_ok();
            }
            give_back().await;
        }
    }

    /// Waits until few enough of those that were told to go are still there. Call it before each new connection.
    pub(crate) async fn room(&self) {
        let waiting = async {
            let full = || {
                let (state, limits) = (self.state(), &self.0.limits);
                state.leaving.len() >= limits.leaving.max(1) || state.leaving_bytes > limits.bytes / 4
            };
            while full() {
                self.0.gone.notified().await;
            }
        };
        // Whatever keeps them, the front door opens again.
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }

    /// A place for a new connection. Another one may have to go for it.
    pub(crate) fn enter(&self, peer: Peer) -> Arc<Place> {
        let path = match peer {
            Peer::Address(address) => networks::of_address(address),
            Peer::User(user) => networks::of_user(user),
        };
        let activity = Arc::<Activity>::default();
        let mut state = self.state();
        let id = self.tick();
        let member = Member { path, since: id, id };
        let known = Arc::clone(&activity);
        let stranger = Stranger { member, places: 1, bytes: cost::ACCEPTED, activity: known, end: None };
        state.places += stranger.places;
        state.bytes += stranger.bytes;
        state.idle.add(member, stranger.weight(), id);
        state.strangers.insert(id, stranger);
        self.settle(state, Some(id));
        Arc::new(Place::new(self.clone(), id, activity))
    }

    /// How many strangers had to go so far.
    pub(crate) fn sent_away(&self) -> u64 {
        self.0.sent_away.load(Relaxed)
    }

    /// Sends strangers away until the others are within the limits; never the newcomer.
    fn settle(&self, mut state: MutexGuard<'_, State>, newcomer: Option<u64>) {
        let limits = &self.0.limits;
        let mut ends = Vec::new();
        let mut sent = 0;
        while state.places > limits.strangers || state.bytes > limits.bytes {
            let Some(id) = state.first_to_go(newcomer, self.tick()) else { break };
            let Some(stranger) = state.leave(id, self.tick()) else { break };
            state.leaving_bytes += stranger.bytes;
            state.leaving.insert(id, stranger.bytes);
            sent += 1;
            ends.extend(stranger.end);
        }
        if sent == 0 {
            return;
        }
        self.0.sent_away.fetch_add(sent, Relaxed);
        let tell = state.told.is_none_or(|told| told.elapsed() > TELL);
        if tell {
            state.told = Some(Instant::now());
        }
        drop(state);
        for end in ends {
            end();
        }
        if tell {
            tracing::warn!(
                "connections without a login take all the room that there is for them; the oldest ones are closed"
            );
        }
    }

    /// Changes what a stranger takes, and sends others away if that is too much. Says whether there is that stranger.
    fn change(&self, id: u64, change: impl FnOnce(&mut Stranger)) -> bool {
        let mut state = self.state();
        let there = state.change(id, self.tick(), change);
        self.settle(state, None);
        there
    }

    fn tick(&self) -> u64 {
        self.0.clock.fetch_add(1, Relaxed) + 1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The stranger that has to go, unless that is the newcomer. What has happened since each was put in its place is
    /// noticed here.
    fn first_to_go(&mut self, newcomer: Option<u64>, now: u64) -> Option<u64> {
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
                    // Where all have just begun, those that take most go first, also while they are being answered:
                    // one that asks for more room would send many away that have hardly any.
                    let heaviest = || self.heavy.iter().map(|(_, id)| *id).find(others);
                    return Some(if spared { heaviest().unwrap_or(id) } else { id });
                }
                stranger.member.since = answered;
            }
            self.idle.remove(before, weight, now);
            let networks = if busy { &mut self.busy } else { &mut self.idle };
            networks.add(stranger.member, weight, now);
        }
        self.busy.first_to_go().filter(others)
    }

    /// The oldest idle one of the network that holds most, or of all where that one has just begun; and whether that
    /// one has just begun as well.
    fn first_idle(&self) -> Option<(u64, bool)> {
        let first = self.idle.first_to_go()?;
        let is_spared = |id: &u64| self.strangers.get(id).is_some_and(Stranger::is_spared);
        if !is_spared(&first) {
            return Some((first, false));
        }
        let oldest = self.idle.oldest().take(LOOKED_AT).find(|id| !is_spared(id));
        Some(oldest.map_or((first, true), |id| (id, false)))
    }

    fn change(&mut self, id: u64, now: u64, change: impl FnOnce(&mut Stranger)) -> bool {
        let Some(stranger) = self.strangers.get_mut(&id) else { return false };
        let (before, places, bytes) = (stranger.weight(), stranger.places, stranger.bytes);
        change(stranger);
        self.places = self.places + stranger.places - places;
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
            let moved = stranger.activity.moved.load(SeqCst);
            let networks = if moved { &mut self.busy } else { &mut self.idle };
            networks.weigh(stranger.member.path, before, after, now);
        }
        true
    }

    /// A busy one is idle again.
    fn calm(&mut self, id: u64, now: u64) {
        let Some(stranger) = self.strangers.get_mut(&id) else { return };
        let (activity, weight) = (&stranger.activity, stranger.weight());
        if activity.answering.load(SeqCst) == 0 && activity.moved.swap(false, SeqCst) {
            self.busy.remove(stranger.member, weight, now);
            stranger.member.since = now;
            self.idle.add(stranger.member, weight, now);
        }
    }

    /// Takes a stranger out of the account.
    fn leave(&mut self, id: u64, now: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&id)?;
        self.heavy.remove(&(Reverse(stranger.bytes / HEAP), id));
        let moved = stranger.activity.moved.load(SeqCst);
        let networks = if moved { &mut self.busy } else { &mut self.idle };
        networks.remove(stranger.member, stranger.weight(), now);
        self.places -= stranger.places;
        self.bytes -= stranger.bytes;
        Some(stranger)
    }
}

fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

#[cfg(test)]
mod tests;
