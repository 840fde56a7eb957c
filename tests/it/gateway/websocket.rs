//! A port of the gateway for a service without HTTP, and a browser's side of its WebSocket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::path::PathBuf;
use std::time::Duration;

use desktopd::plan::routes::{Bridge, Route, Upstream};
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use crate::gateway::world::{PASSWORD, TOKEN, USER, World, free_port, log_in, read_until, route};

pub const SOON: Duration = Duration::from_secs(10);

/// A folder with pages and a socket, and a port of the gateway that leads to both.
pub struct Desk {
    pub world: World,
    pub port: u16,
    pub folder: TempDir,
    pub server: UnixListener,
}

impl Desk {
    pub async fn new() -> Self {
        Self::with(Some("/websockify")).await
    }

    pub async fn with(bridge: Option<&str>) -> Self {
        let (world, folder, port) = (World::new().await, TempDir::new().unwrap(), free_port().await);
        let pages = folder.path().join("pages");
        std::fs::create_dir(&pages).unwrap();
        std::fs::write(pages.join("vnc.html"), "<p>pages</p>").unwrap();
        std::fs::write(pages.join("rfb.js"), "export {}").unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        let socket = folder.path().join("vnc.sock");
        let server = UnixListener::bind(&socket).unwrap();
        let bridge = bridge.map(|path| Bridge { path: path.into(), files: Some(pages) });
        let route = bridged(port, socket, nix::unistd::getuid().as_raw(), bridge);
        assert_eq!(world.gateway.set_routes(&[route]).await, []);
        Self { world, port, folder, server }
    }

    pub async fn cookie(&self) -> String {
        log_in(self.port, USER, PASSWORD, "/").await.cookie()
    }

    pub async fn accept(&self) -> UnixStream {
        tokio::time::timeout(SOON, self.server.accept()).await.expect("no connection came").unwrap().0
    }

    /// A browser's WebSocket and the service's side of it.
    pub async fn open(&self, credentials: &str) -> (WebSocketStream<TcpStream>, UnixStream) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(handshake("/websockify", credentials).as_bytes()).await.unwrap();
        let service = self.accept().await;
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The accept value of RFC 6455's own example.
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        (WebSocketStream::from_raw_socket(stream, Role::Client, None).await, service)
    }
}

pub fn bridged(listen: u16, path: PathBuf, owner: u32, bridge: Option<Bridge>) -> Route {
    let entry = if bridge.is_some() { "/vnc.html?autoconnect=true&path=websockify" } else { "/" };
    Route {
        upstream: Upstream::Unix { path, owner },
        bridge,
        shows: Vec::new(),
        path: entry.into(),
        ..route(listen, ([127, 0, 0, 1], 1).into())
    }
}

pub fn token() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

pub fn handshake(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: desk:6200\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

pub async fn next(client: &mut WebSocketStream<TcpStream>) -> Option<Message> {
    tokio::time::timeout(SOON, client.next()).await.expect("nothing came").map(Result::unwrap)
}

/// Waits for a WebSocket's end; its close code.
pub async fn end_of(client: &mut WebSocketStream<TcpStream>) -> Option<CloseCode> {
    let ending = async {
        let mut code = None;
        while let Some(Ok(message)) = client.next().await {
            if let Message::Close(frame) = message {
                code = frame.map(|frame| frame.code);
            }
        }
        code
    };
    tokio::time::timeout(SOON, ending).await.expect("it should have been closed")
}
