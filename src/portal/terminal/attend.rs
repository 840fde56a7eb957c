//! A running shell: its guard is attended until no process of the terminal is left.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Parts, shell};
use crate::config::env::TerminalUser;
use crate::sys::guard::GuardCommand;
use crate::sys::launch::{self, Orders, Report};
use crate::sys::process::signal_group;
use crate::sys::pty::{self, Size};
use crate::sys::reaper::{Exit, Reaper, Role, Stdio3};

/// How long the processes may take after HUP and TERM, and after that for KILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long the guard may take to read its orders.
const ORDERS_LIMIT: Duration = Duration::from_secs(5);

/// A shell for one WebSocket. When it is dropped, all its processes end.
pub(super) struct Shell {
    /// What the terminal prints.
    pub(super) output: pipe::Receiver,
    /// What is typed into the terminal.
    pub(super) input: pipe::Sender,
    /// How the shell ended, in words, once it has.
    pub(super) ended: watch::Receiver<Option<String>>,
    _stop: DropGuard,
}

/// The guard of a shell.
struct Guard {
    pid: i32,
    exit: oneshot::Receiver<Exit>,
    control: StdUnixStream,
}

impl Parts {
    /// Starts a shell, which occupies `permit` until its last process has ended. `by` names who asked for it.
    pub(super) fn start(
        &self,
        size: Size,
        permit: OwnedSemaphorePermit,
        by: String,
    ) -> Result<Shell, String> {
        let session = self.session.borrow().clone();
        let session = session.ok_or("the daemon is still deciding what to run; try again in a moment")?;
        let user = self.user?;
        let orders = shell::orders(session.as_ref().as_ref().map_err(Clone::clone)?, user)?;
        if self.stop.is_cancelled() {
            return Err("desktopd stops".to_owned());
        }
        let owner = orders.identity.as_ref().map(|identity| identity.uid);
        let failed = |error: io::Error| format!("opening a terminal: {error}");
        let pty = pty::open(owner, size).map_err(failed)?;
        let (output, input) = two_ends(pty.ours).map_err(failed)?;
        let guard = Guard::start(&self.reaper, &orders, pty.theirs)
            .map_err(|error| format!("starting a shell: {error}"))?;
        let (told, ended) = watch::channel(None);
        let stop = self.stop.child_token();
        let number = guard.pid;
        tracing::info!("terminal {number} was opened by {by}: a shell of {}", name(user));
        let attended = guard.attend(stop.clone(), told);
        self.running.spawn_on(
            async move {
                let began = Instant::now();
                let how = attended.await;
                tracing::info!(
                    "terminal {number} of {by} was closed after {} s: {how}",
                    began.elapsed().as_secs()
                );
                drop(permit);
            },
            &self.runtime,
        );
        Ok(Shell { output, input, ended, _stop: stop.drop_guard() })
    }
}

/// The two directions of a terminal. Like a pipe it is read and written without waiting, though it is none.
fn two_ends(ours: OwnedFd) -> io::Result<(pipe::Receiver, pipe::Sender)> {
    let again = ours.try_clone()?;
    Ok((pipe::Receiver::from_owned_fd_unchecked(ours)?, pipe::Sender::from_owned_fd_unchecked(again)?))
}

fn name(user: TerminalUser) -> &'static str {
    match user {
        TerminalUser::User => "the desktop's user",
        TerminalUser::Root => "root",
    }
}

impl Guard {
    fn start(reaper: &Reaper, orders: &Orders, terminal: OwnedFd) -> io::Result<Self> {
        let (control, theirs) = StdUnixStream::pair()?;
        let err = terminal.try_clone()?;
        let stdio = Stdio3 { control: theirs.into(), out: terminal, err };
        let (pid, exit) = reaper.spawn(Role::Guard, stdio)?;
        // If anything fails from here on, the guard ends by itself when its socket is closed.
        control.set_write_timeout(Some(ORDERS_LIMIT))?;
        match launch::send(&control, orders, &[]) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
        control.set_nonblocking(true)?;
        Ok(Self { pid: pid.as_raw(), exit, control })
    }

    /// Returns how it ended, when no process is left. `told` gets the end of the shell itself.
    async fn attend(mut self, stop: CancellationToken, told: watch::Sender<Option<String>>) -> String {
        let how = tokio::select! {
            how = self.shell_ended() => how,
            () = stop.cancelled() => "its page was closed".to_owned(),
        };
        told.send_replace(Some(how.clone()));
        // Jobs that the user detached end too: the terminal ends for good.
        let _ = launch::send(&self.control, &GuardCommand::Finish, &[]);
        // The page closes our side of the terminal, and the kernel sends HUP to the shell, which may save its history.
        if !stop.is_cancelled() || timeout(GRACE, &mut self.exit).await.is_err() {
            if timeout(GRACE, &mut self.exit).await.is_ok() {
                return how;
            }
            let _ = launch::send(&self.control, &GuardCommand::Kill, &[]);
            if timeout(GRACE, &mut self.exit).await.is_err() {
                signal_group(self.pid, Signal::SIGKILL);
                return format!("{how}; its processes could not be ended");
            }
        }
        how
    }

    /// Waits until the shell has ended, or could not be started.
    async fn shell_ended(&mut self) -> String {
        let lost = || "its guard has ended".to_owned();
        let Ok(Ok(mut control)) = self.control.try_clone().map(UnixStream::from_std) else { return lost() };
        let mut inbox = Vec::new();
        loop {
            while let Ok(Some(report)) = launch::unframe::<Report>(&mut inbox) {
                match report {
                    Report::Exited { exit } => return exit.to_string(),
                    Report::Failed { operation, errno } => return Report::describe(&operation, errno),
                    _ => {}
                }
            }
            if !matches!(control.read_buf(&mut inbox).await, Ok(1..)) {
                return lost();
            }
        }
    }
}
