//! Response bodies: our own bytes, or those of a service, which are streamed and not collected.
//!
//! Invariants: a body ends when the session that requested it ends; a connection to a service is used again only after
//! its whole answer was passed on.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::pool::PooledConnection;
use crate::gateway::auth::SessionGuard;
use crate::gateway::limits::{ForwardPermit, Permit};
use crate::gateway::request::page;

/// Bodies up to this size get no session guard: they are sent before a session could be revoked. Bytes.
const SMALL: u64 = 64 * 1024;

/// The body of an answer.
pub(crate) struct Reply {
    source: Source,
    guard: Option<Guarded>,
    /// The permit of a request without a login.
    permit: Option<Permit>,
}

enum Source {
    Own(Body),
    Service(Passing),
}

/// A service's body, and the pooled connection that it comes from.
struct Passing {
    body: Incoming,
    pooled: Option<PooledConnection>,
    #[expect(dead_code, reason = "held")]
    forward_permit: ForwardPermit,
}

impl Drop for Passing {
    fn drop(&mut self) {
        use hyper::body::Body as _;
        if let Some(pooled) = self.pooled.take().filter(|_| self.body.is_end_stream()) {
            pooled.release();
        }
    }
}

/// The future that completes when the session guard ends, and the guard.
struct Guarded(Pin<Box<WaitForCancellationFutureOwned>>, #[expect(dead_code, reason = "held")] SessionGuard);

impl Reply {
    /// A service's answer; its pooled connection is returned to the pool when the whole body has passed.
    pub(crate) fn of_service(
        body: Incoming,
        pooled: Option<PooledConnection>,
        forward_permit: ForwardPermit,
    ) -> Self {
        Self { source: Source::Service(Passing { body, pooled, forward_permit }), guard: None, permit: None }
    }

    /// The body, which holds the permit of its request.
    pub(crate) fn permitted(mut self, permit: Permit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// The body, cut off with an error when the session guard ends.
    pub(crate) fn guarded(mut self, guard: impl FnOnce() -> SessionGuard) -> Self {
        use hyper::body::Body as _;
        if self.size_hint().exact().is_none_or(|size| size > SMALL) {
            let guard = guard();
            let ended = Box::pin(guard.ended().clone().cancelled_owned());
            self.guard = Some(Guarded(ended, guard));
        }
        self
    }
}

impl From<Body> for Reply {
    fn from(body: Body) -> Self {
        Self { source: Source::Own(body), guard: None, permit: None }
    }
}

impl hyper::body::Body for Reply {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(Guarded(ended, _)) = self.guard.as_mut()
            && ended.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err("the session has ended".into())));
        }
        match &mut self.source {
            Source::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Service(passing) => Pin::new(&mut passing.body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(body) => body.is_end_stream(),
            Source::Service(passing) => passing.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => body.size_hint(),
            Source::Service(passing) => passing.body.size_hint(),
        }
    }
}

/// A short text as our own answer.
pub(crate) fn own_text(status: StatusCode, text: &str) -> Response<Reply> {
    page::text(status, text).map(Reply::from)
}
