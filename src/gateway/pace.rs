//! How long a client may take. Time is looked at only when a deadline has come, and not with every request.
//!
//! Invariants: a connection on which nothing is asked and nothing is answered ends; an answer may take as long as the
//! service takes, but not as long as a client likes that does not read it; a head that has begun has to end soon.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// A request's head has to arrive within this time, the first one from the connection's start.
pub(super) const HEAD: Duration = Duration::from_secs(30);

/// How long a connection may stay open without a request, or without taking anything of its answers.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// What becomes of a client that does not take its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stalls {
    /// It has the time of an idle one.
    End,
    /// It may: somebody reads page by page what a command prints.
    Stay,
}

/// What one connection is doing. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pace(Arc<Inner>);

struct Inner {
    stalls: Stalls,
    state: Mutex<State>,
    /// Answers of which the client has to take something before there can be more.
    untaken: AtomicU32,
    /// Whether something of an answer has moved since this was looked at.
    moved: AtomicBool,
}

struct State {
    /// Requests that are being answered.
    answering: u32,
    /// Since when the head that has begun is awaited.
    head: Option<Instant>,
    /// Since when nothing is done.
    idle: Instant,
    /// Since when no answer moves, and that because of the client.
    stalled: Option<Instant>,
}

impl Pace {
    /// Of a connection that begins now.
    pub(super) fn new(stalls: Stalls) -> Self {
        let now = Instant::now();
        let state = State { answering: 0, head: Some(now), idle: now, stalled: None };
        let (untaken, moved) = (AtomicU32::new(0), AtomicBool::new(false));
        Self(Arc::new(Inner { stalls, state: Mutex::new(state), untaken, moved }))
    }

    /// A part of a head has come, or all of it.
    pub(super) fn head(&self, complete: bool) {
        let mut state = self.state();
        if complete {
            state.head = None;
        } else if state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// A request has come; what it gives lasts until the answer has left.
    pub(super) fn answer(&self) -> Answering {
        self.state().answering += 1;
        Answering(self.clone())
    }

    /// When to look again; `None` when the client has taken too long.
    pub(super) fn look(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state();
        if state.answering > 0 {
            let moved = self.0.moved.swap(false, Relaxed);
            let untaken = self.0.untaken.load(Relaxed) == state.answering;
            if moved || !untaken || self.0.stalls == Stalls::Stay {
                state.stalled = None;
            }
            let since = if untaken { *state.stalled.get_or_insert(now) } else { now };
            return (now < since + IDLE || self.0.stalls == Stalls::Stay).then_some(now + HEAD);
        }
        state.stalled = None;
        let deadline = state.head.map_or(state.idle + IDLE, |since| since + HEAD);
        (now < deadline).then_some(deadline)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a request is being answered.
pub(super) struct Answering(Pace);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.answering -= 1;
        state.idle = Instant::now();
    }
}

/// A body that is being answered with.
pub(super) struct Paced<B> {
    body: B,
    answering: Answering,
    /// Whether the last thing that it gave waits for the client.
    untaken: bool,
}

impl<B> Paced<B> {
    pub(super) fn new(body: B, answering: Answering) -> Self {
        Self { body, answering, untaken: false }
    }

    fn turn(&mut self, client: bool) {
        let pace = &self.answering.0.0;
        if client {
            pace.moved.store(true, Relaxed);
        }
        match (self.untaken, client) {
            (false, true) => pace.untaken.fetch_add(1, Relaxed),
            (true, false) => pace.untaken.fetch_sub(1, Relaxed),
            _ => 0,
        };
        self.untaken = client;
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        self.turn(false);
    }
}

impl<B: Body + Unpin> Body for Paced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.turn(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that gives one frame, or nothing and never an end.
    fn once(
        text: Option<&'static str>,
    ) -> impl Body<Data = bytes::Bytes, Error = std::convert::Infallible> + Unpin {
        let frames = futures_util::stream::iter(text.map(|text| Ok(Frame::data(bytes::Bytes::from(text)))));
        http_body_util::StreamBody::new(futures_util::StreamExt::chain(
            frames,
            futures_util::stream::pending(),
        ))
    }

    fn has_frame<B: Body + Unpin>(body: &mut B) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Pin::new(body).poll_frame(&mut cx).is_ready()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn heads_have_to_come_soon_answers_may_take_their_time_and_idleness_ends() {
        let (start, pace) = (Instant::now(), Pace::new(Stalls::End));
        assert_eq!(pace.look(start), Some(start + HEAD));
        assert_eq!(pace.look(start + HEAD), None, "nothing came");

        tokio::time::advance(SECOND).await;
        pace.head(false);
        assert_eq!(pace.look(start + HEAD), None, "a part of a head is not a head");
        pace.head(true);
        let answering = pace.answer();
        let late = start + HEAD * 100;
        assert_eq!(pace.look(late), Some(late + HEAD));

        tokio::time::advance(HEAD * 100).await;
        drop(answering);
        let end = Instant::now();
        assert_eq!(pace.look(end + HEAD), Some(end + IDLE));
        assert_eq!(pace.look(end + IDLE), None, "nothing was asked for");

        tokio::time::advance(SECOND).await;
        pace.head(false);
        tokio::time::advance(SECOND).await;
        pace.head(false);
        assert_eq!(pace.look(end + IDLE), None);
        assert_eq!(pace.look(end + SECOND), Some(end + SECOND + HEAD), "from the head's first byte");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_ends_and_a_service_that_says_nothing_does_not() {
        for (stalls, ends) in [(Stalls::End, true), (Stalls::Stay, false)] {
            let pace = Pace::new(stalls);
            pace.head(true);
            let mut silent = Paced::new(once(None), pace.answer());
            assert!(!has_frame(&mut silent));
            let late = Instant::now() + IDLE * 10;
            assert_eq!(pace.look(late), Some(late + HEAD), "it is the service's turn");

            let mut untaken = Paced::new(once(Some("text")), pace.answer());
            assert!(has_frame(&mut untaken));
            assert!(pace.look(late + IDLE * 2).is_some(), "one of two answers waits for the service");
            drop(silent);
            let first = late + IDLE * 3;
            assert!(pace.look(first).is_some(), "from the first look on");
            assert!(pace.look(first + IDLE - SECOND).is_some());
            assert_eq!(pace.look(first + IDLE).is_none(), ends, "{stalls:?}");
            drop(untaken);
            assert!(pace.look(Instant::now()).is_some());
        }
    }
}
