//! Serves one client's connection in HTTP/1 or HTTP/2: requests are validated strictly, and timeouts apply.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::frames::Frames;
use super::observed::Observed;
use super::timeouts::{Action, ConnectionTimeouts, Phase, REST, Stalls};
use super::validator::{self, Next};
use crate::gateway::limits::ConnectionSlot;
use crate::gateway::request::page;
use crate::gateway::upstream::body::Reply;

/// The size limit of a request head. Bytes.
const HEAD_SIZE: u32 = 64 * 1024;

/// The limit of concurrent requests on one connection: as many as browsers use.
const STREAMS: u32 = 128;

/// How much of each response is buffered for a client that does not read it. Bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// After this time without data, a client is asked by a PING whether it is still connected.
const ALIVE: Duration = Duration::from_secs(60);

/// Serves a connection until it ends; a connection that rests is returned, to be served again when data comes. `stalls`
/// says whether a client may leave a response unread for ever. After `stop`, the request that is being answered is the
/// last one.
pub(crate) async fn http1<I, F, R>(
    io: I,
    handler: F,
    stalls: Stalls,
    client: &Arc<ConnectionSlot>,
    stop: CancellationToken,
) -> Option<I>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<Reply>>,
{
    let timeouts = ConnectionTimeouts::new(stalls, Arc::clone(client));
    let (io, verdicts) = validator::validated(io, timeouts.clone());
    let first = AtomicBool::new(true);
    let service = service_fn(|request| {
        let answering = timeouts.answer();
        let again = !first.swap(false, Relaxed) && !client.is_trusted();
        let response = verdicts.next().map(|next| (next, handler(request)));
        async move {
            if again {
                // Many requests that were sent at once take turns with those of all other clients.
                tokio::task::yield_now().await;
            }
            let (next, mut response) = match response {
                Ok((next, response)) => (next, response.await),
                Err(why) => (Next::Nothing, page::text(StatusCode::BAD_REQUEST, why)),
            };
            if next == Next::Nothing && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| body.timed(answering)))
        }
    });
    let mut connection = http1::Builder::new()
        .max_header_size(HEAD_SIZE as usize)
        .max_buf_size(HEAD_SIZE as usize)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let end = http1::UpgradeableConnection::graceful_shutdown;
    if !rests(Pin::new(&mut connection), end, &timeouts, stop).await {
        return None;
    }
    let parts = connection.into_parts()?;
    // Bytes in the buffer would belong to a request that has begun; there must be none.
    parts.read_buf.is_empty().then(|| parts.io.into_inner().into_inner())
}

/// As [`http1()`], for a client that chose HTTP/2. The handler sees its requests like those of HTTP/1.1.
pub(crate) async fn http2<I, F, R>(io: I, handler: F, client: &Arc<ConnectionSlot>, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<Reply>> + Send + 'static,
{
    let timeouts = ConnectionTimeouts::new(Stalls::End, Arc::clone(client));
    timeouts.at(Phase::Body);
    let io = Observed::new(io, Frames::new(Arc::clone(client)));
    let service = service_fn(|mut request: Request<Incoming>| {
        let answering = timeouts.answer();
        name_host(&mut request);
        let response = handler(request);
        async { Ok::<_, Infallible>(response.await.map(|body| body.timed(answering))) }
    });
    let connection = http2::Builder::new(AtOnce)
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_SIZE)
        .max_send_buf_size(SEND_BUFFER)
        // The windows are small, and grow with what is really consumed: on long and on short lines, but not for clients
        // that send data which is not read.
        .adaptive_window(true)
        .serve_connection(TokioIo::new(io), service);
    let connection = pin!(connection);
    rests(connection, http2::Connection::graceful_shutdown, &timeouts, stop).await;
}

/// Polls a response once in place, and moves what takes longer to a task. Most responses to clients without a login are
/// complete after the first poll: so many requests that come at once are answered one after the other, and not all at
/// once.
#[derive(Clone)]
struct AtOnce;

impl<F> Executor<F> for AtOnce
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, answering: F) {
        let mut answering = Box::pin(answering);
        // The task polls again before it waits, so this waker is not needed.
        if answering.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(answering);
        }
    }
}

/// Drives a connection until it ends, its client exceeds a timeout, or it rests; returns whether it rests. After `stop`
/// it is shut down gracefully.
async fn rests<C: Future>(
    mut connection: Pin<&mut C>,
    end: impl Fn(Pin<&mut C>),
    timeouts: &ConnectionTimeouts,
    stop: CancellationToken,
) -> bool {
    let mut timer = pin!(sleep_until(Instant::now() + REST));
    // A separate child token: it is polled whenever the connection is, and threads would contend for a shared one.
    let stop = stop.child_token();
    let mut stopping = false;
    loop {
        // Errors of a connection are caused by its client, and the client has seen them.
        tokio::select! {
            biased;
            _ = connection.as_mut() => return false,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                end(connection.as_mut());
            }
            () = timer.as_mut() => match timeouts.check(Instant::now()) {
                Action::Again(next) => timer.as_mut().reset(next),
                Action::Rest => return true,
                Action::End => return false,
            },
        }
    }
}

/// Adds a Host header to an HTTP/2 request, where the host is part of the URI. An existing Host header stays, so that
/// later checks can compare the two.
fn name_host(request: &mut Request<Incoming>) {
    let authority = request.uri().authority().map(|authority| HeaderValue::try_from(authority.as_str()));
    if let Some(Ok(authority)) = authority.filter(|_| !request.headers().contains_key(HOST)) {
        request.headers_mut().insert(HOST, authority);
    }
}
