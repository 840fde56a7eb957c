//! The service behind the proxies where WebSocket connections are measured.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::Outcome;
use crate::frame::{self, BINARY, CLOSE, PING, PONG};
use crate::net::Wire;

/// A picture of a stream of 8 Mbit/s.
const PICTURE: usize = 16 * 1024;

pub async fn run(address: SocketAddr) -> Outcome {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener: TcpListener = socket.listen(4096)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection's result matters to its client only.
        tokio::spawn(async { serve(stream).await.ok() });
    }
}

async fn serve(stream: TcpStream) -> Outcome {
    stream.set_nodelay(true)?;
    let mut wire = Wire::of(stream);
    let head = wire.head().await?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    let Some(key) = key else {
        let answer = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return Ok(wire.stream.write_all(answer).await?);
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    wire.stream.write_all(answer.as_bytes()).await?;
    match head.split(' ').nth(1) {
        Some("/source") => source(wire).await,
        Some("/frames") => pictures(wire).await,
        _ => echo(wire).await,
    }
}

async fn echo(mut wire: Wire) -> Outcome {
    // An idle connection should not keep the memory that its head needed.
    wire.read.shrink_to(4096);
    loop {
        let head = wire.frame().await?;
        let mut payload: Vec<u8> = wire.read.drain(..head.end).skip(head.start).collect();
        if let Some(mask) = head.mask {
            frame::unmask(&mut payload, mask);
        }
        let opcode = match head.opcode {
            PING => PONG,
            PONG => continue,
            same => same,
        };
        wire.stream.write_all(&frame::build(opcode, &payload, false)).await?;
        if opcode == CLOSE {
            return Ok(());
        }
    }
}

async fn source(mut wire: Wire) -> Outcome {
    let message = frame::build(BINARY, &vec![7; 64 * 1024], false);
    loop {
        wire.stream.write_all(&message).await?;
    }
}

async fn pictures(mut wire: Wire) -> Outcome {
    let mut picture = vec![7; PICTURE];
    let mut clock = tokio::time::interval(Duration::from_secs(1) / 60);
    loop {
        clock.tick().await;
        picture[..8].copy_from_slice(&now().to_be_bytes());
        wire.stream.write_all(&frame::build(BINARY, &picture, false)).await?;
    }
}

/// Nanoseconds of a clock that both ends share.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}
