//! A strict test upstream: it parses requests as strictly as possible, records every byte, keeps connections open for
//! more requests, and sends prepared answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::gateway::world::{TOKEN, World, free_port, route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The received requests, in the order in which they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A whole request: its head as it was, and its body without the framing.
    Request { head: String, body: String },
    /// Bytes that were left when the connection ended, or that are not a valid request.
    Rest(String),
}

pub struct Upstream {
    pub address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Upstream {
    /// `answers` are complete answers by path; after an answer that is marked with `!` the connection is closed.
    pub async fn start(answers: &[(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let (kept, answers) = (Arc::clone(&came), Arc::new(answers.iter().copied().collect()));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&answers)));
            }
        });
        Self { address, came, accepting }
    }

    /// Everything received so far.
    pub fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// Everything received since the last call.
    pub fn take(&self) -> Vec<Came> {
        std::mem::take(&mut *self.came.lock().unwrap())
    }

    /// The requests since the last call; fails if anything else came.
    pub fn requests(&self) -> Vec<(String, String)> {
        let request = |came| match came {
            Came::Request { head, body } => (head, body),
            Came::Rest(rest) => panic!("the service got {rest:?}"),
        };
        self.take().into_iter().map(request).collect()
    }

    /// The head of the only request since the last call.
    pub fn only(&self) -> String {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0).0
    }
}

/// A world with this upstream as its only service, and its port.
pub async fn before(upstream: &Upstream) -> (World, u16) {
    let mut world = World::new().await;
    world.port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(world.port, upstream.address)]).await, []);
    let port = world.port;
    (world, port)
}

/// A header with a valid credential.
pub fn token() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// Sends bytes and reads until the other side has closed the connection, or has reset it because it did not read all
/// bytes.
pub async fn send(port: u16, raw: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = stream.write_all(raw.as_ref()).await;
    rest(&mut stream).await
}

/// Reads until the other side closes.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async { while stream.read_buf(&mut answer).await.unwrap_or(0) > 0 {} };
    let done = tokio::time::timeout(Duration::from_secs(10), reading).await;
    assert!(done.is_ok(), "still open after {:?}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status codes of all received answers.
pub fn statuses(answer: &str) -> Vec<u16> {
    let status = |answer: &str| answer.get(2..5).and_then(|status| status.parse().ok());
    answer.split("HTTP/1.").skip(1).filter_map(status).collect()
}

async fn serve(
    mut stream: TcpStream,
    came: Arc<Mutex<Vec<Came>>>,
    answers: Arc<HashMap<&'static str, &'static str>>,
) {
    let mut received = Vec::new();
    loop {
        let request = loop {
            match take(&mut received) {
                Ok(Some(request)) => break request,
                Ok(None) if stream.read_buf(&mut received).await.unwrap_or(0) > 0 => {}
                Ok(None) | Err(()) => {
                    let rest = String::from_utf8_lossy(&received).into_owned();
                    if !rest.is_empty() {
                        came.lock().unwrap().push(Came::Rest(rest));
                    }
                    return;
                }
            }
        };
        let Came::Request { head, .. } = &request else { return };
        let path = head.split(' ').nth(1).unwrap().to_owned();
        came.lock().unwrap().push(request);
        let answer = answers.get(&*path).copied();
        let answer = answer.unwrap_or("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nservice");
        let (answer, ends) = answer.strip_prefix('!').map_or((answer, false), |answer| (answer, true));
        if stream.write_all(answer.as_bytes()).await.is_err() || ends {
            return;
        }
    }
}

/// Takes a complete request off the received bytes. An error is a request that no server should have to understand.
fn take(received: &mut Vec<u8>) -> Result<Option<Came>, ()> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8(received[..end + 4].to_vec()).map_err(drop)?;
    let mut lines = head[..end].split("\r\n");
    let first: Vec<_> = lines.next().ok_or(())?.split(' ').collect();
    let [_, target, "HTTP/1.1"] = *first else { return Err(()) };
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or(())?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !plain || name.is_empty() || value.contains(['\r', '\n', '\0']) {
            return Err(());
        }
        headers.push((name.to_lowercase(), value));
    }
    let all = |wanted: &str| -> Vec<_> {
        headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect()
    };
    if all("host").len() != 1 || !(target.starts_with('/') || target == "*") {
        return Err(());
    }
    let rest = &received[end + 4..];
    let (body, length) = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => (String::new(), 0),
        ([length], []) => {
            let length: usize = length.parse().map_err(drop)?;
            let Some(body) = rest.get(..length) else { return Ok(None) };
            (String::from_utf8_lossy(body).into_owned(), length)
        }
        ([], ["chunked"]) => match chunks(rest)? {
            Some(whole) => whole,
            None => return Ok(None),
        },
        _ => return Err(()),
    };
    received.drain(..end + 4 + length);
    Ok(Some(Came::Request { head, body }))
}

/// A chunked body, its trailers in brackets, and its length with the framing.
fn chunks(bytes: &[u8]) -> Result<Option<(String, usize)>, ()> {
    let (mut body, mut at) = (String::new(), 0);
    let line = |at: usize| -> Option<&str> {
        let end = bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
        std::str::from_utf8(&bytes[at..at + end]).ok()
    };
    loop {
        let Some(size) = line(at) else { return Ok(None) };
        at += size.len() + 2;
        let size = usize::from_str_radix(size, 16).map_err(drop)?;
        if size == 0 {
            break;
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        body += &String::from_utf8_lossy(chunk.strip_suffix(b"\r\n").ok_or(())?);
        at += size + 2;
    }
    loop {
        let Some(trailer) = line(at) else { return Ok(None) };
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Ok(Some((body, at)));
        }
        body.extend(["[", trailer, "]"]);
    }
}
