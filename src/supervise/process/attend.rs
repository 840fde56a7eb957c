//! Follows one run: reports of the child, readiness, requests to clear, and the end.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use nix::errno::Errno;
use tokio::sync::{mpsc, oneshot};

use super::ending::Ending;
use super::reports::Reports;
use super::start::{Started, no_start};
use crate::supervise::guards::Clear;
use crate::supervise::lifecycle::{Event, Outcome, UnitId};
use crate::supervise::ready::{Reporter, Watch};
use crate::sys::guard::GuardCommand;
use crate::sys::launch::{self, Report};
use crate::sys::reaper::{Exit, Role};

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
