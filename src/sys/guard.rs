//! `desktopd __guard`: a subreaper above one contained unit.
//!
//! Processes of a desktop leave their session and their parent. A subreaper between them and PID 1 keeps them in its
//! process tree. When the unit's main process ends, or when the daemon asks for it, the guard ends all remaining
//! processes (TERM, then KILL) and exits last: the exit of the guard means that no process of the unit is alive.
//!
//! Jobs that a user detached (the module `jobs`) keep running, unless the daemon says that the unit ends for good. The
//! guard reports that only jobs are left, so that the unit can be started again under a new guard. The old guard stays
//! the parent of the jobs until the last job ends or is ended, so that the unit to which they belong stays known.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::heap;
use super::jobs::{self, Own};
use super::launch::{self, Report};
use super::process::{below, command_line, processes, signal_all};
use super::reaper::{self, Role, Stdio3};

/// How long the remaining processes may take to end by themselves after the main process has ended.
const GRACE: Duration = Duration::from_millis(1500);

/// How soon to look again after a KILL: a killed process may have started another one just before.
const AGAIN: Duration = Duration::from_millis(50);

/// How often to check for processes whose end is reported to their own parents and not to the guard.
const UNHEARD: Duration = Duration::from_millis(10);

/// How long the kernel may take to remove killed processes.
const KILLED: Duration = Duration::from_millis(500);

/// A command from the daemon to a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardCommand {
    /// Kill all processes of the unit at once with KILL. Jobs are killed only if the unit ends for good.
    Kill,
    /// The unit ends for good: jobs end with it.
    Finish,
    /// End the processes that the unit started beside its main process; the main process keeps running.
    Clear {
        /// Whether jobs keep running.
        spare: bool,
    },
}

/// `desktopd __guard`. Returns when no process of the unit is left; the value is the exit code.
pub fn guard() -> i32 {
    match Guard::start() {
        Ok(mut guard) => match guard.run() {
            Ok(()) => 0,
            Err(error) => {
                crate::sys::print::error(&format!("desktopd: guard: {error}"));
                70
            }
        },
        Err(error) => {
            crate::sys::print::error(&format!("desktopd: `__guard` is an internal command ({error})"));
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
    own: Own,
    /// Whether jobs keep running.
    spare: bool,
    /// Whether the daemon got the report that only jobs are left.
    left: bool,
    /// When the remaining processes get KILL; set after they got TERM.
    kill_at: Option<Instant>,
    clearing: Option<Clearing>,
    inbox: Vec<u8>,
}

/// The state of ending the processes that were started beside the main process.
struct Clearing {
    spare: bool,
    /// The processes that got TERM.
    told: BTreeSet<i32>,
    /// Whether `told` is the second set: the processes that existed when the first set had ended. Processes that appear
    /// later were started by the main process, which keeps running and would start them again.
    second: bool,
    /// When they get KILL; after that, when the guard gives up on them.
    deadline: Instant,
    killed: bool,
}

impl Guard {
    fn start() -> io::Result<Self> {
        let control = launch::take_control()?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        // Stop requests come through the control socket. A TERM that is sent to the whole container must not end the
        // guard before its unit.
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
            // The daemon may have ended; no other process can take the report.
            let _ = launch::send(&control, &report, &[]);
        })?;
        let borrowed: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
        launch::send(&ours, &orders, &borrowed)?;
        control.set_nonblocking(true)?;
        Ok(Self {
            control,
            launching: Some(ours),
            signals,
            main: Some(main),
            own: Own { main: main.as_raw(), env: orders.env },
            spare: true,
            left: false,
            kill_at: None,
            clearing: None,
            inbox,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut alone = false;
        loop {
            self.wait(alone)?;
            if self.launching.is_some() {
                self.relay_launch()?;
                if self.launching.is_none() {
                    // The received orders were large, and the guard lives as long as its service.
                    heap::give_back();
                }
            }
            alone |= self.listen()?;
            while matches!(self.signals.read_signal(), Ok(Some(_))) {}
            while let Some((pid, exit)) = reaper::wait_any() {
                if Some(pid) == self.main {
                    self.main = None;
                    self.tell(&Report::Exited { exit });
                }
            }
            if self.clearing.is_some() {
                self.clear();
            }
            // Without the daemon no process manages the jobs any more, so they end as well.
            self.spare &= !alone;
            if self.main.is_none() || alone {
                if !reaper::has_children() {
                    return Ok(());
                }
                self.sweep();
            }
        }
    }

    fn wait(&self, alone: bool) -> io::Result<()> {
        let kill_at = self.kill_at.filter(|_| self.main.is_none() || alone);
        let clearing = self.clearing.as_ref().map(|_| Instant::now() + UNHEARD);
        let timeout = match kill_at.into_iter().chain(clearing).min() {
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

    /// Passes the result of the launch on to the daemon, once it is known.
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

    /// Reads commands. Returns whether the daemon has closed the connection.
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
        while let Some(command) = launch::unframe(&mut self.inbox)? {
            self.obey(command);
        }
        Ok(false)
    }

    fn obey(&mut self, command: GuardCommand) {
        match command {
            GuardCommand::Kill => {
                let (rest, jobs) = self.everything();
                signal_all(&rest, Signal::SIGKILL);
                if !self.spare {
                    signal_all(&jobs, Signal::SIGKILL);
                }
                self.kill_at = Some(Instant::now());
            }
            // A repeated command must not restart the grace period that is running.
            GuardCommand::Finish if !self.spare => {}
            GuardCommand::Finish => {
                self.spare = false;
                // Jobs get TERM at once; they need not wait until the desktop has logged out.
                let (_, jobs) = self.everything();
                signal_all(&jobs, Signal::SIGTERM);
                signal_all(&jobs, Signal::SIGCONT);
                self.kill_at = None;
            }
            // The main process has ended, so all other processes are ended anyway.
            GuardCommand::Clear { .. } if self.main.is_none() => self.tell(&Report::Cleared),
            GuardCommand::Clear { spare } => {
                let spare = spare && self.clearing.as_ref().is_none_or(|clearing| clearing.spare);
                self.clearing = Some(Clearing::new(spare, self.beside_main(spare)));
            }
        }
    }

    /// All processes below the guard: first those of the unit, then the jobs.
    fn everything(&self) -> (BTreeSet<i32>, BTreeSet<i32>) {
        let guard = std::process::id().cast_signed();
        let all = processes();
        let jobs = self.own.jobs(guard, &all, jobs::environment);
        (below(guard, &all).difference(&jobs).copied().collect(), jobs)
    }

    /// All processes below the guard except the main process. Zombies are left out: their parents collect them. A fork
    /// of the main process that has not executed another program counts as the main process: a message bus has such a
    /// fork above the programs that it started; the fork ends with the bus and passes a TERM on to it.
    fn beside_main(&self, spare: bool) -> BTreeSet<i32> {
        let guard = std::process::id().cast_signed();
        let all = processes();
        let jobs = if spare { self.own.jobs(guard, &all, jobs::environment) } else { BTreeSet::new() };
        let line = command_line(self.own.main);
        let mut found = below(guard, &all);
        found.retain(|pid| {
            *pid != self.own.main
                && !jobs.contains(pid)
                && !all[pid].is_zombie()
                && (line.is_empty() || command_line(*pid) != line)
        });
        found
    }

    /// Takes the next step of the clearing.
    fn clear(&mut self) {
        let Some(mut clearing) = self.clearing.take() else { return };
        let now = Instant::now();
        let here = self.beside_main(clearing.spare);
        let late = clearing.deadline <= now;
        if self.main.is_none() || (late && clearing.killed) {
            return self.tell(&Report::Cleared);
        }
        if clearing.told.is_disjoint(&here) {
            if clearing.second || here.is_empty() {
                return self.tell(&Report::Cleared);
            }
            clearing = Clearing { second: true, ..Clearing::new(clearing.spare, here) };
        } else if late {
            signal_all(&here, Signal::SIGKILL);
            clearing.killed = true;
            clearing.deadline = now + KILLED;
        }
        self.clearing = Some(clearing);
    }

    /// Ends the remaining processes.
    fn sweep(&mut self) {
        // Only jobs are left and that was reported: nothing more to do.
        if self.left && self.spare {
            return;
        }
        let (mut rest, jobs) = self.everything();
        if !self.spare {
            rest.extend(jobs);
        } else if rest.is_empty() && !jobs.is_empty() {
            self.left = true;
            self.kill_at = None;
            return self.tell(&Report::Left { jobs: jobs.len() });
        }
        match self.kill_at {
            None => {
                signal_all(&rest, Signal::SIGTERM);
                signal_all(&rest, Signal::SIGCONT);
                self.kill_at = Some(Instant::now() + GRACE);
            }
            Some(at) if Instant::now() >= at => {
                signal_all(&rest, Signal::SIGKILL);
                self.kill_at = Some(Instant::now() + AGAIN);
            }
            Some(_) => {}
        }
    }

    fn tell(&mut self, report: &Report) {
        // The daemon may have ended; `listen` notices that.
        if let Ok(bytes) = launch::frame(report) {
            let _ = self.control.write_all(&bytes);
        }
    }
}

impl Clearing {
    /// Sends TERM to the processes of `told`.
    fn new(spare: bool, told: BTreeSet<i32>) -> Self {
        signal_all(&told, Signal::SIGTERM);
        signal_all(&told, Signal::SIGCONT);
        Self { spare, told, second: false, deadline: Instant::now() + GRACE, killed: false }
    }
}
