//! The API over the control socket.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::config::Config;
use crate::config::env::Row;
use crate::logs::Line;
use crate::observe::{Event, Snapshot, Timeline};
use crate::portal::api::{Names, Units};
use crate::portal::{Changed, Credentials, NewCredentials};
use crate::supervise::{Replanned, Verb};

use super::code;

/// Why a command ends with an error: its exit code, and what to say, if anything is left to say.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: i32,
    /// For standard error; empty when all is said.
    pub message: String,
}

impl Failure {
    /// A failure with a message.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failure whose output says everything.
    pub fn silent(code: i32) -> Self {
        Self::new(code, "")
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // A reader that has seen enough (`| head`) is no failure.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::silent(0);
        }
        Self::new(code::FAILED, error.to_string())
    }
}

pub(super) struct Client {
    sockets: Vec<std::path::PathBuf>,
}

impl Client {
    /// Finds the daemon where the configuration puts its socket: that of a daemon that is root first, whoever asks.
    pub(super) fn new(config: &Config) -> Self {
        let socket = config.places.control_socket();
        let root = config.settings.run_dir.join("control.sock");
        Self { sockets: if root == socket { vec![socket] } else { vec![root, socket] } }
    }

    pub(super) async fn status(&self) -> Result<Snapshot, Failure> {
        self.json(Method::GET, "/api/status", "").await
    }

    pub(super) async fn credentials(&self) -> Result<Credentials, Failure> {
        self.json(Method::GET, "/api/credentials", "").await
    }

    pub(super) async fn environment(&self) -> Result<Vec<Row>, Failure> {
        self.json(Method::GET, "/api/environment", "").await
    }

    pub(super) async fn set_credentials(&self, wanted: &NewCredentials) -> Result<Changed, Failure> {
        let body = serde_json::to_string(wanted).unwrap_or_default();
        self.json(Method::POST, "/api/credentials", &body).await
    }

    pub(super) async fn timeline(&self) -> Result<Timeline, Failure> {
        self.json(Method::GET, "/api/timeline", "").await
    }

    pub(super) async fn log(&self, path: &str) -> Result<Vec<Line>, Failure> {
        self.json(Method::GET, &format!("/api/logs/{path}"), "").await
    }

    pub(super) async fn events(&self) -> Result<Vec<Event>, Failure> {
        self.json(Method::GET, "/api/events", "").await
    }

    pub(super) async fn verb(&self, verb: Verb, names: Names) -> Result<Units, Failure> {
        let body = serde_json::to_string(&names).unwrap_or_default();
        self.json(Method::POST, &format!("/api/units/{}", verb.name()), &body).await
    }

    pub(super) async fn shutdown(&self) -> Result<(), Failure> {
        checked(self.request(Method::POST, "/api/shutdown", "").await?).await?;
        Ok(())
    }

    pub(super) async fn reload(&self) -> Result<Replanned, Failure> {
        self.json(Method::POST, "/api/reload", "").await
    }

    /// A text as it is.
    pub(super) async fn text(&self, path: &str) -> Result<Bytes, Failure> {
        let response = checked(self.request(Method::GET, path, "").await?).await?;
        let body = response.into_body().collect().await;
        Ok(body.map_err(|error| Failure::new(code::FAILED, error.to_string()))?.to_bytes())
    }

    /// What comes by and by.
    pub(super) async fn stream(&self, path: &str) -> Result<Stream, Failure> {
        let response = checked(self.request(Method::GET, path, "").await?).await?;
        Ok(Stream { body: response.into_body(), buffer: Vec::new(), name: String::new() })
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str, body: &str) -> Result<T, Failure> {
        let response = checked(self.request(method, path, body).await?).await?;
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(|error| Failure::new(code::FAILED, error.to_string()))?;
        serde_json::from_slice(&bytes.to_bytes()).map_err(|error| {
            Failure::new(code::FAILED, format!("the daemon's answer makes no sense: {error}"))
        })
    }

    async fn request(&self, method: Method, path: &str, body: &str) -> Result<Response<Incoming>, Failure> {
        let broken = |error: hyper::Error| {
            Failure::new(code::NOT_RUNNING, format!("the daemon does not answer: {error}"))
        };
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| Failure::new(code::USAGE, error.to_string()))?;
        sender.send_request(request).await.map_err(broken)
    }

    async fn connect(&self) -> Result<UnixStream, Failure> {
        let mut trouble = Vec::new();
        for socket in &self.sockets {
            match UnixStream::connect(socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) => trouble.push(format!("{}: {error}", socket.display())),
            }
        }
        Err(Failure::new(code::NOT_RUNNING, format!("the daemon does not run here ({})", trouble.join("; "))))
    }
}

/// An answer that is an error says so in its body.
async fn checked(response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let told = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
    let told = told.and_then(|body| body["error"].as_str().map(str::to_owned));
    Err(Failure::new(code::FAILED, told.unwrap_or_else(|| format!("the daemon answered {status}"))))
}

/// Server-sent events, one after the other.
pub(super) struct Stream {
    body: Incoming,
    buffer: Vec<u8>,
    name: String,
}

impl Stream {
    /// The next one's name and data; nothing when the daemon has ended it.
    pub(super) async fn next(&mut self) -> Result<Option<(String, String)>, Failure> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                // What is neither is a number or a sign of life. Our data is JSON, so it has one line.
                if let Some(name) = line.strip_prefix("event:") {
                    name.trim().clone_into(&mut self.name);
                } else if let Some(data) = line.strip_prefix("data:") {
                    return Ok(Some((std::mem::take(&mut self.name), data.trim().to_owned())));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    self.buffer.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
                }
                Some(Err(error)) => {
                    return Err(Failure::new(code::FAILED, format!("the daemon has gone: {error}")));
                }
            }
        }
    }
}
