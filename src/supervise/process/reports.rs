//! Reports of the child about its launch.

use rustix::net::RecvFlags;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::sys::launch::{self, Report};

/// Reads the reports one by one.
pub(super) struct Reports {
    pub(super) socket: UnixStream,
    pub(super) buffer: Vec<u8>,
}

impl Reports {
    /// The next report; `None` if the other end was closed.
    pub(super) async fn next(&mut self) -> Option<Report> {
        loop {
            match launch::unframe(&mut self.buffer) {
                Ok(Some(report)) => return Some(report),
                Ok(None) => {}
                Err(_) => return None,
            }
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// All reports that have arrived already.
    pub(super) fn rest(self) -> Vec<Report> {
        there(&self.socket, self.buffer)
    }
}

/// All reports that have been read from `socket`, or can be read at once.
pub(super) fn there(socket: &UnixStream, mut buffer: Vec<u8>) -> Vec<Report> {
    let mut bytes = [0; 4096];
    // Reads directly: the runtime may not know yet that the socket is readable.
    while let Ok((n @ 1.., _)) = rustix::net::recv(socket, &mut bytes, RecvFlags::DONTWAIT) {
        buffer.extend_from_slice(&bytes[..n]);
    }
    std::iter::from_fn(|| launch::unframe(&mut buffer).ok().flatten()).collect()
}
