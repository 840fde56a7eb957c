//! Upgraded connections: WebSocket, and whatever else two sides agree on.
//!
//! Invariants: nothing passes before the service's 101; bytes that a side sent early are not lost; each tunnel has a
//! connection of its own to the service, so that nothing of it can reach another request; a revoked session closes it.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue, UPGRADE};
use axum::http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use super::auth::Lease;
use super::proxy::Failed;
use crate::plan::routes::Upstream;

/// A connection to a service.
pub(super) type Connection = Either<TcpStream, UnixStream>;

/// How long a service on this machine may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Buffers from the client (keys, mouse) and from the service (pictures). Bytes.
const BUFFERS: (usize, usize) = (8 * 1024, 32 * 1024);

/// Asks the service for the upgrade. Any answer but 101 is an ordinary response.
pub(super) async fn open(
    upstream: &Upstream,
    mut request: Request<Body>,
    protocol: HeaderValue,
    lease: Lease,
) -> Result<Response<Incoming>, Failed> {
    let client = hyper::upgrade::on(&mut request);
    request.headers_mut().insert(UPGRADE, protocol);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let mut response = send(upstream, request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let service = hyper::upgrade::on(&mut response);
        tokio::spawn(carry(client, service, lease));
    }
    Ok(response)
}

/// Sends a request over a connection of its own.
pub(super) async fn send(
    upstream: &Upstream,
    mut request: Request<Body>,
) -> Result<Response<Incoming>, Failed> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or(Uri::from_static("/"), Uri::from);
    let stream = connect(upstream).await.map_err(Failed::Unreachable)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failed::broken)?;
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(Failed::broken)
}

/// A connection to a service, given up after a while.
pub(super) async fn connect(upstream: &Upstream) -> io::Result<Connection> {
    let connecting = async {
        match upstream {
            Upstream::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Upstream::Unix { path, owner } => {
                let stream = UnixStream::connect(path).await?;
                let answers = stream.peer_cred()?.uid();
                if answers != *owner {
                    let why = format!("user {answers} listens at {}, not user {owner}", path.display());
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
                Ok(Either::Right(stream))
            }
        }
    };
    tokio::time::timeout(CONNECT, connecting).await?
}

/// Lets the kernel find out that the other side is gone without a word.
pub(super) fn keep_alive(stream: &TcpStream) {
    // A connection on which this fails works; it only stays longer than it should.
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &60);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &15);
}

async fn carry(client: OnUpgrade, service: OnUpgrade, lease: Lease) {
    let carried = async {
        let (client, service) = tokio::try_join!(client, service).ok()?;
        let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
        copy_bidirectional_with_sizes(&mut client, &mut service, BUFFERS.0, BUFFERS.1).await.ok()
    };
    // How a tunnel ends concerns its two ends only.
    tokio::select! {
        _ = carried => {}
        () = lease.ended().cancelled() => {}
    }
}
