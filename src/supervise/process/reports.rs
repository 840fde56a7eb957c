//! What the child side of a launch says.

use rustix::net::RecvFlags;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use crate::sys::launch::{self, Report};

/// What the child side says, message by message.
pub(super) struct Reports {
    pub(super) socket: UnixStream,
    pub(super) buffer: Vec<u8>,
}

impl Reports {
    /// The next one; `None` when the other end is closed.
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

    /// Everything that is there already.
    pub(super) fn rest(self) -> Vec<Report> {
        there(&self.socket, self.buffer)
    }
}

/// Everything that has been read of `socket`, or can be at once.
pub(super) fn there(socket: &UnixStream, mut buffer: Vec<u8>) -> Vec<Report> {
    let mut bytes = [0; 4096];
    // Past the runtime, which may not have heard yet that there is something to read.
    while let Ok((n @ 1.., _)) = rustix::net::recv(socket, &mut bytes, RecvFlags::DONTWAIT) {
        buffer.extend_from_slice(&bytes[..n]);
    }
    std::iter::from_fn(|| launch::unframe(&mut buffer).ok().flatten()).collect()
}
