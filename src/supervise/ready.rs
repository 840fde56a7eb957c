//! How a unit says that it is ready, each way as a future that resolves when it has.
//!
//! What the kernel or a bus can tell is waited for; where there is nothing to wait on (a port, a socket that does not
//! exist yet) a short retry starts at 5 ms and backs off.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};
use regex::Regex;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixDatagram, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};

use crate::config::service::Ready;
use crate::logs::Line;
use crate::steps;
use crate::sys::process::{in_session, signal_group};
use crate::sys::reaper::Exit;

use super::notify::Message;

/// The first pause between two attempts; each following one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A way to become ready, set up before the process starts so that nothing it says is missed.
pub(super) enum Watch {
    Started,
    Notify {
        socket: UnixDatagram,
        path: PathBuf,
    },
    Descriptor(pipe::Receiver),
    Socket(PathBuf),
    Tcp(String),
    Http(String),
    File(PathBuf),
    Log {
        pattern: Regex,
        lines: broadcast::Receiver<Line>,
    },
    Delay(Duration),
    /// Starts a process that knows.
    Probe(Box<dyn Fn() -> io::Result<Probe> + Send + Sync>),
}

impl Watch {
    /// Sets up the watch. The descriptor, if there is one, goes to the process; `run` starts a process beside it.
    pub(super) fn new(
        ready: &Ready,
        notify: &Path,
        follow: impl FnOnce() -> broadcast::Receiver<Line>,
        run: impl Fn(&[String]) -> io::Result<Probe> + Send + Sync + 'static,
    ) -> io::Result<(Self, Option<OwnedFd>)> {
        Ok(match ready {
            Ready::Started => (Self::Started, None),
            Ready::Notify => (Self::Notify { socket: notify_socket(notify)?, path: notify.to_owned() }, None),
            Ready::Descriptor => {
                let (reader, writer) = io::pipe()?;
                (Self::Descriptor(pipe::Receiver::from_owned_fd(reader.into())?), Some(writer.into()))
            }
            Ready::Socket(path) => (Self::Socket(path.into()), None),
            Ready::Tcp(address) => (Self::Tcp(address.clone()), None),
            Ready::Http(url) => (Self::Http(url.clone()), None),
            Ready::File(path) => (Self::File(path.into()), None),
            Ready::Log(pattern) => {
                let pattern = Regex::new(pattern).map_err(io::Error::other)?;
                (Self::Log { pattern, lines: follow() }, None)
            }
            Ready::Delay(time) => (Self::Delay(*time), None),
            Ready::Exec(argv) => {
                let argv = argv.clone();
                (Self::Probe(Box::new(move || run(&argv))), None)
            }
            Ready::DBus { name, bus } => {
                let argv = ["/proc/self/exe", "__step", steps::AWAIT_BUS_NAME, bus, name].map(str::to_owned);
                (Self::Probe(Box::new(move || run(&argv))), None)
            }
        })
    }

    /// Whether the unit is ready as soon as its program runs.
    pub(super) fn is_started(&self) -> bool {
        matches!(self, Self::Started)
    }

    /// Resolves when the unit, whose main process is `main`, is ready. Never resolves otherwise.
    pub(super) async fn wait(self, main: i32) {
        match self {
            Self::Started => {}
            Self::Notify { socket, path } => {
                notified(&socket, main).await;
                // The unit may say more later (STOPPING, WATCHDOG); nobody has to listen for it to go on.
                let _ = std::fs::remove_file(path);
            }
            Self::Descriptor(pipe) => line(pipe).await,
            Self::Socket(path) => retry(|| connects(path.clone())).await,
            Self::Tcp(address) => retry(|| accepts(address.clone())).await,
            Self::Http(url) => retry(|| answers(url.clone())).await,
            Self::File(path) => retry(|| std::future::ready(path.exists())).await,
            Self::Log { pattern, lines } => says(&pattern, lines).await,
            Self::Delay(time) => tokio::time::sleep(time).await,
            Self::Probe(start) => retry(|| probe(start())).await,
        }
    }
}

/// Tries until it works. An attempt limits its own time; that of a probe is as long as the wait.
async fn retry<F, T>(mut attempt: F)
where
    F: FnMut() -> T,
    T: Future<Output = bool>,
{
    let mut pause = FIRST_PAUSE;
    while !attempt().await {
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

fn notify_socket(path: &Path) -> io::Result<UnixDatagram> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(path)?;
    // Units of other users must reach it; who may say what is decided by the sender's credentials.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    setsockopt(&socket, sockopt::PassCred, &true)?;
    Ok(socket)
}

/// Waits for `READY=1` from the unit's session; what others send is ignored.
async fn notified(socket: &UnixDatagram, main: i32) {
    loop {
        if socket.readable().await.is_err() {
            return pending().await;
        }
        match socket.try_io(tokio::io::Interest::READABLE, || receive(socket)) {
            Ok((message, Some(sender))) if in_session(sender, main) && Message::parse(&message).ready => {
                return;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return pending().await,
        }
    }
}

fn receive(socket: &UnixDatagram) -> io::Result<(Vec<u8>, Option<i32>)> {
    let mut bytes = [0; 4096];
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let (length, sender) = {
        let mut buffers = [io::IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(socket.as_fd().as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
        let sender = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        (message.bytes, sender)
    };
    Ok((bytes[..length].to_vec(), sender))
}

/// Waits for a line that matches.
async fn says(pattern: &Regex, mut lines: broadcast::Receiver<Line>) {
    loop {
        match lines.recv().await {
            Ok(line) if pattern.is_match(&line.text) => return,
            // In a flood the line may be among those that were missed; the next one may do.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return pending().await,
        }
    }
}

async fn line(mut pipe: pipe::Receiver) {
    let mut bytes = [0; 256];
    loop {
        match pipe.read(&mut bytes).await {
            Ok(n) if n > 0 && bytes[..n].contains(&b'\n') => return,
            Ok(n) if n > 0 => {}
            // Closed without a word: the exit, or the deadline, tells the rest.
            _ => return pending().await,
        }
    }
}

async fn connects(path: PathBuf) -> bool {
    UnixStream::connect(path).await.is_ok()
}

async fn accepts(address: String) -> bool {
    matches!(tokio::time::timeout(ATTEMPT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Whether the URL is answered with a good status in time.
async fn answers(url: String) -> bool {
    matches!(tokio::time::timeout(ATTEMPT, request(&url)).await, Ok(Ok(true)))
}

async fn request(url: &str) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let uri: http::Uri = url.parse()?;
    let host = uri.host().unwrap_or("127.0.0.1");
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(http::header::HOST, uri.authority().map_or(host, |authority| authority.as_str()))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())?;
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        response = &mut response => response?,
        // One poll of the connection may read the whole answer and end; the answer is there then.
        result = connection => {
            result?;
            response.await?
        }
    };
    Ok(response.status().is_success() || response.status().is_redirection())
}

/// A process that ends well when the unit is ready. It ends with the watch.
pub(super) struct Probe {
    pub(super) pid: i32,
    pub(super) exit: oneshot::Receiver<Exit>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        if matches!(self.exit.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
            signal_group(self.pid, Signal::SIGKILL);
        }
    }
}

async fn probe(started: io::Result<Probe>) -> bool {
    match started {
        Ok(mut probe) => (&mut probe.exit).await.is_ok_and(Exit::success),
        Err(error) => {
            tracing::debug!("starting a probe: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn http_is_ready_when_the_answer_is_good() {
        use tokio::io::AsyncWriteExt;
        for (answer, expected) in [
            ("HTTP/1.1 200 OK", true),
            ("HTTP/1.1 302 Found", true),
            ("HTTP/1.1 503 No", false),
            ("what?", false),
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
            assert_eq!(answers(url).await, expected, "{answer}");
            assert!(server.await.unwrap().starts_with("GET /health HTTP/1.1\r\n"));
        }
    }

    #[tokio::test]
    async fn a_notification_counts_only_from_the_units_own_session() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unit");
        let socket = notify_socket(&path).unwrap();
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"READY=1", &path).unwrap();
        let own = std::process::id().cast_signed();
        let wait = |main| tokio::time::timeout(Duration::from_millis(300), notified(&socket, main));
        // Process 1 is of another session than this test.
        assert!(wait(1).await.is_err());
        sender.send_to(b"STATUS=nearly\nREADY=1\n", &path).unwrap();
        assert!(wait(own).await.is_ok());
    }
}
