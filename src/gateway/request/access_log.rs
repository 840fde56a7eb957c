//! The access log, which is optional: one line per request with client address, port, method, path, status, size and
//! duration.
//!
//! Invariants: it costs nothing when it is off; it contains no query, cookie or credential; a line is written when the
//! whole answer was sent or the client has left.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::{Method, Request, StatusCode};

use super::context::RequestContext;
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
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The size of its body, as far as it was sent.
    pub(crate) bytes: u64,
}

impl Entry {
    /// The entry of a request that has just come.
    pub(crate) fn begin<B>(logs: &Logs, request: &Request<B>, context: &RequestContext<'_>) -> Self {
        // Without the query, which may contain secrets for the service.
        let path = request.uri().path();
        let shown = (0..=path.len().min(LONGEST)).rev().find(|end| path.is_char_boundary(*end)).unwrap_or(0);
        Self {
            logs: logs.clone(),
            began: Instant::now(),
            peer: context.peer,
            port: context.connection.port,
            method: request.method().clone(),
            path: path[..shown].to_owned(),
            // This status remains if the client leaves before there is an answer.
            status: StatusCode::REQUEST_TIMEOUT,
            bytes: 0,
        }
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
