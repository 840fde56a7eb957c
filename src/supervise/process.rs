//! One run of one unit: from the spawn until none of its processes is left.

mod ending;
mod reports;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::logs::Logs;
use crate::plan::{Unit, ready_fd};
use crate::sys::guard::GuardCommand;
use crate::sys::is_shortage;
use crate::sys::launch::{self, NewFile, Orders, Report};
use crate::sys::limits::{Resource, inherited_open_files};
use crate::sys::process::{signal_group, signal_rest};
use crate::sys::reaper::{Exit, Reaper, Role, Stdio3};

use super::guards::{Clear, Guards};
use super::lifecycle::{Event, Outcome};
use super::output;
use super::ready::probe::{HelperProcess, HelperStarter};
use super::ready::{Reporter, Watch};
use ending::Ending;
use reports::{Reports, there};

/// How long a child may take to read its orders before the start counts as failed.
const ORDERS_LIMIT: Duration = Duration::from_secs(5);

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

/// The orders for a unit's process.
fn orders(unit: &Unit, argv: &[String], fds: Vec<i32>) -> Orders {
    let launch = &unit.launch;
    let bytes = |text: &OsString| text.as_bytes().to_vec();
    let mut limits = launch.limits.clone();
    if !limits.iter().any(|limit| limit.resource == Resource::OpenFiles) {
        limits.extend(inherited_open_files());
    }
    Orders {
        argv: argv.iter().map(|text| text.as_bytes().to_vec()).collect(),
        env: launch.env.iter().map(|(name, value)| (bytes(name), bytes(value))).collect(),
        env_files: None,
        cwd: launch.cwd.clone(),
        cwd_required: launch.cwd_required,
        identity: launch.identity.clone(),
        groups: launch.groups.clone(),
        umask: launch.umask,
        nice: launch.nice,
        oom_score_adj: launch.oom_score_adj,
        limits,
        quiet: false,
        fds,
        folders: Vec::new(),
        private_tmp: None,
        files: Vec::new(),
        listen: Vec::new(),
    }
}

/// A started child with the channels to it.
struct Started {
    pid: i32,
    exit: oneshot::Receiver<Exit>,
    control: UnixStream,
    /// To the guard, if the child is a guard.
    guard: Option<Arc<StdUnixStream>>,
}

fn start(
    reaper: &Reaper,
    role: Role,
    orders: &Orders,
    fds: &[OwnedFd],
    unit: &str,
    logs: &Logs,
) -> io::Result<Started> {
    let (ours, theirs) = StdUnixStream::pair()?;
    let (output, writer) = io::pipe()?;
    let out: OwnedFd = writer.into();
    let err = out.try_clone()?;
    // Everything that needs descriptors is done before the spawn: a later failure would leave a child to clean up.
    let guard = if role == Role::Guard { Some(Arc::new(ours.try_clone()?)) } else { None };
    let (pid, exit) = reaper.spawn(role, Stdio3 { control: theirs.into(), out, err })?;
    let (unit, logs) = (unit.to_owned(), logs.clone());
    tokio::spawn(async move { output::read(output.into(), &unit, &logs).await });
    ours.set_write_timeout(Some(ORDERS_LIMIT))?;
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    // A child that has ended already reports the reason by its exit.
    if let Err(error) = launch::send(&ours, orders, &borrowed)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        signal_group(pid.as_raw(), Signal::SIGKILL);
        return Err(error);
    }
    match ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours)) {
        Ok(control) => Ok(Started { pid: pid.as_raw(), exit, control, guard }),
        Err(error) => {
            // The child has its orders. A guard ends all its processes when the other end of the socket closes.
            if role == Role::Exec {
                signal_group(pid.as_raw(), Signal::SIGKILL);
            }
            Err(error)
        }
    }
}

/// A start that failed in the daemon.
fn not_started(what: &'static str) -> impl Fn(io::Error) -> Outcome {
    move |error| no_start(format!("{what}: {error}"), error.raw_os_error().unwrap_or(0))
}

/// Tells a real error of a start from a lack of resources that may pass.
fn no_start(why: String, errno: i32) -> Outcome {
    if is_shortage(errno) { Outcome::HeldUp(why) } else { Outcome::NotStarted(why) }
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
    at: usize,
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
    let fds: Vec<OwnedFd> = fd.into_iter().collect();
    let targets = fds.iter().map(|_| number).collect();
    let role = if unit.contain { Role::Guard } else { Role::Exec };
    let mut orders = orders(unit, &unit.launch.argv, targets);
    orders.env_files.clone_from(&unit.launch.env_files);
    orders.folders.clone_from(&unit.launch.folders);
    orders.private_tmp.clone_from(&unit.launch.private_tmp);
    orders.listen.clone_from(&unit.launch.listen);
    orders.files = unit
        .launch
        .files
        .iter()
        .map(|file| NewFile {
            path: file.path.clone(),
            mode: file.mode,
            content: file.content.reveal().as_bytes().to_vec(),
        })
        .collect();
    let started =
        start(reaper, role, &orders, &fds, &unit.name, logs).map_err(not_started("starting a process"))?;
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
    let orders = Orders { quiet: true, ..orders(unit, argv, Vec::new()) };
    let started = start(reaper, Role::Exec, &orders, &[], &unit.name, logs)?;
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

/// Follows one run until its end.
async fn attend(
    at: usize,
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
