//! One attempt to get an answer from a unit, to see whether it is ready or still healthy. The error describes the
//! answer, without the request. An attempt has no time limit of its own: it ends when it is dropped.

use std::error::Error;
use std::io;
use std::sync::Arc;

use http::StatusCode;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use crate::config::service::Probe;
use crate::steps;
use crate::sys::errno::{chain, describe};
use crate::sys::process::signal_group;
use crate::sys::reaper::Exit;
use crate::sys::subcommands;

use super::x11;

/// Starts a helper process beside a unit, with the unit's user and environment.
pub(in crate::supervise) type HelperStarter =
    Arc<dyn Fn(&[String]) -> io::Result<HelperProcess> + Send + Sync>;

/// A helper process beside a unit. Dropping it kills the process with its group.
pub(in crate::supervise) struct HelperProcess {
    pub(in crate::supervise) pid: i32,
    pub(in crate::supervise) exit: oneshot::Receiver<Exit>,
    /// Reports why it could not be started.
    pub(in crate::supervise) control: UnixStream,
}

impl Drop for HelperProcess {
    fn drop(&mut self) {
        if matches!(self.exit.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
            signal_group(self.pid, Signal::SIGKILL);
        }
    }
}

/// Makes one attempt.
pub(in crate::supervise) async fn attempt(probe: &Probe, start_helper: &HelperStarter) -> Result<(), String> {
    match probe {
        Probe::Socket(path) => UnixStream::connect(path).await.map(drop).map_err(|error| describe(&error)),
        Probe::Banner { path, expect } => banner(path, expect).await,
        Probe::DBus { bus, objects } => {
            let words = ["/proc/self/exe", subcommands::STEP, steps::ASK_BUS, bus].map(str::to_owned);
            exec(start_helper(&[&words[..], objects].concat())).await
        }
        Probe::Tcp(address) => TcpStream::connect(address).await.map(drop).map_err(|error| describe(&error)),
        Probe::Http(url) => match request(url).await {
            Ok(status) if status.is_success() || status.is_redirection() => Ok(()),
            Ok(status) => Err(format!("status {status}")),
            Err(error) => Err(chain(&*error)),
        },
        Probe::Exec(argv) => exec(start_helper(argv)).await,
        Probe::X11 { display, xauthority } => x11::attempt(display, xauthority).await,
    }
}

/// Waits for the first bytes that a service sends.
async fn banner(path: &str, expect: &str) -> Result<(), String> {
    let mut stream = UnixStream::connect(path).await.map_err(|error| describe(&error))?;
    let mut first = vec![0; expect.len()];
    match stream.read_exact(&mut first).await {
        Ok(_) if first == expect.as_bytes() => Ok(()),
        Ok(_) => Err(format!("its first words are not {expect:?}")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(format!("it closed the connection before it said {expect:?}"))
        }
        Err(error) => Err(describe(&error)),
    }
}

/// Waits for the end of a command; the command may have failed to start.
pub(super) async fn exec(started: io::Result<HelperProcess>) -> Result<(), String> {
    let mut helper = started.map_err(|error| format!("starting it: {}", describe(&error)))?;
    match (&mut helper.exit).await {
        Ok(exit) if exit.success() => Ok(()),
        Ok(exit) => Err(exit.to_string()),
        Err(_) => Err("its exit was lost".to_owned()),
    }
}

async fn request(url: &str) -> Result<StatusCode, Box<dyn Error + Send + Sync>> {
    let uri: http::Uri = url.parse()?;
    let host = uri.host().unwrap_or("127.0.0.1").trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(http::header::HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())?;
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut response => response?,
        // One poll of the connection may read the whole response and end; then the response is available.
        result = connection => {
            result?;
            response.await?
        }
    };
    Ok(response.status())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn unit_alone() -> HelperStarter {
        Arc::new(|_| Err(io::ErrorKind::Unsupported.into()))
    }

    #[tokio::test]
    async fn http_succeeds_on_success_and_redirection() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK", Ok(())),
            ("HTTP/1.1 302 Found", Ok(())),
            ("HTTP/1.1 503 No", Err("status 503 Service Unavailable")),
            ("what?", Err("invalid HTTP version parsed")),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/health", listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let read = stream.read(&mut head).await.unwrap();
                let body = format!("{answer}\r\nContent-Length: 2\r\n\r\nOK");
                stream.write_all(body.as_bytes()).await.unwrap();
                String::from_utf8_lossy(&head[..read]).into_owned()
            });
            let result = attempt(&Probe::Http(url), &unit_alone()).await;
            assert_eq!(result, expected.map_err(str::to_owned), "{answer}");
            assert!(server.await.unwrap().starts_with("GET /health HTTP/1.1\r\n"));
        }
    }

    #[tokio::test]
    async fn banner_must_match() {
        let dir = tempfile::tempdir().unwrap();
        for (name, says, expected) in [
            ("good", "RFB 003.008\n", Ok(())),
            ("other", "SSH-2.0\n", Err("its first words are not \"RFB \"")),
            ("short", "RF", Err("it closed the connection before it said \"RFB \"")),
        ] {
            let path = dir.path().join(name);
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(says.as_bytes()).await.unwrap();
            });
            let probe = Probe::Banner { path: path.to_str().unwrap().into(), expect: "RFB ".into() };
            assert_eq!(attempt(&probe, &unit_alone()).await, expected.map_err(str::to_owned), "{name}");
        }
        // A frozen service still accepts, in the kernel, but sends nothing.
        let path = dir.path().join("frozen");
        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        let probe = Probe::Banner { path: path.to_str().unwrap().into(), expect: "RFB ".into() };
        let limit = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(limit, attempt(&probe, &unit_alone())).await.is_err());
    }

    #[tokio::test]
    async fn errors_are_reported_in_words() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let deaf = dir.path().join("deaf");
        drop(std::os::unix::net::UnixListener::bind(&deaf).unwrap());
        for (probe, expected) in [
            (Probe::Tcp(closed.to_string()), "Connection refused"),
            (Probe::Http(format!("http://{closed}/")), "Connection refused"),
            (Probe::Socket(deaf.to_str().unwrap().into()), "Connection refused"),
            (Probe::Socket("/no/such/socket".into()), "No such file or directory"),
            (Probe::Exec(vec!["x".into()]), "starting it: unsupported"),
        ] {
            assert_eq!(attempt(&probe, &unit_alone()).await, Err(expected.to_owned()), "{probe:?}");
        }
    }
}
