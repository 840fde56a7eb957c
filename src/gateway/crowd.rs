//! Connection limits, in total and per client network. Clients without a login must not take the descriptors and the
//! memory that the services and the logged-in clients need, and must not keep other clients out.
//!
//! A connection begins as an *untrusted* one (`Stranger`): no request on it has had a session, a token or a password.
//! Untrusted connections share a number of connection slots and a number of bytes; each is charged with what it costs
//! at the stage that it has reached. When either limit is reached, the new connection stays and another untrusted one
//! is closed: the oldest idle one of the network that holds most ([`networks`]), and only if none is idle, one that is
//! being answered. A connection that is new, and takes no more than usual, has a short time to authenticate: meanwhile
//! the oldest idle connection of all is closed. After a request has authenticated, its connection is *trusted*: it
//! leaves the account of the untrusted connections and takes one of the slots that untrusted connections never get.
//!
//! Invariants: a new connection is never refused while an older untrusted one exists; untrusted connections, trusted
//! ones and those that were told to end never exceed the descriptors together; a request takes no lock here, except the
//! first one of a connection that then becomes trusted: the activity of a connection is recorded in atomics, which are
//! read when a connection has to be closed.

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

/// The largest number of connections, whatever the limit of descriptors.
const MOST: usize = 10_000;

/// Descriptors that are reserved, and not used for clients.
const LEFT: u64 = 1024;

/// The smallest number of connections, whatever the limit of descriptors.
const FEWEST: usize = 8;

/// The limit of untrusted connections.
const STRANGERS: usize = 4096;

/// What all untrusted connections together may cost. Bytes. During a flood the process takes several times as much: the
/// memory that many short connections leave free, between allocations that are still in use, cannot be returned to the
/// system at once.
const BYTES: usize = 20 << 20;

/// The limit of connections to the control socket, and what they may cost. Only root and the daemon's user can open it.
const CONTROL: usize = 256;
const CONTROL_BYTES: usize = 8 << 20;

/// The limit of connections that were told to end and are still open.
const LEAVING: usize = 256;

/// How long a new connection waits for those that were told to end. They normally end sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// The limit of concurrent requests on one untrusted connection: more than a browser sends before the user has logged
/// in.
const REQUESTS: usize = 16;

/// How many bytes have the same weight as a connection when networks are compared: the normal cost of a connection at
/// its stages must make no difference, the cost of a connection that takes too much must.
const WEIGHT: usize = 128 << 10;

/// How long a new connection is spared while there are older ones. The time starts when a thread begins to serve the
/// connection, which may be late when processors are busy: the first request has been read within this time, even if a
/// client opens several connections at once. A connection that takes more bytes than the first request of a browser, by
/// TLS and HTTP/2, is not spared.
const GRACE: Duration = Duration::from_millis(500);
const MODEST: usize = 192 << 10;

/// The step in which connections are compared by their bytes, when those that take most are closed first. It is more
/// than a handshake takes. Bytes.
const HEAP: usize = 64 << 10;

/// How many of the oldest connections are searched for one that is not spared: if threads are late, the oldest ones may
/// be spared as well.
const LOOKED_AT: usize = 64;

/// After this number of connections have ended, their memory is returned to the system; and how long this waits. If no
/// more have ended for the time `LAST`, the memory that the last ones left is returned as well.
const MANY: usize = 200;
const SETTLED: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// How often the log says that untrusted connections are closed.
const TELL: Duration = Duration::from_secs(60);

/// What a connection costs at each stage: measured, and rounded up. Bytes.
pub(crate) mod cost {
    /// No thread serves it yet.
    pub(super) const ACCEPTED: usize = 2 << 10;
    /// Nothing has been read yet: the cost in addition to `ACCEPTED`.
    pub(super) const SILENT: isize = 6 << 10;
    /// HTTP/1, with a buffer for each direction and a request that is being answered.
    pub(crate) const HTTP1: isize = 40 << 10;
    /// A TLS handshake, and the TLS state after it.
    pub(crate) const TLS: isize = 32 << 10;
    /// HTTP/2 with its tables and its window.
    pub(crate) const HTTP2: isize = 128 << 10;
    /// A response that the client does not read, in HTTP/1 and in HTTP/2.
    pub(crate) const UNSENT: isize = 128 << 10;
    pub(crate) const UNSENT_HTTP2: isize = 512 << 10;
    /// The data of an upgraded connection.
    pub(crate) const TUNNEL: isize = 16 << 10;
    /// A further request that is being answered at the same time.
    pub(super) const REQUEST: usize = 16 << 10;
    /// The same, with a connection to a service.
    pub(super) const PASSED_ON: usize = 32 << 10;
}

/// The limits of the connections to a set of ports, or to a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Inner>);

struct Inner {
    limits: Limits,
    state: Mutex<State>,
    /// Notified when a connection that was told to end has ended.
    gone: Notify,
    sent_away: AtomicU64,
    /// How many connections have ended since memory was returned to the system, and the notification that they are
    /// many.
    ended: AtomicUsize,
    many_ended: Notify,
    /// A logical clock. Its values are also the ids of connections.
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
    /// Connections that may be closed.
    idle: Networks,
    /// Connections that were being answered when it was their turn to be closed.
    busy: Networks,
    /// Connections that take at least [`HEAP`] bytes: the heaviest first, the oldest first among equals.
    heavy: BTreeSet<(Reverse<usize>, u64)>,
    places: usize,
    bytes: usize,
    trusted: usize,
    /// Connections that were told to end and are still open, with their cost.
    leaving: HashMap<u64, usize>,
    leaving_bytes: usize,
    told: Option<Instant>,
}

struct Stranger {
    member: Member,
    places: usize,
    bytes: usize,
    activity: Arc<Activity>,
    /// Ends the task that serves it.
    end: Option<End>,
}

type End = Box<dyn FnOnce() + Send>;

/// The activity of an untrusted connection.
#[derive(Default)]
struct Activity {
    /// Requests that are being answered.
    answering: AtomicUsize,
    /// When the last answer ended.
    answered: AtomicU64,
    /// Whether the connection was moved to `busy`.
    moved: AtomicBool,
    /// When a thread began to serve the connection; empty before that.
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

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A host.
    Address(IpAddr),
    /// A user of this machine, if the kernel reports which.
    User(Option<u32>),
}

impl Crowd {
    /// The limits for the gateway ports. Each connection is taken as two descriptors, one of them for the connection to
    /// a service, and some descriptors are reserved for services and their logs.
    pub(crate) fn of_ports() -> Self {
        let descriptors = descriptors();
        let left = descriptors - (descriptors / 4).min(LEFT);
        let most = usize::try_from(left / 2).unwrap_or(MOST).clamp(FEWEST, MOST);
        let strangers = (most / 2).min(STRANGERS);
        let leaving = (most / 8).min(LEAVING);
        Self::of(Limits { strangers, trusted: most - strangers - leaving, leaving, bytes: BYTES })
    }

    /// The limits for the control socket. None of its connections is trusted.
    pub(crate) fn of_control() -> Self {
        let most = usize::try_from(descriptors() / 8).unwrap_or(CONTROL).clamp(FEWEST, CONTROL);
        Self::of(Limits { strangers: most, trusted: 0, leaving: most, bytes: CONTROL_BYTES })
    }

    fn of(limits: Limits) -> Self {
        let (sent_away, ended, clock) = Default::default();
        let (state, gone, many_ended) = (Mutex::default(), Notify::new(), Notify::new());
        Self(Arc::new(Inner { limits, state, gone, sent_away, ended, many_ended, clock }))
    }

    /// Returns memory to the system whenever many connections have ended. Never returns.
    pub(crate) async fn give_memory_back(&self) {
        let give_back = async || {
            let _ = tokio::task::spawn_blocking(crate::sys::heap::give_back).await;
        };
        let many_ended = || self.0.many_ended.notified();
        loop {
            many_ended().await;
            let mut more = true;
            while more {
                // The other connections of the same flood have ended by then.
                tokio::time::sleep(SETTLED).await;
                give_back().await;
                more = tokio::time::timeout(LAST, many_ended()).await.is_ok();
            }
            give_back().await;
        }
    }

    /// Waits until few enough of the connections that were told to end are still open. Call it before each new
    /// connection.
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
        // After the timeout new connections are accepted again, even if these have not ended.
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }

    /// Takes a connection slot for a new connection. Another connection may be closed for it.
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

    /// How many untrusted connections were closed so far because of the limits.
    pub(crate) fn sent_away(&self) -> u64 {
        self.0.sent_away.load(Relaxed)
    }

    /// Closes untrusted connections until the remaining ones are within the limits; never the new one.
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
                "connections without a login have reached their limit; the oldest ones are closed"
            );
        }
    }

    /// Changes what an untrusted connection takes, and closes other ones if that is too much. Returns whether there is
    /// an untrusted connection with this id.
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
    /// The untrusted connection that has to be closed, unless it is the new one. The order of connections is updated
    /// here, from the activity that was recorded in the meantime.
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
                    // If all of them are new, those that take most are closed first, even while they are being
                    // answered: otherwise one that asks for more bytes would close many that take almost none.
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

    /// The oldest idle connection of the network that holds most; if that one is new, the oldest idle connection of all
    /// that is not new. The second value says whether the returned connection is itself new.
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

    /// Moves a busy connection back to the idle ones.
    fn calm(&mut self, id: u64, now: u64) {
        let Some(stranger) = self.strangers.get_mut(&id) else { return };
        let (activity, weight) = (&stranger.activity, stranger.weight());
        if activity.answering.load(SeqCst) == 0 && activity.moved.swap(false, SeqCst) {
            self.busy.remove(stranger.member, weight, now);
            stranger.member.since = now;
            self.idle.add(stranger.member, weight, now);
        }
    }

    /// Removes a connection from the account of the untrusted ones.
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
