//! Connections, and the part of HTTP that is needed to open them.

use std::net::{Ipv4Addr, SocketAddr};

use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};

use crate::frame::{self, Head};
use crate::{Many, Outcome};

/// The headers of a WebSocket handshake. The answer to the key is not checked: other tests do that.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A connection, with the bytes that were read from it and not used yet.
pub struct Wire {
    pub stream: TcpStream,
    pub read: Vec<u8>,
}

impl Wire {
    pub async fn connect(address: SocketAddr, from: Ipv4Addr) -> Outcome<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(64 * 1024) })
    }

    pub fn of(stream: TcpStream) -> Self {
        Self { stream, read: Vec::with_capacity(64 * 1024) }
    }

    /// An open WebSocket.
    pub async fn websocket(many: &Many) -> Outcome<Self> {
        let mut wire = Self::connect(many.address, Ipv4Addr::LOCALHOST).await?;
        let head = wire.ask(&many.head(UPGRADE)).await?;
        expect(&head, 101)?;
        Ok(wire)
    }

    /// Sends a request and returns the head of its answer.
    pub async fn ask(&mut self, request: &str) -> Outcome<String> {
        self.stream.write_all(request.as_bytes()).await?;
        self.head().await
    }

    /// The next head.
    pub async fn head(&mut self) -> Outcome<String> {
        loop {
            if let Some(at) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let rest = self.read.split_off(at + 4);
                let head = std::mem::replace(&mut self.read, rest);
                return Ok(String::from_utf8(head)?);
            }
            self.more().await?;
        }
    }

    /// Reads more. The end of the connection is an error.
    pub async fn more(&mut self) -> Outcome {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err("the connection was closed".into()),
            _ => Ok(()),
        }
    }

    /// The next whole frame, at the start of the bytes that were read.
    pub async fn frame(&mut self) -> Outcome<Head> {
        loop {
            if let Some(head) = frame::head(&self.read).filter(|head| head.end <= self.read.len()) {
                return Ok(head);
            }
            self.more().await?;
        }
    }

    /// Discards up to `most` bytes and returns their number; the kernel does not even copy them.
    pub async fn discard(&mut self, most: usize, scratch: &mut [u8]) -> Outcome<usize> {
        if !self.read.is_empty() {
            let taken = self.read.len().min(most);
            self.read.drain(..taken);
            return Ok(taken);
        }
        let most = most.min(scratch.len());
        let taken = self
            .stream
            .async_io(Interest::READABLE, || {
                let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
                let (_, taken) = rustix::net::recv(&self.stream, &mut scratch[..most], flags)?;
                Ok(taken)
            })
            .await?;
        if taken == 0 { Err("the connection was closed".into()) } else { Ok(taken) }
    }
}

/// The status of an answer.
pub fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}

/// Fails unless the status is this one.
pub fn expect(head: &str, wanted: u16) -> Outcome {
    if status(head) == Some(wanted) {
        return Ok(());
    }
    Err(format!("the answer is not {wanted}: {}", head.lines().next().unwrap_or_default()).into())
}

/// The length of an answer's body.
pub fn length(head: &str) -> Outcome<usize> {
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(value.ok_or("an answer without Content-Length")?.parse()?)
}
