//! The client of the API on the control socket.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::config::Config;
use crate::logs::Line;
use crate::observe::Snapshot;
use crate::sys::print;

use super::code;

/// Time limit of an answer. The daemon has answers ready, so a longer time means that it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time limit of requests that take work: planning has a shorter limit of its own.
const PATIENCE_FOR_WORK: Duration = Duration::from_secs(45);

/// The maximum size of an answer. Logs are the largest, and the daemon limits each log. Bytes.
const LARGEST: usize = 64 << 20;

/// The maximum size of an event of a stream. Bytes.
const LARGEST_EVENT: usize = 4 << 20;

/// Why a command fails: its exit code, and the error message, if there is one.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: i32,
    /// For standard error; empty if there is nothing more to print.
    pub message: String,
    /// Whether root would be allowed to do it.
    pub for_root: bool,
}

impl Failure {
    /// A failure with a message.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), for_root: false }
    }

    /// A command that failed, and why.
    pub fn of(message: impl Into<String>) -> Self {
        Self::new(code::FAILED, message)
    }

    /// A failure whose message was printed already.
    pub fn silent(code: i32) -> Self {
        Self::new(code, "")
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // A closed pipe (`| head`) is no failure.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::silent(0);
        }
        Self::of(error.to_string())
    }
}

pub(super) struct Client {
    sockets: Vec<std::path::PathBuf>,
}

impl Client {
    /// Uses the sockets that the configuration names: first that of a daemon that runs as root.
    pub(super) fn new(config: &Config) -> Self {
        let socket = config.places.control_socket();
        let root = config.settings.run_dir.join("control.sock");
        Self { sockets: if root == socket { vec![socket] } else { vec![root, socket] } }
    }

    /// Whether a daemon has one of the sockets: it answers there, or refuses this user.
    pub(super) fn is_there(&self) -> bool {
        let connect = std::os::unix::net::UnixStream::connect;
        self.sockets.iter().any(|socket| match connect(socket) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
        })
    }

    pub(super) async fn status(&self) -> Result<Snapshot, Failure> {
        self.get("/api/status").await
    }

    /// The lines of a log; `path` is its name with the query.
    pub(super) async fn log(&self, path: &str) -> Result<Vec<Line>, Failure> {
        self.get(&format!("/api/logs/{path}")).await
    }

    /// Ends everything.
    pub(super) async fn shutdown(&self) -> Result<(), Failure> {
        self.whole(PATIENCE, Method::POST, "/api/shutdown", "").await.map(drop)
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        parsed(&self.text(path).await?)
    }

    /// Sends a request that takes work.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_string(body).unwrap_or_default();
        parsed(&self.whole(PATIENCE_FOR_WORK, Method::POST, path, &body).await?)
    }

    /// Gets a text unchanged.
    pub(super) async fn text(&self, path: &str) -> Result<Bytes, Failure> {
        self.whole(PATIENCE, Method::GET, path, "").await
    }

    /// Opens a stream of events.
    pub(super) async fn stream(&self, path: &str) -> Result<Stream, Failure> {
        let response = within(PATIENCE, self.request(Method::GET, path, "")).await?;
        Ok(Stream { body: response.into_body(), buffer: Vec::new(), name: String::new() })
    }

    async fn whole(&self, limit: Duration, method: Method, path: &str, body: &str) -> Result<Bytes, Failure> {
        within(limit, async { whole(self.request(method, path, body).await?).await }).await
    }

    async fn request(&self, method: Method, path: &str, body: &str) -> Result<Response<Incoming>, Failure> {
        let stream = self.connect().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| Failure::new(code::USAGE, error.to_string()))?;
        let response = crate::sys::http::send(stream, request).await.map_err(|error| {
            Failure::new(code::NOT_RUNNING, format!("the daemon does not answer: {error}"))
        })?;
        checked(response).await
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        let mut trouble = Vec::new();
        let mut denied = false;
        for socket in &self.sockets {
            match UnixStream::connect(socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    denied |= error.kind() == std::io::ErrorKind::PermissionDenied;
                    trouble.push(format!("{}: {error}", socket.display()));
                }
            }
        }
        let trouble = trouble.join("; ");
        if denied {
            let why = "this needs root or the desktop's user";
            let failure = Failure::new(code::NOT_RUNNING, format!("{why} ({trouble})"));
            return Err(Failure { for_root: true, ..failure });
        }
        Err(Failure::new(
            code::NOT_RUNNING,
            format!("the daemon does not run here ({trouble}); to run it: desktopd init"),
        ))
    }
}

/// Waits at most `limit`.
async fn within<T>(limit: Duration, asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
        Err(Failure::new(code::NOT_RUNNING, format!("the daemon does not answer within {limit:?}")))
    })
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::of(format!("the daemon's answer is invalid: {error}")))
}

/// The whole body of an answer.
async fn whole(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        let why = if error.is::<LengthLimitError>() {
            format!("the daemon's answer is larger than {} MiB", LARGEST >> 20)
        } else {
            error.to_string()
        };
        Failure::of(why)
    })
}

/// Turns an error response into a failure with the message from its body.
async fn checked(response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = whole(response).await.unwrap_or_default();
    let told = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
    let told = told.and_then(|body| body["error"].as_str().map(str::to_owned));
    let told = told.unwrap_or_else(|| format!("the daemon answered {status}"));
    let for_root = status == StatusCode::FORBIDDEN;
    Err(Failure { for_root, ..Failure::of(told) })
}

/// A stream of server-sent events.
pub(super) struct Stream {
    body: Incoming,
    buffer: Vec<u8>,
    name: String,
}

impl Stream {
    /// Passes each value whose event has this name to `take`, until the daemon ends the stream.
    pub(super) async fn each<T: DeserializeOwned>(
        mut self,
        wanted: &str,
        mut take: impl FnMut(T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while let Some((name, data)) = self.next().await? {
            match serde_json::from_str(&data) {
                Ok(value) if name == wanted => take(value)?,
                _ if name == "lost" => {
                    print::error(&format!("desktopd: {data} {wanted}s came too fast and are left out"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Name and data of the next event; `None` when the daemon has ended the stream.
    pub(super) async fn next(&mut self) -> Result<Option<(String, String)>, Failure> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                // All other lines are ids or keep-alive comments. Our data is JSON, so it has one line.
                if let Some(name) = line.strip_prefix("event:") {
                    name.trim().clone_into(&mut self.name);
                } else if let Some(data) = line.strip_prefix("data:") {
                    return Ok(Some((std::mem::take(&mut self.name), data.trim().to_owned())));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(_)) if self.buffer.len() > LARGEST_EVENT => {
                    return Err(Failure::of("an event of the daemon is too large"));
                }
                Some(Ok(frame)) => {
                    self.buffer.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
                }
                Some(Err(error)) => {
                    return Err(Failure::of(format!("lost the connection to the daemon: {error}")));
                }
            }
        }
    }
}
