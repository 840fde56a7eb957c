//! The socket of a unit's `NOTIFY_SOCKET`, open for as long as the unit runs.

use std::future::pending;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::net::UnixDatagram;
use tokio::time::Instant;

use crate::supervise::notify::Message;
use crate::sys::process::in_session;

use super::reporter::Reporter;

/// The shortest time between two status texts that are forwarded: a unit that sends a text every millisecond must not
/// keep all observers busy.
const PAUSE: Duration = Duration::from_millis(250);

/// The longest message that is read completely, in bytes.
const LONGEST: usize = 4096;

pub(super) struct Listener {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Listener {
    /// Makes the socket anew.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(path)?;
        let listener = Self { socket, path: path.to_owned() };
        // Units of other users must reach the socket; the sender's credentials decide whether a message counts.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        setsockopt(&listener.socket, sockopt::PassCred, &true)?;
        Ok(listener)
    }

    /// Listens to the unit's session, whose leader is `main`; messages of other processes are ignored. Never ends by
    /// itself.
    pub(super) async fn listen(&self, main: i32, reporter: &mut Reporter) {
        reporter.probe_failed("no READY=1 came".to_owned());
        let mut ready = false;
        let mut tried: Option<String> = None;
        let mut status: Option<String> = None;
        let mut next = Instant::now();
        loop {
            let message = tokio::select! {
                message = self.message(main) => message,
                () = tokio::time::sleep_until(next), if status.is_some() || tried.is_some() => {
                    if let Some(tried) = tried.take() {
                        reporter.probe_failed(tried);
                    }
                    if let Some(status) = status.take() {
                        reporter.status_text(status);
                    }
                    next = Instant::now() + PAUSE;
                    continue;
                }
            };
            if !ready && message.ready {
                ready = true;
                tried = None;
                reporter.ready();
            } else if !ready && (message.status.is_some() || message.errno.is_some()) {
                tried = Some(format!("no READY=1 came{}", last_words(&message)));
            }
            status = message.status.or(status);
        }
    }

    /// The next message from the session of `main`.
    async fn message(&self, main: i32) -> Message {
        loop {
            if self.socket.readable().await.is_err() {
                return pending().await;
            }
            // A unit that sends many messages must not block the thread for other tasks.
            tokio::task::consume_budget().await;
            match self.socket.try_io(tokio::io::Interest::READABLE, || receive(&self.socket)) {
                Ok((bytes, Some(sender))) if in_session(sender, main) => return Message::parse(&bytes),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // One message is lost; a later one may arrive.
                Err(error) => tracing::warn!("{}: {error}", self.path.display()),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The next run makes its own socket.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The last status or error of a unit that is not ready.
fn last_words(message: &Message) -> String {
    match (&message.status, message.errno) {
        (Some(status), _) if !status.is_empty() => format!("; it said \"{status}\""),
        (_, Some(errno)) => format!("; it said {}", nix::errno::Errno::from_raw(errno).desc()),
        _ => String::new(),
    }
}

fn receive(socket: &UnixDatagram) -> io::Result<(Vec<u8>, Option<i32>)> {
    let mut bytes = vec![0; LONGEST];
    // There is no space for descriptors, so the kernel closes them. The daemon stores none for units, and the sender of
    // `BARRIER=1` waits until its descriptor is closed.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(socket, &mut [io::IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let sender = control.drain().find_map(|control| match control {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_pid()),
        _ => None,
    });
    bytes.truncate(message.bytes);
    Ok((bytes, sender))
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::os::fd::{AsRawFd, RawFd};

    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::supervise::lifecycle::{Event, UnitId};

    struct Scene {
        socket: std::os::unix::net::UnixDatagram,
        path: PathBuf,
        events: UnboundedReceiver<Event>,
        listening: tokio::task::JoinHandle<()>,
        _dir: tempfile::TempDir,
    }

    impl Scene {
        fn of(main: i32) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("unit");
            let listener = Listener::bind(&path).unwrap();
            let (sender, events) = unbounded_channel();
            let listening =
                tokio::spawn(
                    async move { listener.listen(main, &mut Reporter::new(UnitId(3), sender)).await },
                );
            let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
            Self { socket, path, events, listening, _dir: dir }
        }

        async fn next(&mut self) -> Event {
            tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await.unwrap().unwrap()
        }
    }

    fn own() -> i32 {
        std::process::id().cast_signed()
    }

    #[tokio::test]
    async fn a_notification_counts_only_from_the_units_own_session() {
        // Process 1 is in another session than this test.
        let mut scene = Scene::of(1);
        assert_eq!(scene.next().await, Event::ProbeFailed(UnitId(3), "no READY=1 came".into()));
        scene.socket.send_to(b"READY=1", &scene.path).unwrap();
        let more = tokio::time::timeout(Duration::from_millis(300), scene.events.recv()).await;
        assert!(more.is_err(), "{more:?}");
    }

    #[tokio::test]
    async fn many_messages_before_ready_are_reported_at_intervals() {
        let mut scene = Scene::of(own());
        scene.next().await;
        let start = std::time::Instant::now();
        for n in 0..2000 {
            scene.socket.send_to(format!("STATUS={n}").as_bytes(), &scene.path).unwrap();
            tokio::task::yield_now().await;
        }
        let last = Event::StatusText(UnitId(3), "1999".into());
        let mut heard = 0;
        while scene.next().await != last {
            heard += 1;
        }
        let pauses = start.elapsed().as_millis() / PAUSE.as_millis();
        assert!(heard <= 2 * (pauses + 2), "{heard} events in {:?}", start.elapsed());
    }

    #[tokio::test]
    async fn ready_is_reported_once_and_status_texts_afterwards() {
        let mut scene = Scene::of(own());
        scene.next().await;
        let sent = |text: &str| scene.socket.send_to(text.as_bytes(), &scene.path).unwrap();
        sent("STATUS=nearly");
        let tried = Event::ProbeFailed(UnitId(3), "no READY=1 came; it said \"nearly\"".into());
        while scene.next().await != tried {}
        let sent = |text: &str| scene.socket.send_to(text.as_bytes(), &scene.path).unwrap();
        sent("STOPPING=1\nRELOADING=1\nMAINPID=1\nERRNO=5");
        sent("STATUS=there\nREADY=1\n");
        sent("READY=1");
        let mut all = Vec::new();
        while all.last() != Some(&Event::StatusText(UnitId(3), "there".into())) {
            all.push(scene.next().await);
        }
        assert_eq!(all.iter().filter(|event| **event == Event::Ready(UnitId(3))).count(), 1, "{all:?}");
        scene.listening.abort();
        assert!((&mut scene.listening).await.is_err());
        assert!(!scene.path.exists());
    }

    #[tokio::test]
    async fn descriptors_in_messages_are_closed() {
        let mut scene = Scene::of(own());
        scene.next().await;
        // As `systemd-notify` and `sd_notify_barrier` do, and as a malicious program might.
        let (reader, writer) = io::pipe().unwrap();
        let address = UnixAddr::new(&scene.path).unwrap();
        let send = |text: &[u8], descriptors: &[RawFd]| {
            let rights = ControlMessage::ScmRights(descriptors);
            let fd = scene.socket.as_raw_fd();
            sendmsg(fd, &[IoSlice::new(text)], &[rights], MsgFlags::empty(), Some(&address)).unwrap();
        };
        send(b"BARRIER=1", &[writer.as_raw_fd()]);
        send(b"FDSTORE=1", &[writer.as_raw_fd(); 253]);
        drop(writer);
        scene.socket.send_to(b"READY=1", &scene.path).unwrap();
        assert_eq!(scene.next().await, Event::Ready(UnitId(3)));
        let mut reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into()).unwrap();
        let mut bytes = [0];
        let closed = tokio::io::AsyncReadExt::read(&mut reader, &mut bytes);
        assert_eq!(tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_flood_of_texts_is_reduced_and_the_last_one_reported() {
        let mut scene = Scene::of(own());
        scene.next().await;
        for number in 0..500 {
            let text = format!("STATUS={number}");
            // The queue of a socket is short.
            while scene.socket.set_nonblocking(true).is_ok()
                && scene.socket.send_to(text.as_bytes(), &scene.path).is_err()
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let (mut told, mut last) = (0, String::new());
        while last != "499" {
            if let Event::StatusText(_, text) = scene.next().await {
                told += 1;
                last = text;
            }
        }
        assert!(told < 250, "{told} of 500 texts were passed on");
    }
}
