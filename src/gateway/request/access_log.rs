//! The access log, which is optional: one line per request with client address, port, method, path, status, size and
//! duration.
//!
//! Invariants: it costs nothing when it is off; it contains no query, cookie or credential; a line is written when the
//! whole answer was sent or the client has left.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::context::ConnectionInfo;
use super::forwarded::Proxies;
use crate::gateway::upstream::body::Reply;
use crate::logs::{ACCESS_LOG, Logs};

/// Longer paths are cut off in the log. Bytes.
const LONGEST: usize = 1024;

/// A request that is being answered. Its line is written when this is dropped.
pub(crate) struct Entry {
    logs: Logs,
    began: Instant,
    peer: IpAddr,
    port: u16,
    method: Method,
    path: String,
    status: StatusCode,
    bytes: u64,
}

impl Entry {
    /// The entry of a request that has just come.
    pub(crate) fn begin(
        logs: &Logs,
        request: &Request<Incoming>,
        connection: &ConnectionInfo,
        proxies: &Proxies,
    ) -> Self {
        // Without the query, which may contain secrets for the service.
        let path = request.uri().path();
        let shown = (0..=path.len().min(LONGEST)).rev().find(|end| path.is_char_boundary(*end)).unwrap_or(0);
        Self {
            logs: logs.clone(),
            began: Instant::now(),
            peer: proxies.client(connection.peer, request.headers()),
            port: connection.port,
            method: request.method().clone(),
            path: path[..shown].to_owned(),
            // This status remains if the client leaves before there is an answer.
            status: StatusCode::REQUEST_TIMEOUT,
            bytes: 0,
        }
    }

    /// Follows the answer until it ends.
    pub(crate) fn follow(mut self, response: Response<Reply>) -> Response<Reply> {
        self.status = response.status();
        response.map(|body| Reply::from(Body::new(Followed { body, entry: self })))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Self { logs, began, peer, port, method, path, status, bytes } = self;
        let took = began.elapsed().as_millis();
        logs.push(
            ACCESS_LOG,
            &format!("{peer} :{port} {method} {path} {} {bytes} B {took} ms", status.as_u16()),
        );
    }
}

/// A body whose bytes are counted.
struct Followed<B> {
    body: B,
    entry: Entry,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Followed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.entry.bytes += data.len() as u64;
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
