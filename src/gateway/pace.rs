//! How long a client may take. Time is looked at only when a deadline has come, and not with every request.
//!
//! Invariants: a connection on which nothing is asked and nothing is answered ends; an answer may take as long as it
//! takes; a head that has begun has to end soon.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// A request's head has to arrive within this time, the first one from the connection's start.
pub(super) const HEAD: Duration = Duration::from_secs(30);

/// How long a connection may stay open without a request.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// What one connection is doing. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pace(Arc<Mutex<State>>);

struct State {
    /// Requests that are being answered.
    answering: u32,
    /// Since when the head that has begun is awaited.
    head: Option<Instant>,
    /// Since when nothing is done.
    idle: Instant,
}

impl Pace {
    /// Of a connection that begins now.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State { answering: 0, head: Some(now), idle: now })))
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
        let state = self.state();
        let deadline = match state.head {
            _ if state.answering > 0 => return Some(now + HEAD),
            Some(since) => since + HEAD,
            None => state.idle + IDLE,
        };
        (now < deadline).then_some(deadline)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) body: B,
    #[expect(dead_code, reason = "held")]
    pub(super) answering: Answering,
}

impl<B: Body + Unpin> Body for Paced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
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

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn heads_have_to_come_soon_answers_may_take_their_time_and_idleness_ends() {
        let (start, pace) = (Instant::now(), Pace::new());
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
}
