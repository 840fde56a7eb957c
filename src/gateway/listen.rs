//! Ports and connections.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::sys::is_shortage;

/// A request's head has to arrive within this time, and be no larger than this.
const HEAD_TIME: Duration = Duration::from_secs(30);
const HEAD_SIZE: usize = 64 * 1024;

/// How long to wait when the system has no descriptors left: somebody else has to close one first.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// How long answers that are under way may take after the end was asked for.
pub(crate) const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Opens a port. The error says in words what to do.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let port = address.port();
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is taken by another program; `ss -ltnp 'sport = :{port}'` as root says which one"
        ),
        io::ErrorKind::PermissionDenied => format!("port {port} may not be opened: {error}"),
        _ => format!("port {port}: {error}"),
    })
}

/// How a listener fares.
#[derive(Default)]
pub(crate) struct Accepting {
    /// Whether the system lacks something, and whoever reads the log knows.
    short: bool,
}

impl Accepting {
    /// Takes what came of an attempt. Mostly an error was the client's doing; when the system lacks something, it is
    /// said once and waited for.
    pub(crate) async fn take<T>(&mut self, accepted: io::Result<T>) -> Option<T> {
        match accepted {
            Ok(connection) => {
                self.short = false;
                Some(connection)
            }
            Err(error) => {
                if error.raw_os_error().is_some_and(is_shortage) {
                    if !std::mem::replace(&mut self.short, true) {
                        tracing::warn!("accept a connection: {error}; connections wait until there is room");
                    }
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
                None
            }
        }
    }
}

/// Serves one connection until it ends. After `stop`, the request that is being answered is the last one.
pub(crate) async fn serve<I, F, R, B>(io: I, handler: F, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let service = service_fn(|request| {
        let response = handler(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_SIZE)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // What goes wrong on a connection was the client's doing, and the client has seen it.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
