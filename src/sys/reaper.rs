//! The only fork and the only wait.
//!
//! A loop over `waitpid(-1)` collects the orphans that end up with an init; anybody else who waits for a child would
//! lose statuses to it. So one lock lies over spawn-and-register and over reaping, and an exit goes to whoever
//! registered the pid. The spawn under the lock is short: it runs this program's own file, without `pre_exec`, which
//! lets the standard library use `posix_spawn`.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use super::sides;

/// How often to look for ends that nobody tells us of.
const UNHEARD: Duration = Duration::from_millis(100);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It called exit with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether the process said that all went well.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit code by which shells tell it.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match nix::sys::signal::Signal::try_from(signal) {
                Ok(name) => write!(f, "signal {}", name.as_str()),
                Err(_) => write!(f, "signal {signal}"),
            },
        }
    }
}

/// Which child side of this program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Becomes the service: [`super::launch`].
    Exec,
    /// Stays above the service: [`super::guard`].
    Guard,
}

impl Role {
    /// The word on the command line.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Exec => sides::EXEC,
            Self::Guard => sides::GUARD,
        }
    }
}

/// The three standard descriptors of a child.
pub struct Stdio3 {
    /// Its control socket: it reads its orders there before anything else.
    pub control: OwnedFd,
    /// Standard output.
    pub out: OwnedFd,
    /// Standard error.
    pub err: OwnedFd,
}

/// Collects exits and hands them to whoever registered. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reaper {
    waiting: Arc<Mutex<HashMap<i32, oneshot::Sender<Exit>>>>,
    /// Changes whenever anything was collected, orphans too.
    collected: watch::Sender<()>,
}

impl Reaper {
    /// A reaper without children yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts this program again in `role`. The receiver gets the exit, however soon it comes.
    pub fn spawn(&self, role: Role, stdio: Stdio3) -> io::Result<(Pid, oneshot::Receiver<Exit>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = spawn_self(role, stdio)?;
        let (sender, receiver) = oneshot::channel();
        waiting.insert(pid.as_raw(), sender);
        Ok((pid, receiver))
    }

    /// Collects everything that has ended by now. To be called after every SIGCHLD.
    pub fn reap(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        while let Some((pid, exit)) = wait_any() {
            any = true;
            if let Some(sender) = waiting.remove(&pid.as_raw()) {
                // Whoever asked may have lost interest.
                let _ = sender.send(exit);
            }
        }
        if any {
            self.collected.send_replace(());
        }
    }

    /// Waits until `gone` says so; asks it again whenever a process was collected.
    pub async fn until(&self, gone: impl Fn() -> bool) {
        let mut collected = self.collected.subscribe();
        while !gone() {
            // Whoever has a parent of its own is collected by that, and we do not hear of it.
            let _ = tokio::time::timeout(UNHEARD, collected.changed()).await;
        }
    }
}

/// The one fork.
pub(super) fn spawn_self(role: Role, stdio: Stdio3) -> io::Result<Pid> {
    let child = Command::new("/proc/self/exe")
        .arg0("desktopd")
        .arg(role.verb())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(stdio.control))
        .stdout(Stdio::from(stdio.out))
        .stderr(Stdio::from(stdio.err))
        .spawn()?;
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// The one wait: any child that has ended, without waiting for one that has not.
///
/// Not `nix`'s, which reaps a child that a real-time signal ended and then fails to say which one it was.
pub(super) fn wait_any() -> Option<(Pid, Exit)> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let pid = Pid::from_raw(pid.as_raw_nonzero().get());
                if let Some(code) = status.exit_status() {
                    return Some((pid, Exit::Code(code)));
                }
                if let Some(signal) = status.terminating_signal() {
                    return Some((pid, Exit::Signal(signal)));
                }
                // Stops and continues are not exits.
            }
            Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Whether any child is left, running or not yet collected.
pub(super) fn has_children() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(rustix::process::waitid(WaitId::All, options), Err(Errno::CHILD))
}
