//! Timeouts for slow and idle clients. The clock is read only when a deadline has come, and not for every request.
//!
//! Invariants: a connection without a request and without a response rests, so that it costs little, and is closed
//! after a while; a response may take as long as the service takes, but a client that does not read it has a time
//! limit; a request head that has begun has to be complete soon. Clients without a login get less time than
//! authenticated ones.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gateway::limits::{ConnectionSlot, Permit, cost};

/// A request's head has to arrive within this time.
const HEAD: Duration = Duration::from_secs(30);

/// The same for a client without a login. For the first head the time starts with the connection.
pub(crate) const FIRST: Duration = Duration::from_secs(10);

/// How long a connection may stay open without a request, or without reading anything of its responses.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// How long a connection without a login may stay open without a request.
const IDLE_STRANGER: Duration = Duration::from_secs(20);

/// A connection that is idle for this long releases what it needs only during a request.
pub(crate) const REST: Duration = Duration::from_secs(2);

/// So many responses at once on one connection are part of its own cost: more than a browser asks for before its user has
/// logged in.
const STEP: u32 = 16;

/// What happens to a client that does not read its responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stalls {
    /// It gets the time of an idle client, and then its connection ends.
    End,
    /// It may wait: a user may read the output of a command page by page.
    Stay,
}

/// The position of a client within its stream of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between two requests.
    Between,
    /// In a request head.
    Head,
    /// In a request body, or after the last request.
    Body,
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing, until this time.
    Again(Instant),
    /// The connection can rest: what it needs only during a request can be released.
    Rest,
    /// The client has taken too long.
    End,
}

/// How long a client may send no request.
pub(crate) fn idle(slot: &ConnectionSlot) -> Duration {
    if slot.is_trusted() { IDLE } else { IDLE_STRANGER }
}

/// The activity of one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ConnectionTimeouts(Arc<Inner>);

struct Inner {
    stalls: Stalls,
    slot: Arc<ConnectionSlot>,
    state: Mutex<State>,
    /// Whether the client does not read what was written.
    unsent: AtomicBool,
    /// Responses with data that the client has to read before there can be more.
    untaken: AtomicU32,
    /// Whether a response has made progress since the last check.
    moved: AtomicBool,
}

struct State {
    /// Requests that are being answered.
    answering: u32,
    phase: Phase,
    /// Since when the current head is awaited.
    head: Option<Instant>,
    /// Since when the connection is idle.
    idle: Instant,
    /// Since when no response makes progress because of the client.
    stalled: Option<Instant>,
    /// For how many responses the connection was charged, in steps of [`STEP`].
    charged: u32,
}

impl State {
    /// By how many bytes the cost of the connection has changed since the last call: a client that asks for much at once,
    /// and reads nothing, keeps all these responses here. Steps, and one of them down later than up, so that few requests
    /// change anything.
    fn change_of_cost(&mut self) -> isize {
        let steps = self.answering / STEP;
        let charged =
            if steps > self.charged { steps } else { self.charged.min((self.answering + STEP / 2) / STEP) };
        let change = i64::from(charged) - i64::from(self.charged);
        self.charged = charged;
        isize::try_from(change * i64::from(STEP)).unwrap_or(0) * cost::RESPONSE
    }
}

impl ConnectionTimeouts {
    /// The timeouts of a connection whose next head is awaited from now on.
    pub(crate) fn new(stalls: Stalls, slot: Arc<ConnectionSlot>) -> Self {
        let now = Instant::now();
        let state =
            State { answering: 0, phase: Phase::Head, head: Some(now), idle: now, stalled: None, charged: 0 };
        let (unsent, untaken, moved) = Default::default();
        Self(Arc::new(Inner { stalls, slot, state: Mutex::new(state), unsent, untaken, moved }))
    }

    /// The connection slot.
    pub(crate) fn slot(&self) -> &Arc<ConnectionSlot> {
        &self.0.slot
    }

    /// Records that data has come, and at which position it ends.
    pub(crate) fn at(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        if phase != Phase::Head {
            state.head = None;
        } else if state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// Records whether the client does not read what is written.
    pub(crate) fn unsent(&self, unsent: bool) {
        self.0.unsent.store(unsent, Relaxed);
    }

    /// Records that a request has come. The returned value is held until the response was sent.
    pub(crate) fn answer(&self) -> Answering {
        let change = {
            let mut state = self.state();
            state.answering += 1;
            state.change_of_cost()
        };
        self.0.slot.charge(change);
        // The gateway takes the permits for its own connections after it knows whether the client is authenticated.
        let busy = if self.0.stalls == Stalls::Stay { self.0.slot.permit(true) } else { None };
        Answering { timeouts: self.clone(), _busy: busy, untaken: false }
    }

    /// How long this client may send no request.
    fn idle(&self) -> Duration {
        if self.0.stalls == Stalls::Stay { IDLE } else { idle(&self.0.slot) }
    }

    /// Decides what to do now.
    pub(crate) fn check(&self, now: Instant) -> Action {
        let mut state = self.state();
        let again = |when| if now < when { Action::Again(when) } else { Action::End };
        if state.answering > 0 {
            let moved = self.0.moved.swap(false, Relaxed);
            let untaken = self.0.untaken.load(Relaxed) == state.answering;
            if moved || !untaken || self.0.stalls == Stalls::Stay {
                state.stalled = None;
            }
            let since = if untaken { *state.stalled.get_or_insert(now) } else { now };
            let ends = now >= since + IDLE && self.0.stalls == Stalls::End;
            return if ends { Action::End } else { Action::Again(now + HEAD) };
        }
        state.stalled = None;
        if let Some(since) = state.head {
            return again(since + if self.0.slot.is_trusted() { HEAD } else { FIRST });
        }
        if self.0.unsent.load(Relaxed) || state.phase != Phase::Between || self.0.stalls == Stalls::Stay {
            return again(state.idle + self.idle());
        }
        if now < state.idle + REST { Action::Again(state.idle + REST) } else { Action::Rest }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a request is being answered, by the body of the response, whose progress it records.
pub(crate) struct Answering {
    timeouts: ConnectionTimeouts,
    _busy: Option<Permit>,
    /// Whether the last data of the response waits for the client.
    untaken: bool,
}

impl Answering {
    /// Records whether the next step is up to the client, which has to take data, or up to the service.
    pub(crate) fn turn(&mut self, client: bool) {
        let timeouts = &self.timeouts.0;
        if client {
            timeouts.moved.store(true, Relaxed);
        }
        match (self.untaken, client) {
            (false, true) => timeouts.untaken.fetch_add(1, Relaxed),
            (true, false) => timeouts.untaken.fetch_sub(1, Relaxed),
            _ => 0,
        };
        self.untaken = client;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.turn(false);
        let change = {
            let mut state = self.timeouts.state();
            state.answering -= 1;
            state.idle = Instant::now();
            state.change_of_cost()
        };
        self.timeouts.0.slot.charge(change);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use axum::body::Body;
    use futures_util::{StreamExt, stream};
    use hyper::body::Body as _;

    use super::*;
    use crate::gateway::limits::{ConnectionLimits, Peer};
    use crate::gateway::upstream::body::Reply;

    /// A body that gives one frame or none, and never ends.
    fn once(text: Option<&'static str>, answering: Answering) -> Reply {
        let frames = stream::iter(text.map(Ok::<_, Infallible>)).chain(stream::pending());
        Reply::from(Body::from_stream(frames)).timed(answering)
    }

    fn has_frame(body: &mut Reply) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(body).poll_frame(&mut cx).is_ready()
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// The timeouts of a client without a login, or of an authenticated one.
    fn timeouts(stalls: Stalls, trusted: bool) -> ConnectionTimeouts {
        let slot = ConnectionLimits::of_ports().enter(Peer::User(None));
        if trusted {
            slot.trust();
        }
        ConnectionTimeouts::new(stalls, slot)
    }

    #[tokio::test(start_paused = true)]
    async fn heads_and_idle_connections_have_deadlines_and_responses_do_not() {
        for (trusted, head) in [(false, FIRST), (true, HEAD)] {
            let (start, timeouts) = (Instant::now(), timeouts(Stalls::End, trusted));
            assert_eq!(timeouts.check(start), Action::Again(start + head));
            assert_eq!(timeouts.check(start + head), Action::End, "nothing came");

            tokio::time::advance(SECOND).await;
            timeouts.at(Phase::Head);
            assert_eq!(
                timeouts.check(start + head),
                Action::End,
                "a part of a head does not extend the deadline"
            );
            timeouts.at(Phase::Between);
            let answering = timeouts.answer();
            let late = start + HEAD * 100;
            assert_eq!(timeouts.check(late), Action::Again(late + HEAD));

            tokio::time::advance(HEAD * 100).await;
            drop(answering);
            let end = Instant::now();
            assert_eq!(timeouts.check(end + SECOND), Action::Again(end + REST));
            assert_eq!(timeouts.check(end + REST), Action::Rest);
            timeouts.unsent(true);
            assert_eq!(
                timeouts.check(end + REST),
                Action::Again(end + timeouts.idle()),
                "the client has not read everything that was written"
            );
            assert_eq!(timeouts.check(end + timeouts.idle()), Action::End);
            timeouts.unsent(false);
            timeouts.at(Phase::Body);
            assert_eq!(
                timeouts.check(end + REST),
                Action::Again(end + timeouts.idle()),
                "the connection does not rest within a body"
            );

            tokio::time::advance(SECOND).await;
            timeouts.at(Phase::Head);
            tokio::time::advance(SECOND).await;
            timeouts.at(Phase::Head);
            assert_eq!(timeouts.check(end + IDLE), Action::End);
            assert_eq!(
                timeouts.check(end + SECOND),
                Action::Again(end + SECOND + head),
                "from the head's first byte"
            );
        }
    }

    #[tokio::test]
    async fn many_responses_at_once_are_charged_and_a_few_are_not() {
        let limits = ConnectionLimits::of_ports();
        let slot = limits.enter(Peer::User(None));
        let timeouts = ConnectionTimeouts::new(Stalls::End, slot);
        let idle = limits.bytes();
        let mut open: Vec<_> = (1..STEP).map(|_| timeouts.answer()).collect();
        assert_eq!(limits.bytes(), idle);
        let step = STEP as usize * cost::RESPONSE.unsigned_abs();
        open.extend((0..=STEP).map(|_| timeouts.answer()));
        assert_eq!(limits.bytes(), idle + 2 * step);
        open.truncate(STEP as usize * 2 - 1);
        assert_eq!(limits.bytes(), idle + 2 * step, "one response less is no smaller cost");
        drop(open);
        assert_eq!(limits.bytes(), idle);
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_does_not_read_is_ended_and_silent_service_is_not() {
        for (stalls, ends) in [(Stalls::End, true), (Stalls::Stay, false)] {
            let timeouts = timeouts(stalls, true);
            timeouts.at(Phase::Between);
            let mut silent = once(None, timeouts.answer());
            assert!(!has_frame(&mut silent));
            let late = Instant::now() + IDLE * 10;
            assert_eq!(timeouts.check(late), Action::Again(late + HEAD), "the service has to send first");

            let mut untaken = once(Some("text"), timeouts.answer());
            assert!(has_frame(&mut untaken));
            assert_ne!(
                timeouts.check(late + IDLE * 2),
                Action::End,
                "one of two answers waits for the service"
            );
            drop(silent);
            let first = late + IDLE * 3;
            assert_ne!(timeouts.check(first), Action::End, "from the first check on");
            assert_ne!(timeouts.check(first + IDLE - SECOND), Action::End);
            assert_eq!(timeouts.check(first + IDLE) == Action::End, ends, "{stalls:?}");
            drop(untaken);
            assert_ne!(timeouts.check(Instant::now()), Action::End);
        }
    }
}
