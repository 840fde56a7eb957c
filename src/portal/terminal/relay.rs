//! Carries bytes between a WebSocket and a shell's terminal.
//!
//! Binary messages are bytes of the terminal. A text message of the client is a [`Word`]; the one of the server says how
//! the shell ended. The page confirms the bytes that it has drawn, and only [`WINDOW`] bytes are under way: neither the
//! browser nor this process collects what a shell prints without end.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use super::attend::Shell;
use crate::gateway::auth::SessionGuard;
use crate::gateway::socket::{Sizes, Socket};
use crate::sys::pty::{self, Size};

/// The most that the page gets before it confirms. Bytes.
const WINDOW: usize = 256 << 10;

/// What is read at once. Bytes.
const PIECE: usize = 16 << 10;

/// How long input waits for a program that reads it; then the input is lost, as at a terminal whose buffer is full.
const UNREAD: Duration = Duration::from_secs(5);

/// How long a message may take to the client.
const UNSENT: Duration = Duration::from_secs(60);

/// The interval of pings: proxies close connections that are silent.
const KEEP_ALIVE: Duration = Duration::from_secs(45);

/// How long the client may take to answer the close message.
const FAREWELL: Duration = Duration::from_secs(2);

/// The most that is read after the end of the shell: a program that it left behind may print without end. Bytes.
const LAST_WORDS: usize = 1 << 20;

/// The sizes of messages.
pub(super) const SIZES: Sizes = Sizes { message: 64 << 10, unsent: 4 * PIECE };

/// What a client says beside its input.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Word {
    /// The terminal has another size: columns and rows.
    Size(u16, u16),
    /// So many bytes were drawn.
    Drawn(usize),
}

/// Why the connection ends; `None` when the client has closed it.
type Ending = Option<(CloseCode, String)>;

/// Carries bytes until one side ends. The shell ends with this.
pub(super) async fn carry(mut socket: Socket, shell: Result<Shell, String>, guard: SessionGuard) {
    let ending = match shell {
        Err(why) => Some((CloseCode::Error, why)),
        Ok(shell) => tokio::select! {
            biased;
            () = guard.ended().cancelled() => Some((CloseCode::Policy, "the session has ended".to_owned())),
            () = guard.expired() => Some((CloseCode::Policy, "the session has expired".to_owned())),
            ending = both_ways(&mut socket, &shell) => ending,
        },
    };
    let Some((code, reason)) = ending else { return };
    let farewell = async {
        socket.send(Message::text(json!({ "ended": reason }).to_string())).await.ok()?;
        let reason = "".into();
        socket.send(Message::Close(Some(CloseFrame { code, reason }))).await.ok()?;
        while let Some(Ok(_)) = socket.next().await {}
        Some(())
    };
    let _ = timeout(FAREWELL, farewell).await;
}

async fn both_ways(socket: &mut Socket, shell: &Shell) -> Ending {
    let (mut input, mut since) = (Bytes::new(), Instant::now());
    let (mut undrawn, mut heard) = (0, Instant::now());
    let mut over = pin!(how(shell));
    loop {
        tokio::select! {
            message = socket.next(), if input.is_empty() => {
                heard = Instant::now();
                match message? {
                    Ok(Message::Binary(bytes)) => (input, since) = (bytes, heard),
                    Ok(Message::Text(text)) => match serde_json::from_str(&text) {
                        Ok(Word::Size(columns, rows)) => {
                            let _ = pty::resize(&shell.input, Size { columns, rows });
                        }
                        Ok(Word::Drawn(bytes)) => undrawn = usize::saturating_sub(undrawn, bytes),
                        Err(_) => return Some((CloseCode::Protocol, "the page sent an unknown message".to_owned())),
                    },
                    Ok(Message::Close(_)) => return None,
                    Ok(_) => {}
                    Err(Error::Capacity(_)) => return Some((CloseCode::Size, "the message is too large".to_owned())),
                    Err(_) => return None,
                }
            }
            written = write(shell, &input), if !input.is_empty() => match written {
                Ok(written) => {
                    input.advance(written);
                    since = Instant::now();
                }
                Err(_) => input.clear(),
            },
            () = sleep_until(since + UNREAD), if !input.is_empty() => {
                input.clear();
                send(socket, Bytes::from_static(b"\x07"), &mut undrawn).await?;
            }
            bytes = read(shell), if undrawn < WINDOW => match bytes {
                Ok(bytes) if !bytes.is_empty() => send(socket, bytes, &mut undrawn).await?,
                _ => return Some((CloseCode::Normal, how(shell).await)),
            },
            how = over.as_mut() => {
                last_words(socket, shell).await?;
                return Some((CloseCode::Normal, how));
            }
            () = sleep_until(heard + KEEP_ALIVE) => {
                heard = Instant::now();
                timeout(UNSENT, socket.send(Message::Ping(Bytes::new()))).await.ok()?.ok()?;
            }
        }
    }
}

/// How the shell ended.
async fn how(shell: &Shell) -> String {
    let mut ended = shell.ended.clone();
    let how = ended.wait_for(Option::is_some).await;
    how.ok().and_then(|how| how.clone()).unwrap_or_default()
}

/// Sends what the shell had printed when it ended.
async fn last_words(socket: &mut Socket, shell: &Shell) -> Option<()> {
    let mut undrawn = 0;
    while undrawn < LAST_WORDS {
        match piece(shell) {
            Ok(bytes) if !bytes.is_empty() => send(socket, bytes, &mut undrawn).await?,
            _ => break,
        }
    }
    Some(())
}

/// Sends a piece. While the client is slow, nothing more is read. `None` when the client is gone.
async fn send(socket: &mut Socket, bytes: Bytes, undrawn: &mut usize) -> Option<()> {
    *undrawn += bytes.len();
    timeout(UNSENT, socket.send(Message::Binary(bytes))).await.ok()?.ok()
}

async fn read(shell: &Shell) -> io::Result<Bytes> {
    loop {
        shell.output.readable().await?;
        match piece(shell) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write(shell: &Shell, input: &[u8]) -> io::Result<usize> {
    loop {
        shell.input.writable().await?;
        match shell.input.try_write(input) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return written,
        }
    }
}

/// What can be read at once.
fn piece(shell: &Shell) -> io::Result<Bytes> {
    let mut room = [0; PIECE];
    let length = shell.output.try_read(&mut room)?;
    Ok(Bytes::copy_from_slice(&room[..length]))
}
