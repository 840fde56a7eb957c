//! Response bodies: our own bytes, or those of a service, which are streamed and not collected.
//!
//! Invariants: a body ends when the session that requested it ends; a connection to a service is used again only after
//! its whole answer was passed on.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body_util::Either;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::pool::PooledConnection;
use crate::gateway::auth::SessionGuard;
use crate::gateway::limits::Permit;
use crate::gateway::listener::timeouts::Answering;
use crate::gateway::request::access_log::Entry;

/// Bodies up to this size get no session guard: they are sent before a session could be revoked. Bytes.
const SMALL: u64 = 64 * 1024;

/// The body of an answer, and what is held until it was sent.
pub(crate) struct Reply {
    body: Either<Body, Incoming>,
    /// The connection that a service's body comes from.
    pooled: Option<PooledConnection>,
    guard: Option<Guarded>,
    /// The permit of a request that is forwarded to a service.
    _forward_permit: Option<Permit>,
    /// The permit of a request without a login.
    permit: Option<Permit>,
    /// The line of the access log, which counts what is sent. Boxed, because it is rare.
    pub(crate) entry: Option<Box<Entry>>,
    /// Records the progress, on which the connection's timeouts depend.
    answering: Option<Answering>,
}

/// The future that completes when the session guard ends, and the guard.
struct Guarded(Pin<Box<WaitForCancellationFutureOwned>>, #[expect(dead_code, reason = "held")] SessionGuard);

impl Reply {
    fn new(
        body: Either<Body, Incoming>,
        pooled: Option<PooledConnection>,
        forward_permit: Option<Permit>,
    ) -> Self {
        let (guard, permit, entry, answering) = Default::default();
        Self { body, pooled, guard, _forward_permit: forward_permit, permit, entry, answering }
    }

    /// A service's answer; its pooled connection is returned to the pool when the whole body has passed.
    pub(crate) fn of_service(
        body: Incoming,
        pooled: Option<PooledConnection>,
        forward_permit: Permit,
    ) -> Self {
        Self::new(Either::Right(body), pooled, Some(forward_permit))
    }

    /// The body, which holds the permit of its request.
    pub(crate) fn permitted(mut self, permit: Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// The body, whose progress is recorded.
    pub(crate) fn timed(mut self, answering: Answering) -> Self {
        self.answering = Some(answering);
        self
    }

    /// The body, cut off with an error when the session guard ends.
    pub(crate) fn guarded(mut self, guard: &SessionGuard) -> Self {
        if self.size_hint().exact().is_none_or(|size| size > SMALL) {
            let guard = guard.clone();
            let ended = Box::pin(guard.ended().clone().cancelled_owned());
            self.guard = Some(Guarded(ended, guard));
        }
        self
    }
}

impl From<Body> for Reply {
    fn from(body: Body) -> Self {
        Self::new(Either::Left(body), None, None)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(pooled) = self.pooled.take().filter(|_| self.body.is_end_stream()) {
            pooled.release();
        }
    }
}

impl hyper::body::Body for Reply {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let ended = self.guard.as_mut().is_some_and(|Guarded(ended, _)| ended.as_mut().poll(cx).is_ready());
        let polled = if ended {
            Poll::Ready(Some(Err("the session has ended".into())))
        } else {
            Pin::new(&mut self.body).poll_frame(cx)
        };
        if let (Some(entry), Poll::Ready(Some(Ok(frame)))) = (&mut self.entry, &polled) {
            entry.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        if let Some(answering) = &mut self.answering {
            answering.turn(polled.is_ready());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
