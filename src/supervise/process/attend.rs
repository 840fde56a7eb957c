//! Follows one run: reports of the child, readiness, requests to clear, and the end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{OptionFuture, join_all};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::net::RecvFlags;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::start::{Started, no_start};
use crate::supervise::guards::{Clear, Guards};
use crate::supervise::lifecycle::{Event, Outcome, UnitId};
use crate::supervise::ready::{Reporter, Watch};
use crate::sys::guard::GuardCommand;
use crate::sys::launch::{self, Report};
use crate::sys::process::{descendants, group_is_gone, signal_rest};
use crate::sys::reaper::{Exit, Reaper, Role};

/// How long the rest of a unit's process group may take to end after its main process.
const GRACE: Duration = Duration::from_millis(1500);

/// How long the kernel may take to remove killed processes.
const KILLED: Duration = Duration::from_millis(500);

/// Follows one run until its end.
pub(super) async fn attend(
    at: UnitId,
    role: Role,
    started: Started,
    watch: Watch,
    mut ending: Ending,
    events: mpsc::UnboundedSender<Event>,
) {
    let Started { pid, mut exit, control, guard } = started;
    // The driver outlives every run; sending fails only when the daemon ends.
    let tell = |event| {
        let _ = events.send(event);
    };
    let mut reports = Reports { socket: control, buffer: Vec::new() };
    let mut run = Run { role, pid, outcome: None, watch: Some(watch), left: None, clearing: Vec::new() };
    let mut hearing = OptionFuture::from(None);
    let mut listening = true;
    let mut contained = None;
    let ended = loop {
        tokio::select! {
            report = reports.next(), if listening => {
                listening = report.is_some();
                if let Some((main, watch)) = run.hear(report) {
                    contained = Some(main).filter(|_| role == Role::Guard);
                    tell(Event::Launched(at, main));
                    let reporter = Reporter::new(at, events.clone());
                    // A panic in the listener is a bug of desktopd, and no reason to end a unit.
                    let heard = AssertUnwindSafe(watch.listen(main, reporter)).catch_unwind().map(drop);
                    hearing = Some(Box::pin(heard)).into();
                }
                if run.outcome.is_some() {
                    hearing = None.into();
                }
                if run.left.is_some() {
                    break None;
                }
            }
            Some(()) = &mut hearing => hearing = None.into(),
            Some(Clear { spare, done }) = ending.requests.recv() => {
                if let Some(guard) = &guard
                    && launch::send(&**guard, &GuardCommand::Clear { spare }, &[]).is_ok()
                {
                    run.clearing.push(done);
                }
            }
            exit = &mut exit => break Some(exit),
        }
    };
    drop(hearing);
    let left = run.left.zip(guard).map(|(jobs, guard)| {
        tracing::info!("{}: {jobs} detached processes keep running after its end", ending.unit);
        ending.guards.keep(guard)
    });
    if let Some(exit) = &ended {
        ending.collected.store(true, Ordering::Relaxed);
        // Reports that the child wrote before its end may not have been read yet.
        for report in reports.rest() {
            run.hear(Some(report));
        }
        match contained {
            Some(main) if *exit != Ok(Exit::Code(0)) => ending.clear_unguarded(main).await,
            None if role == Role::Exec => ending.clear(pid).await,
            _ => {}
        }
    }
    run.clearing.clear();
    ending.clear_around().await;
    tell(Event::Exited(at, run.outcome(ended.and_then(Result::ok))));
    if left.is_some() {
        let _ = exit.await;
    }
}

/// The outcome for a failure that the child reported.
fn no_service(operation: &str, errno: i32) -> Outcome {
    let why = Report::describe(operation, errno);
    let missing = operation.starts_with(launch::EXEC) && errno == Errno::ENOENT as i32;
    if missing { Outcome::NotFound(why) } else { no_start(why, errno) }
}

/// The state of a run.
struct Run {
    role: Role,
    pid: i32,
    outcome: Option<Outcome>,
    watch: Option<Watch>,
    /// The number of jobs for which the guard stays, once no other process is left.
    left: Option<usize>,
    /// The requests that wait until the guard has cleared.
    clearing: Vec<oneshot::Sender<()>>,
}

impl Run {
    /// Handles a report, or the end of all reports (`None`). Returns the main process at the moment when it is known to
    /// run.
    fn hear(&mut self, report: Option<Report>) -> Option<(i32, Watch)> {
        let main = match report {
            Some(Report::Failed { operation, errno }) => {
                self.outcome = Some(no_service(&operation, errno));
                None
            }
            Some(Report::Exited { exit }) => {
                self.outcome.get_or_insert(Outcome::Ended(exit));
                None
            }
            Some(Report::Started { pid }) => Some(pid),
            Some(Report::Left { jobs }) => {
                self.left = Some(jobs);
                None
            }
            Some(Report::Cleared) => {
                self.clearing.clear();
                None
            }
            // Without a guard, the exec closes the socket.
            None => (self.role == Role::Exec).then_some(self.pid),
        };
        if self.outcome.is_some() {
            return None;
        }
        Some((main?, self.watch.take()?))
    }

    /// The outcome, given the exit of the process that the daemon started.
    fn outcome(self, exit: Option<Exit>) -> Outcome {
        match (self.outcome, self.role, exit) {
            (Some(outcome), _, _) => outcome,
            (None, Role::Exec, Some(exit)) => Outcome::Ended(exit),
            // The guard's own exit code says only that no process is left.
            (None, Role::Guard, Some(exit)) => Outcome::NotStarted(format!("its guard ended with {exit}")),
            (None, _, None) => Outcome::NotStarted("its exit was lost".to_owned()),
        }
    }
}

/// The data that a run needs at its end.
pub(super) struct Ending {
    pub(super) unit: String,
    pub(super) collected: Arc<AtomicBool>,
    pub(super) finishing: Arc<AtomicBool>,
    pub(super) reaper: Reaper,
    /// Requests of other units to the guard.
    pub(super) requests: mpsc::UnboundedReceiver<Clear>,
    pub(super) guards: Guards,
    pub(super) clears: Vec<Guards>,
}

impl Ending {
    /// Ends the rest of the process group of `leader`, which has ended. The rest would disturb the next run.
    async fn clear(&self, leader: i32) {
        if group_is_gone(leader) {
            return;
        }
        // Also to processes that got the signal before: a signal that arrives while a shell starts its child can be
        // lost.
        signal_rest(leader, Signal::SIGTERM);
        let gone = || self.reaper.until(|| group_is_gone(leader));
        if tokio::time::timeout(GRACE, gone()).await.is_err() {
            signal_rest(leader, Signal::SIGKILL);
            // A process that cannot be killed is not waited for any longer.
            let _ = tokio::time::timeout(KILLED, gone()).await;
        }
    }

    /// Ends the processes that other units started for this unit and, if it ends for good, those that its earlier runs
    /// left.
    async fn clear_around(&mut self) {
        // No request is accepted any more.
        self.requests.close();
        let spare = !self.finishing.load(Ordering::Relaxed);
        join_all(self.clears.iter().map(|guards| guards.clear(spare))).await;
        if self.finishing.load(Ordering::Relaxed) {
            self.guards.end_jobs();
            self.guards.jobs_ended().await;
        }
    }

    /// Kills `main` and its descendants: its guard was killed, and the next run must not start beside them.
    async fn clear_unguarded(&self, main: i32) {
        for pid in descendants(main).into_iter().chain([main]) {
            // It may have ended in the meantime.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let gone = self.reaper.until(|| kill(Pid::from_raw(main), None) == Err(Errno::ESRCH));
        let _ = tokio::time::timeout(KILLED, gone).await;
    }
}

/// Reads the reports of the child one by one.
struct Reports {
    socket: UnixStream,
    buffer: Vec<u8>,
}

impl Reports {
    /// The next report; `None` if the other end was closed.
    async fn next(&mut self) -> Option<Report> {
        loop {
            match launch::unframe(&mut self.buffer) {
                Ok(Some(report)) => return Some(report),
                Ok(None) => {}
                Err(_) => return None,
            }
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// All reports that have arrived already.
    fn rest(self) -> Vec<Report> {
        there(&self.socket, self.buffer)
    }
}

/// All reports that have been read from `socket`, or can be read at once.
pub(super) fn there(socket: &UnixStream, mut buffer: Vec<u8>) -> Vec<Report> {
    let mut bytes = [0; 4096];
    // Reads directly: the runtime may not know yet that the socket is readable.
    while let Ok((n @ 1.., _)) = rustix::net::recv(socket, &mut bytes, RecvFlags::DONTWAIT) {
        buffer.extend_from_slice(&bytes[..n]);
    }
    std::iter::from_fn(|| launch::unframe(&mut buffer).ok().flatten()).collect()
}
