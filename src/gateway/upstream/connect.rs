//! New connections to services, over TCP and Unix sockets.

use std::io;
use std::path::Path;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::plan::routes::Upstream;

/// A connection to a service.
pub(crate) type Connection = Either<TcpStream, UnixStream>;

/// Why a service gave no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// No connection to the service could be made.
    Unreachable(io::Error),
    /// The service accepted the request and gave no proper answer.
    Broken(String),
    /// The request was not sent: the client has reached its limit of concurrent requests.
    Crowded,
}

impl Failed {
    pub(crate) fn broken(error: impl std::fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

/// How long a service on this machine may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Pause before the next attempt to connect to a service whose queue is full: at first, and at most.
const AGAIN: Duration = Duration::from_millis(1);
const AGAIN_AT_MOST: Duration = Duration::from_millis(20);

/// Connects to a service; gives up after [`CONNECT`].
pub(crate) async fn connect(upstream: &Upstream) -> io::Result<Connection> {
    let connecting = async {
        let tcp = match upstream {
            Upstream::Tcp(address) => TcpStream::connect(address).await?,
            Upstream::Name { host, port } => TcpStream::connect((host.as_str(), *port)).await?,
            Upstream::Unix { path, owner } => {
                let stream = connect_unix(path).await?;
                let answers = stream.peer_cred()?.uid();
                if answers != *owner {
                    let why = format!("user {answers} listens at {}, not user {owner}", path.display());
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
                return Ok(Either::Right(stream));
            }
        };
        tcp.set_nodelay(true)?;
        Ok(Either::Left(tcp))
    };
    tokio::time::timeout(CONNECT, connecting).await?
}

/// Connects to a Unix socket. While the listen queue of the service is full, the kernel refuses another connection and
/// does not report when there is room: so this tries again, with growing pauses. (Over TCP the kernel itself waits.)
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let mut pause = AGAIN;
    loop {
        match UnixStream::connect(path).await {
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
