//! Listening on ports, and accepting connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

use crate::sys::is_shortage;

/// How long to wait when the system has no descriptors left, until another connection or file is closed.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// How many connections the kernel queues until they are accepted: as many as it allows, so that clients need not retry
/// after a burst.
const BACKLOG: u32 = 4096;

/// How long responses in progress may take after a stop was requested.
pub(crate) const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Opens a port. With the address `::`, the port is open on all addresses, including IPv4, and on IPv4 alone if the
/// kernel has no IPv6. The error is a message that says what to do.
#[expect(clippy::unused_async, reason = "a socket registers with the runtime that it is opened in")]
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let port = address.port();
    let listened = match listen(address) {
        Err(error) if address.ip().is_unspecified() && lacks_ipv6(&error) => {
            listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        listened => listened,
    };
    listened.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is taken by another program; `ss -ltnp 'sport = :{port}'` as root shows which one"
        ),
        io::ErrorKind::PermissionDenied => format!("port {port} may not be opened: {error}"),
        _ => format!("port {port}: {error}"),
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        // The kernel's default may differ.
        setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let lacking = [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL, Errno::EPROTONOSUPPORT];
    error.raw_os_error().is_some_and(|error| lacking.contains(&Errno::from_raw(error)))
}

/// The state of accepting connections on a listener.
#[derive(Default)]
pub(crate) struct Accepting {
    /// Whether a system resource is short, and the log already says so.
    short: bool,
}

impl Accepting {
    /// Handles the result of one `accept`. Most errors are caused by the client and are ignored. If a system resource
    /// is short, that is logged once, and this function waits for a while.
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
