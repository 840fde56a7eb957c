//! Selkies' stream protocol without its page: a test sees every message.
//!
//! Text messages are `verb,arguments`; the first byte of a binary message is its type. The server sends its mode first,
//! and treats a client as a page once the client has sent its settings.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::net;
use crate::poll::eventually;
use crate::stack::{self, PASSWORD, Stack, USER};

/// The path of the stream, on every port that serves the desktop.
pub const STREAM: &str = "/api/websockets";

const SOON: Duration = Duration::from_secs(30);

/// Sound, clipboard and files need no desktop, which takes longer to start than all of them.
pub async fn start() -> Stack {
    start_with("kde,fcitx5,vnc").await
}

/// The same without other services.
pub async fn start_with(out: &str) -> Stack {
    let spec = stack::spec().env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = Stack::new(spec.env("SUPERVISOR_NO_AUTOSTART", out).start(&["init"]));
    stack.wait_until_up().await;
    stack
}

/// Logs in at the desktop's port; the session cookie.
pub async fn cookie(stack: &Stack) -> String {
    let cookie = net::log_in(&stack.desktop(), USER, PASSWORD).await;
    cookie.unwrap_or_else(|status| panic!("the login is refused: {status}"))
}

/// A stream through the gateway.
pub struct Wire(WebSocketStream<TcpStream>);

impl Wire {
    /// Opens the stream, as a client that only listens.
    pub async fn open(port: u16, cookie: &str) -> Wire {
        eventually("a stream", SOON, async || handshake(port, cookie).await).await
    }

    /// Opens the stream as a page does that displays the desktop.
    pub async fn of_a_page(port: u16, cookie: &str) -> Wire {
        let mut wire = Wire::open(port, cookie).await;
        let settings = r#"{"displayId":"primary","initialClientWidth":1280,"initialClientHeight":720}"#;
        wire.send(format!("SETTINGS,{settings}")).await;
        wire.find("the desktop's size", |message| text(message)?.contains("stream_resolution").then_some(()))
            .await;
        wire
    }

    pub async fn send(&mut self, text: String) {
        self.0.send(Message::text(text)).await.expect("send to the stream");
    }

    /// The next message; `None` when the stream has ended, in whatever way.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await?.ok().filter(|message| !message.is_close())
    }

    /// Reads until a message has the wanted contents.
    pub async fn find<T>(&mut self, what: &str, mut look: impl FnMut(&Message) -> Option<T>) -> T {
        let found = tokio::time::timeout(SOON, async {
            while let Some(message) = self.next().await {
                if let Some(found) = look(&message) {
                    return found;
                }
            }
            panic!("{what}: the stream ended before");
        });
        found.await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
    }

    /// Reads until the other side has ended the stream.
    pub async fn end(&mut self) {
        let end = async { while self.next().await.is_some() {} };
        tokio::time::timeout(SOON, end).await.expect("the stream stays open");
    }
}

pub fn text(message: &Message) -> Option<&str> {
    if let Message::Text(text) = message { Some(text.as_str()) } else { None }
}

async fn handshake(port: u16, cookie: &str) -> Result<Wire, String> {
    let stream = TcpStream::connect(("localhost", port)).await.map_err(|error| error.to_string())?;
    let mut request =
        format!("ws://localhost:{port}{STREAM}").into_client_request().expect("an address of a stream");
    for (name, value) in [("Cookie", cookie), ("Origin", &format!("http://localhost:{port}"))] {
        request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header"));
    }
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    let opened = client_async_with_config(request, stream, Some(config)).await;
    let mut wire = Wire(opened.map_err(|error| error.to_string())?.0);
    // Selkies closes a second stream that comes from one address within half a second.
    match wire.0.next().await {
        Some(Ok(message)) if text(&message).is_some_and(|text| text.starts_with("MODE ")) => Ok(wire),
        other => Err(format!("{other:?}")),
    }
}
