//! Ports, and what comes of waiting at one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket};

use crate::sys::is_shortage;

/// How long to wait when the system has no descriptors left: somebody else has to close one first.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Connections that the kernel keeps until they are accepted: as many as it allows, so that a burst makes nobody wait
/// for a second attempt.
const BACKLOG: u32 = 4096;

/// How long answers that are under way may take after the end was asked for.
pub(crate) const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Opens a port. At `::` that is the port of all addresses, IPv4's as well, and of IPv4's alone where the kernel has no
/// IPv6. The error says in words what to do.
#[expect(clippy::unused_async, reason = "a socket registers with the runtime that it is opened in")]
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let port = address.port();
    let listened = match listen(address) {
        Err(error) if address.ip().is_unspecified() && lacks_ipv6(&error) => {
            listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        listened => listened,
    };
    listened.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is taken by another program; `ss -ltnp 'sport = :{port}'` as root says which one"
        ),
        io::ErrorKind::PermissionDenied => format!("port {port} may not be opened: {error}"),
        _ => format!("port {port}: {error}"),
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        // The kernel's default may be another one.
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
