//! A body that ends when the session that asked for it does.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::auth::Lease;

/// Bodies up to this size are gone before anybody could revoke anything.
const SMALL: u64 = 64 * 1024;

/// The body, cut off with an error when the lease ends.
pub(super) fn leased(body: Body, lease: Lease) -> Body {
    if body.size_hint().exact().is_some_and(|size| size <= SMALL) {
        return body;
    }
    let ended = Box::pin(lease.ended().clone().cancelled_owned());
    Body::new(Leased { body, ended, _lease: lease })
}

struct Leased {
    body: Body,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _lease: Lease,
}

impl hyper::body::Body for Leased {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new("the session has ended"))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
