//! New connections to services, over TCP and Unix sockets.

use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use super::failed::Failed;
use crate::plan::routes::Upstream;

/// A connection to a service.
pub(crate) type Connection = Either<TcpStream, UnixStream>;

/// How long a service on this machine may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Pause before the next attempt to connect to a service whose queue is full: at first, and at most.
const AGAIN: Duration = Duration::from_millis(1);
const AGAIN_AT_MOST: Duration = Duration::from_millis(20);

/// Connects to a service; gives up after [`CONNECT`].
pub(crate) async fn connect(upstream: &Upstream) -> io::Result<Connection> {
    let connecting = async {
        match upstream {
            Upstream::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Upstream::Name { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Upstream::Unix { path, owner } => {
                let stream = patiently(|| UnixStream::connect(path)).await?;
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

/// Connects to a Unix socket. While the listen queue of the service is full, the kernel refuses another connection and
/// does not report when there is room: so this tries again, with growing pauses. (Over TCP the kernel itself waits.)
async fn patiently<T, F>(connect: impl Fn() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut pause = AGAIN;
    loop {
        match connect().await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(pause).await,
            connected => return connected,
        }
        pause = (pause * 2).min(AGAIN_AT_MOST);
    }
}

/// A new HTTP/1 connection to a service. `title_case`: send header names `Like-This`, because the service reads no others.
pub(crate) async fn dial(upstream: &Upstream, title_case: bool) -> Result<SendRequest<Incoming>, Failed> {
    let stream = connect(upstream).await.map_err(Failed::Unreachable)?;
    let handshake = http1::Builder::new().title_case_headers(title_case).handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(Failed::broken)?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
