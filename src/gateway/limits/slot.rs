//! Connection slots: what one connection takes from the limits while it is open.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::account::ConnectionLimits;
use super::cost;
use super::state::{Activity, Stranger};

/// The limit of concurrent requests on one untrusted connection: more than a browser sends before the user has logged
/// in.
pub(super) const REQUESTS: usize = 16;

/// After this number of connections have ended, their memory is returned to the system.
const MANY: usize = 200;

/// The slot of one connection. Dropping it frees the slot.
pub(crate) struct ConnectionSlot {
    limits: ConnectionLimits,
    id: u64,
    trusted: AtomicBool,
    activity: Arc<Activity>,
    /// Unauthenticated requests that are being answered.
    requests: AtomicUsize,
    /// Requests that are being forwarded to a service.
    forwarding: AtomicUsize,
}

/// A permit to answer a request without credentials, or to forward a request: for as long as this is held.
pub(crate) struct Permit {
    slot: Arc<ConnectionSlot>,
    kind: Kind,
    /// What the request takes in addition to its connection.
    bytes: usize,
    slots: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The client is the one that has to act.
    Waiting,
    /// The gateway is the one that has to act.
    Busy,
    /// A service is; it takes a connection to the service.
    Forward,
}

impl ConnectionSlot {
    pub(super) fn new(limits: ConnectionLimits, id: u64, activity: Arc<Activity>) -> Self {
        let (trusted, requests, forwarding) = Default::default();
        Self { limits, id, trusted, activity, requests, forwarding }
    }

    /// Records that a thread begins to serve the connection.
    pub(crate) fn begin(&self) {
        if self.activity.served.set(Instant::now()).is_ok() {
            self.charge(cost::SILENT);
        }
    }

    /// Sets the task that serves the connection. It is aborted when the connection has to be closed.
    pub(crate) fn served_by(&self, task: AbortHandle) {
        self.ended_by(move || task.abort());
    }

    /// Sets the function that ends the connection when it has to be closed.
    pub(crate) fn ended_by(&self, end: impl FnOnce() + Send + 'static) {
        if self.is_trusted() {
            return;
        }
        let mut state = self.limits.state();
        match state.strangers.get_mut(&self.id) {
            Some(stranger) => {
                let before = stranger.end.replace(Box::new(end));
                drop(state);
                drop(before);
            }
            None if self.is_trusted() => {}
            // It was already told to end.
            None => {
                drop(state);
                end();
            }
        }
    }

    /// Makes the connection trusted, after a request with a session, a token or a password. If there are too many
    /// trusted connections it remains untrusted, and is served as such.
    pub(crate) fn trust(&self) {
        if self.is_trusted() {
            return;
        }
        let mut state = self.limits.state();
        let taken = state.strangers.get(&self.id).map(|stranger| stranger.slots);
        let Some(taken) = taken.filter(|taken| state.trusted + taken <= self.limits.0.max.trusted) else {
            return;
        };
        let stranger = state.leave(self.id, self.limits.tick());
        state.trusted += taken;
        self.trusted.store(true, SeqCst);
        drop(state);
        drop(stranger);
    }

    /// Whether a request on this connection has authenticated.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted.load(Relaxed)
    }

    /// Changes the cost of the connection by this number of bytes.
    pub(crate) fn charge(&self, bytes: isize) {
        if bytes != 0 && !self.is_trusted() {
            let change = |stranger: &mut Stranger| {
                stranger.bytes = stranger.bytes.saturating_add_signed(bytes);
            };
            self.limits.change(self.id, change);
        }
    }

    /// A permit to answer a request without credentials, unless its connection has too many of them. `busy`: the
    /// gateway is the one that has to act, and the connection is among the last to be closed.
    pub(crate) fn permit(self: &Arc<Self>, busy: bool) -> Option<Permit> {
        let others = self.requests.fetch_add(1, Relaxed);
        if busy {
            self.activity.answering.fetch_add(1, SeqCst);
        }
        // Dropping it takes back what was counted.
        let mut permit = Permit::new(self, if busy { Kind::Busy } else { Kind::Waiting });
        if others > 0 && !self.is_trusted() {
            permit.take(cost::REQUEST, 0);
        }
        (others < REQUESTS || self.is_trusted()).then_some(permit)
    }

    /// A permit to forward a request. A slot includes one forwarded request at a time; on a connection with many
    /// concurrent requests each further one takes as much as a separate connection.
    pub(crate) fn forward_permit(self: &Arc<Self>) -> Option<Permit> {
        let first = self.forwarding.fetch_add(1, Relaxed) == 0;
        // Dropping it takes back what was counted.
        let mut permit = Permit::new(self, Kind::Forward);
        // What the connection took as an untrusted one was moved with it when it became trusted.
        if !first && !permit.take(cost::PASSED_ON, 1) && self.is_trusted() {
            let mut state = self.limits.state();
            if state.trusted >= self.limits.0.max.trusted {
                return None;
            }
            state.trusted += 1;
            permit.slots = 1;
        }
        Some(permit)
    }
}

impl Permit {
    fn new(slot: &Arc<ConnectionSlot>, kind: Kind) -> Self {
        Self { slot: Arc::clone(slot), kind, bytes: 0, slots: 0 }
    }

    /// Takes more from the account of the untrusted connections, unless the connection is not in it.
    fn take(&mut self, bytes: usize, slots: usize) -> bool {
        let take = |stranger: &mut Stranger| {
            stranger.bytes += bytes;
            stranger.slots += slots;
        };
        let taken = self.slot.limits.change(self.slot.id, take);
        if taken {
            (self.bytes, self.slots) = (bytes, slots);
        }
        taken
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        if self.limits.0.ended.fetch_add(1, Relaxed) == MANY {
            self.limits.0.ended.store(0, Relaxed);
            self.limits.0.many_ended.notify_one();
        }
        let mut state = self.limits.state();
        if self.is_trusted() {
            state.trusted -= 1;
            return;
        }
        let stranger = state.leave(self.id, self.limits.tick());
        if stranger.is_none() {
            state.leaving_bytes -= state.leaving.remove(&self.id).unwrap_or(0);
        }
        drop(state);
        if stranger.is_none() {
            self.limits.0.gone.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let ConnectionSlot { limits, id, activity, requests, forwarding, .. } = &*self.slot;
        let count = if self.kind == Kind::Forward { forwarding } else { requests };
        count.fetch_sub(1, Relaxed);
        if self.kind == Kind::Busy {
            activity.answered.store(limits.0.clock.load(Relaxed), Relaxed);
            if activity.answering.fetch_sub(1, SeqCst) == 1 && activity.moved.load(SeqCst) {
                limits.state().calm(*id, limits.tick());
            }
        }
        if (self.bytes, self.slots) == (0, 0) {
            return;
        }
        let mut state = limits.state();
        if self.slot.is_trusted() {
            state.trusted -= self.slots;
            return;
        }
        let give_back = |stranger: &mut Stranger| {
            stranger.bytes -= self.bytes;
            stranger.slots -= self.slots;
        };
        state.change(*id, limits.tick(), give_back);
    }
}
