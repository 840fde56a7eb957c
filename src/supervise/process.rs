//! One run of one unit: from the spawn until none of its processes is left.

mod attend;
mod start;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::logs::Logs;
use crate::plan::{Unit, ready_fd};
use crate::sys::guard::GuardCommand;
use crate::sys::launch::{self, Orders, Report};
use crate::sys::process::{signal_group, signal_rest};
use crate::sys::reaper::{Exit, Reaper, Role};

use super::guards::Guards;
use super::lifecycle::{Event, Outcome, UnitId};
use super::ready::Watch;
use super::ready::probe::{HelperProcess, HelperStarter};
use attend::{Ending, attend, there};
use start::{helper_orders, not_started, start};

/// The driver's handle of a run.
pub(super) struct Process {
    /// The process that the daemon started: the unit itself, or its guard.
    pid: i32,
    /// The unit's own process, once it is known to run.
    main: Option<i32>,
    /// A stop signal that came before the main process was known.
    owed: Option<Signal>,
    /// Whether the process that the daemon started was collected: its number may be reused.
    collected: Arc<AtomicBool>,
    /// To the guard, if there is one.
    guard: Option<Arc<StdUnixStream>>,
    /// All guards of the unit.
    guards: Guards,
    /// Whether the unit ends for good, and its jobs with it.
    finishing: Arc<AtomicBool>,
}

/// The guards that a run uses.
pub(super) struct RunGuards {
    /// The guards of the unit itself.
    pub(super) own: Guards,
    /// The guards of the units that are cleared at its end.
    pub(super) clears: Vec<Guards>,
}

/// Starts unit number `at`. Its events go to `events`; the last one is [`Event::Exited`].
pub(super) fn spawn(
    at: UnitId,
    unit: &Unit,
    run_guards: RunGuards,
    run_dir: &Path,
    (reaper, logs): (&Reaper, &Logs),
    events: mpsc::UnboundedSender<Event>,
) -> Result<Process, Outcome> {
    let notify = run_dir.join("notify").join(&unit.name);
    let start_helper = helper_starter(unit, reaper, logs);
    let number = ready_fd(unit.launch.listen.len());
    let (watch, fd) = Watch::new(&unit.ready, &notify, || logs.follow(&unit.name, 0).1, start_helper, number)
        .map_err(not_started("preparing to detect readiness"))?;
    let descriptors: Vec<OwnedFd> = fd.into_iter().collect();
    let fds = descriptors.iter().map(|_| number).collect();
    let role = if unit.contain { Role::Guard } else { Role::Exec };
    let orders = Orders { fds, ..unit.launch.clone() };
    let started = start(reaper, role, orders, &descriptors, &unit.name, logs)
        .map_err(not_started("starting a process"))?;
    let (collected, finishing) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let ending = Ending {
        unit: unit.name.clone(),
        collected: Arc::clone(&collected),
        finishing: Arc::clone(&finishing),
        reaper: reaper.clone(),
        requests: run_guards.own.begin(),
        guards: run_guards.own.clone(),
        clears: run_guards.clears,
    };
    let (pid, guard, guards) = (started.pid, started.guard.clone(), run_guards.own);
    let process = Process { pid, main: None, owed: None, collected, guard, guards, finishing };
    let told = events.clone();
    let attended = AssertUnwindSafe(attend(at, role, started, watch, ending, events)).catch_unwind();
    tokio::spawn(async move {
        // A panic here is a bug of desktopd; the unit must not stay without supervision.
        if attended.await.is_err() {
            signal_group(pid, Signal::SIGKILL);
            let why = "an internal error of desktopd".to_owned();
            let _ = told.send(Event::Exited(at, Outcome::NotStarted(why)));
        }
    });
    Ok(process)
}

/// Returns a function that starts commands beside `unit`.
pub(super) fn helper_starter(unit: &Unit, reaper: &Reaper, logs: &Logs) -> HelperStarter {
    let (unit, reaper, logs) = (unit.clone(), reaper.clone(), logs.clone());
    Arc::new(move |argv| run_helper(&unit, argv, &reaper, &logs))
}

/// Runs another command with the user, the environment and the log of the unit.
pub(super) fn run_helper(
    unit: &Unit,
    argv: &[String],
    reaper: &Reaper,
    logs: &Logs,
) -> io::Result<HelperProcess> {
    let started = start(reaper, Role::Exec, helper_orders(unit, argv), &[], &unit.name, logs)?;
    Ok(HelperProcess { pid: started.pid, exit: started.exit, control: started.control })
}

/// The reason for the failure of a command beside a unit; the command has ended.
pub(super) fn failure(exit: Exit, control: &UnixStream) -> String {
    let failed = there(control, Vec::new()).into_iter().find_map(|report| match report {
        Report::Failed { operation, errno } => Some(Report::describe(&operation, errno)),
        _ => None,
    });
    failed.unwrap_or_else(|| format!("it ended with {exit}"))
}

impl Process {
    /// The unit's own process runs, as process `main`.
    pub(super) fn launched(&mut self, main: i32) {
        self.main = Some(main);
        if let Some(signal) = self.owed.take() {
            self.signal(signal);
        }
    }

    /// Sends the stop signal to the unit.
    pub(super) fn signal(&mut self, signal: Signal) {
        match (&self.guard, self.main) {
            // A guard ignores signals, so the signal waits for the main process.
            (Some(_), None) => self.owed = Some(signal),
            (Some(_), Some(main)) => {
                // The signal goes to the process group: the number of the process alone may be reused by now.
                signal_rest(main, signal);
                self.wake_guard();
            }
            (None, _) => self.signal_own(signal),
        }
    }

    /// Continues a stopped guard, which could not report the end of its unit. The guard may have ended just now.
    fn wake_guard(&self) {
        if !self.collected.load(Ordering::Relaxed) {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGCONT);
        }
    }

    fn signal_own(&self, signal: Signal) {
        if self.collected.load(Ordering::Relaxed) {
            signal_rest(self.pid, signal);
        } else {
            signal_group(self.pid, signal);
        }
    }

    /// The unit is being stopped and ends for good: jobs of this run and of earlier runs end with it.
    pub(super) fn finish(&self) {
        if self.finishing.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(guard) = &self.guard {
            // A guard that does not receive any more has no processes left.
            let _ = launch::send(guard, &GuardCommand::Finish, &[]);
        }
        self.guards.end_jobs();
    }

    /// Kills the unit and all processes that are known to belong to it.
    pub(super) fn kill(&self) {
        match (&self.guard, self.main) {
            // After its guard has ended, no process of the unit is left to kill.
            (Some(_), _) if self.collected.load(Ordering::Relaxed) => {}
            (Some(guard), main) => {
                if let Some(main) = main {
                    signal_rest(main, Signal::SIGKILL);
                }
                let told = launch::send(guard, &GuardCommand::Kill, &[]);
                self.wake_guard();
                if told.is_err() {
                    signal_group(self.pid, Signal::SIGKILL);
                }
            }
            (None, _) => self.signal_own(Signal::SIGKILL),
        }
    }
}
