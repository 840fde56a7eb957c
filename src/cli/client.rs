//! The API over the control socket.

use std::io::Write;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::config::Config;
use crate::logs::Line;
use crate::observe::Snapshot;
use crate::portal::Credentials;

use super::{Units, code, render};

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

    pub(super) async fn verb(&self, verb: &str, units: &Units) -> Result<(), Failure> {
        let body = serde_json::json!({ "names": units.names }).to_string();
        let answer: serde_json::Value = self.json(Method::POST, &format!("/api/units/{verb}"), &body).await?;
        render::print(units.json, &answer, || {
            let names = answer["units"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names: Vec<&str> = names.iter().filter_map(|name| name.as_str()).collect();
            format!("{verb}: {}\n", names.join(", "))
        })
    }

    pub(super) async fn logs(
        &self,
        name: &str,
        lines: usize,
        follow: bool,
        json: bool,
    ) -> Result<(), Failure> {
        if !follow {
            let lines: Vec<Line> =
                self.json(Method::GET, &format!("/api/logs/{name}?lines={lines}"), "").await?;
            return lines.iter().try_for_each(|line| print_line(line, json));
        }
        let response =
            self.request(Method::GET, &format!("/api/logs/{name}/stream?lines={lines}"), "").await?;
        let mut body = checked(response).await?.into_body();
        let mut buffer = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Failure::new(code::FAILED, format!("the log ended: {error}")))?;
            buffer.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let text: Vec<u8> = buffer.drain(..=end).collect();
                // Server-sent events: what is not a line's data is a name, an id or a sign of life.
                if let Some(line) =
                    text.strip_prefix(b"data:").and_then(|data| serde_json::from_slice(data).ok())
                {
                    print_line(&line, json)?;
                }
            }
        }
        Ok(())
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

fn print_line(line: &Line, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, line).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let at = jiff::Timestamp::from_millisecond(line.at).unwrap_or_default();
        writeln!(out, "{at:.3} {}", line.text)?;
    }
    Ok(())
}
