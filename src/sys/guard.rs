//! `desktopd __guard`: a subreaper above one contained unit.
//!
//! A desktop's processes leave their session and their parent; as long as a subreaper stands between them and PID 1,
//! they cannot leave its tree. When the unit's main process ends, or when the daemon asks, the guard ends whatever is
//! left (TERM, then KILL) and ends itself last: its exit says that nothing of the unit is alive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::launch::{self, Report};
use super::process::signal_descendants;
use super::reaper::{self, Role, Stdio3};

/// How long what is left after the main process may take to end by itself.
const GRACE: Duration = Duration::from_millis(1500);

/// What the daemon says to a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardCommand {
    /// End everything at once, with KILL.
    Kill,
}

/// `desktopd __guard`. Returns the exit code to end with, when nothing of the unit is left.
pub fn guard() -> i32 {
    match Guard::start() {
        Ok(mut guard) => match guard.run() {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("desktopd: guard: {error}");
                70
            }
        },
        Err(error) => {
            eprintln!("desktopd: `__guard` is not for people ({error})");
            70
        }
    }
}

struct Guard {
    /// To the daemon.
    control: UnixStream,
    /// To the child that becomes the service; closed by its exec.
    launching: Option<UnixStream>,
    signals: SignalFd,
    main: Option<Pid>,
    /// When the rest gets KILL; set once the rest was asked to end.
    kill_at: Option<Instant>,
    inbox: Vec<u8>,
}

impl Guard {
    fn start() -> io::Result<Self> {
        let control = launch::take_control()?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        // Stops come through the control socket; a TERM that reaches the whole container must not remove the guard
        // before its unit.
        mask.add(Signal::SIGTERM);
        mask.add(Signal::SIGINT);
        mask.add(Signal::SIGHUP);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        nix::sys::prctl::set_child_subreaper(true)?;
        let (orders, fds, inbox) = launch::receive_orders(&control)?;

        let (ours, theirs) = UnixStream::pair()?;
        let stdio = Stdio3 {
            control: theirs.into(),
            out: io::stdout().as_fd().try_clone_to_owned()?,
            err: io::stderr().as_fd().try_clone_to_owned()?,
        };
        let main = reaper::spawn_self(Role::Exec, stdio).inspect_err(|error| {
            let operation = "starting a process".to_owned();
            let report = Report::Failed { operation, errno: error.raw_os_error().unwrap_or(0) };
            // The daemon may be gone; there is nobody else to tell.
            let _ = launch::send(&control, &report, &[]);
        })?;
        let borrowed: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
        launch::send(&ours, &orders, &borrowed)?;
        control.set_nonblocking(true)?;
        Ok(Self { control, launching: Some(ours), signals, main: Some(main), kill_at: None, inbox })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut alone = false;
        loop {
            self.wait(alone)?;
            if self.launching.is_some() {
                self.relay_launch()?;
            }
            alone |= self.listen()?;
            while matches!(self.signals.read_signal(), Ok(Some(_))) {}
            while let Some((pid, exit)) = reaper::wait_any() {
                if Some(pid) == self.main {
                    self.main = None;
                    self.tell(&Report::Exited { exit });
                }
            }
            // With the daemon gone there is nobody to keep the unit for.
            if self.main.is_none() || alone {
                if !reaper::has_children() {
                    return Ok(());
                }
                self.sweep();
            }
        }
    }

    fn wait(&self, alone: bool) -> io::Result<()> {
        let timeout = match self.kill_at {
            None => PollTimeout::NONE,
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if !alone {
            fds.push(PollFd::new(self.control.as_fd(), PollFlags::POLLIN));
        }
        if let Some(launching) = &self.launching {
            fds.push(PollFd::new(launching.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Passes on what came of the launch, once it is known.
    fn relay_launch(&mut self) -> io::Result<()> {
        let Some(socket) = &mut self.launching else { return Ok(()) };
        socket.set_nonblocking(true)?;
        let mut bytes = Vec::new();
        match socket.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && bytes.is_empty() => return Ok(()),
            _ => {}
        }
        self.launching = None;
        let failed = launch::unframe::<Report>(&mut bytes).unwrap_or(None);
        match (failed, self.main) {
            (Some(report), _) => self.tell(&report),
            (None, Some(main)) => self.tell(&Report::Started { pid: main.as_raw() }),
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes commands. Returns whether the daemon is gone.
    fn listen(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 256];
        loop {
            match self.control.read(&mut bytes) {
                Ok(0) => return Ok(true),
                Ok(n) => self.inbox.extend_from_slice(&bytes[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(true),
            }
        }
        while let Some(GuardCommand::Kill) = launch::unframe(&mut self.inbox)? {
            self.kill_at = Some(Instant::now());
            signal_descendants(Signal::SIGKILL);
        }
        Ok(false)
    }

    fn sweep(&mut self) {
        match self.kill_at {
            None => {
                signal_descendants(Signal::SIGTERM);
                signal_descendants(Signal::SIGCONT);
                self.kill_at = Some(Instant::now() + GRACE);
            }
            Some(at) if Instant::now() >= at => {
                signal_descendants(Signal::SIGKILL);
                // Something may be started between the look and the signal: look again soon.
                self.kill_at = Some(Instant::now() + Duration::from_millis(50));
            }
            Some(_) => {}
        }
    }

    fn tell(&mut self, report: &Report) {
        // The daemon may be gone, which `listen` notices.
        if let Ok(bytes) = launch::frame(report) {
            let _ = self.control.write_all(&bytes);
        }
    }
}

/// All processes below `root` in the parent relation `parents` (child to parent), `root` itself left out.
pub(super) fn below(root: i32, parents: &BTreeMap<i32, i32>) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for (&child, parent) in parents {
            if *parent == root || found.contains(parent) {
                found.insert(child);
            }
        }
        if found.len() == before {
            found.remove(&root);
            return found;
        }
    }
}
