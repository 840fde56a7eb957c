//! Starts child processes and collects their exits: the only fork and the only wait of PID 1 and its guards.
//!
//! A loop over `waitpid(-1)` also collects the orphans that an init adopts. Any other code that waits for a child would
//! lose exit statuses to this loop. So the same lock protects spawn-and-register and reaping, and an exit is delivered
//! to the code that registered the PID. The spawn under the lock is short: it runs this program's own file, without
//! `pre_exec`, which lets the standard library use `posix_spawn`.

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

use super::{signals, subcommands};

/// How often to check for ends of processes that are not our children, for which no SIGCHLD comes.
const UNHEARD: Duration = Duration::from_millis(100);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The process called exit with this code.
    Code(i32),
    /// This signal ended the process.
    Signal(i32),
}

impl Exit {
    /// Whether the process ended with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The exit code that a shell reports: 128 and the number of the signal, if a signal ended the process.
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

/// The internal subcommand that a child runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The child becomes the service: [`super::launch`].
    Exec,
    /// The child stays above the service as a subreaper: [`super::guard`].
    Guard,
}

impl Role {
    /// The subcommand on the command line.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Exec => subcommands::EXEC,
            Self::Guard => subcommands::GUARD,
        }
    }
}

/// The three standard descriptors of a child.
pub struct Stdio3 {
    /// The control socket on standard input, from which the child first reads its orders.
    pub control: OwnedFd,
    /// Standard output.
    pub out: OwnedFd,
    /// Standard error.
    pub err: OwnedFd,
}

/// Collects exits and delivers each to the code that started the process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reaper {
    waiting: Arc<Mutex<HashMap<i32, oneshot::Sender<Exit>>>>,
    /// Changes whenever a process was collected, orphans too.
    collected: watch::Sender<()>,
}

impl Reaper {
    /// Collects children from now on, in a task of its own: an orphan that is adopted while the machine is probed must
    /// not wait for a plan. To be called once, inside the runtime.
    pub fn start() -> io::Result<Self> {
        let mut children = signals::children()?;
        let reaper = Self::default();
        let collecting = reaper.clone();
        tokio::spawn(async move {
            loop {
                // The first time for children that ended before this program ran.
                collecting.reap();
                signals::next(&mut children).await;
            }
        });
        Ok(reaper)
    }

    /// Starts this program again in `role`. The receiver gets the exit even if the process ends at once.
    pub fn spawn(&self, role: Role, stdio: Stdio3) -> io::Result<(Pid, oneshot::Receiver<Exit>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = spawn_self(role, stdio)?;
        let (sender, receiver) = oneshot::channel();
        waiting.insert(pid.as_raw(), sender);
        Ok((pid, receiver))
    }

    /// Collects all children that have ended.
    fn reap(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        while let Some((pid, exit)) = wait_any() {
            any = true;
            if let Some(sender) = waiting.remove(&pid.as_raw()) {
                // The receiver may have been dropped.
                let _ = sender.send(exit);
            }
        }
        if any {
            self.collected.send_replace(());
        }
    }

    /// Waits until `gone` returns true. `gone` is called again whenever a process was collected.
    pub async fn until(&self, gone: impl Fn() -> bool) {
        let mut collected = self.collected.subscribe();
        while !gone() {
            // A process with another parent is collected by that parent, without a SIGCHLD for us.
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
/// Not the function of `nix`: if a real-time signal ended the child, that function reaps the child and then fails
/// without its PID.
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
