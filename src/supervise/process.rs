//! One run of one unit: from the spawn to the moment when nothing of it is left.

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
use super::ready::probe::{Beside, Companion};
use super::ready::{Teller, Watch};
use ending::Ending;
use reports::{Reports, there};

/// How long a child may take to read its orders before the start counts as failed.
const ORDERS_LIMIT: Duration = Duration::from_secs(5);

/// What the driver keeps of a run.
pub(super) struct Process {
    /// The process that we started: the unit itself, or its guard.
    pid: i32,
    /// The unit's own process, once it is known to run.
    main: Option<i32>,
    /// The stop signal, when it came before there was anybody to take it.
    owed: Option<Signal>,
    /// Whether the process that we started is no more: its number may be another's soon.
    collected: Arc<AtomicBool>,
    /// To the guard, if there is one.
    guard: Option<Arc<StdUnixStream>>,
    /// All guards of the unit.
    guards: Guards,
    /// Whether the unit ends for good, and jobs with it.
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

/// Both ends of what a fresh child needs.
struct Started {
    pid: i32,
    exit: oneshot::Receiver<Exit>,
    control: UnixStream,
    /// To the guard, if the child is one.
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
    // All that needs descriptors comes before the child: afterwards there would be somebody to get rid of.
    let guard = if role == Role::Guard { Some(Arc::new(ours.try_clone()?)) } else { None };
    let (pid, exit) = reaper.spawn(role, Stdio3 { control: theirs.into(), out, err })?;
    let (unit, logs) = (unit.to_owned(), logs.clone());
    tokio::spawn(async move { output::read(output.into(), &unit, &logs).await });
    ours.set_write_timeout(Some(ORDERS_LIMIT))?;
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    // A child that is gone already says why by its exit.
    if let Err(error) = launch::send(&ours, orders, &borrowed)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        signal_group(pid.as_raw(), Signal::SIGKILL);
        return Err(error);
    }
    match ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours)) {
        Ok(control) => Ok(Started { pid: pid.as_raw(), exit, control, guard }),
        Err(error) => {
            // It has its orders. A guard ends all that is below it when nobody is left at the other end.
            if role == Role::Exec {
                signal_group(pid.as_raw(), Signal::SIGKILL);
            }
            Err(error)
        }
    }
}

/// A start that failed on our side.
fn not_started(what: &'static str) -> impl Fn(io::Error) -> Outcome {
    move |error| no_start(format!("{what}: {error}"), error.raw_os_error().unwrap_or(0))
}

/// Whether a failed start is anybody's mistake, or a want that passes.
fn no_start(why: String, errno: i32) -> Outcome {
    if is_shortage(errno) { Outcome::HeldUp(why) } else { Outcome::NotStarted(why) }
}

/// What a run has to do with guards.
pub(super) struct Around {
    /// The unit's own.
    pub(super) own: Guards,
    /// Those of the units that are cleared at its end.
    pub(super) clears: Vec<Guards>,
}

/// Starts unit number `at`. Its events, the last of which is [`Event::Gone`], go to `events`.
pub(super) fn spawn(
    at: usize,
    unit: &Unit,
    around: Around,
    run_dir: &Path,
    (reaper, logs): (&Reaper, &Logs),
    events: mpsc::UnboundedSender<Event>,
) -> Result<Process, Outcome> {
    let notify = run_dir.join("notify").join(&unit.name);
    let beside = beside(unit, reaper, logs);
    let number = ready_fd(unit.launch.listen.len());
    let (watch, fd) = Watch::new(&unit.ready, &notify, || logs.follow(&unit.name, 0).1, beside, number)
        .map_err(not_started("preparing to hear that it is ready"))?;
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
        wishes: around.own.begin(),
        guards: around.own.clone(),
        clears: around.clears,
    };
    let (pid, guard, guards) = (started.pid, started.guard.clone(), around.own);
    let process = Process { pid, main: None, owed: None, collected, guard, guards, finishing };
    let told = events.clone();
    let attended = AssertUnwindSafe(attend(at, role, started, watch, ending, events)).catch_unwind();
    tokio::spawn(async move {
        // A panic here is a mistake of ours; the unit must not stay half watched.
        if attended.await.is_err() {
            signal_group(pid, Signal::SIGKILL);
            let why = "an internal error of desktopd".to_owned();
            let _ = told.send(Event::Gone(at, Outcome::NotStarted(why)));
        }
    });
    Ok(process)
}

/// Starts commands beside `unit`.
pub(super) fn beside(unit: &Unit, reaper: &Reaper, logs: &Logs) -> Beside {
    let (unit, reaper, logs) = (unit.clone(), reaper.clone(), logs.clone());
    Arc::new(move |argv| run_beside(&unit, argv, &reaper, &logs))
}

/// Runs another command as if it were the unit: its user, environment and log. Resolves to its exit.
pub(super) fn run_beside(
    unit: &Unit,
    argv: &[String],
    reaper: &Reaper,
    logs: &Logs,
) -> io::Result<Companion> {
    let orders = Orders { quiet: true, ..orders(unit, argv, Vec::new()) };
    let started = start(reaper, Role::Exec, &orders, &[], &unit.name, logs)?;
    Ok(Companion { pid: started.pid, exit: started.exit, control: started.control })
}

/// Why a command beside a unit, which has ended, did not end well.
pub(super) fn failure(exit: Exit, control: &UnixStream) -> String {
    let failed = there(control, Vec::new()).into_iter().find_map(|report| match report {
        Report::Failed { operation, errno } => Some(Report::describe(&operation, errno)),
        _ => None,
    });
    failed.unwrap_or_else(|| format!("it ended with {exit}"))
}

impl Process {
    /// The unit's own process runs, as `main`.
    pub(super) fn launched(&mut self, main: i32) {
        self.main = Some(main);
        if let Some(signal) = self.owed.take() {
            self.signal(signal);
        }
    }

    /// Sends the unit its stop signal.
    pub(super) fn signal(&mut self, signal: Signal) {
        match (&self.guard, self.main) {
            // A guard takes no signals.
            (Some(_), None) => self.owed = Some(signal),
            (Some(_), Some(main)) => {
                // It leads its group; its number alone may be another's by now.
                signal_rest(main, signal);
                self.wake_guard();
            }
            (None, _) => self.signal_own(signal),
        }
    }

    /// A guard that somebody has stopped could not tell that its unit is gone. It may have ended just now.
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

    /// The unit, which is told to stop, ends for good: jobs of this run and of earlier ones end with it.
    pub(super) fn finish(&self) {
        if self.finishing.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(guard) = &self.guard {
            // One that does not listen any more has nothing left.
            let _ = launch::send(guard, &GuardCommand::Finish, &[]);
        }
        self.guards.end_jobs();
    }

    /// Ends the unit and everything that is known to belong to it.
    pub(super) fn kill(&self) {
        match (&self.guard, self.main) {
            // What is still waited for then is not the unit's.
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

/// Listens to one run until its end.
async fn attend(
    at: usize,
    role: Role,
    started: Started,
    watch: Watch,
    mut ending: Ending,
    events: mpsc::UnboundedSender<Event>,
) {
    let Started { pid, mut exit, control, guard } = started;
    // The driver outlives every run; sending to it fails only when the daemon ends.
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
                    let teller = Teller::new(at, events.clone());
                    // A panic there is a mistake of ours, and no reason to end a unit.
                    let heard = AssertUnwindSafe(watch.listen(main, teller)).catch_unwind().map(drop);
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
            Some(Clear { spare, done }) = ending.wishes.recv() => {
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
        tracing::info!("{}: {jobs} detached processes go on without it", ending.unit);
        ending.guards.keep(guard)
    });
    if let Some(exit) = &ended {
        ending.collected.store(true, Ordering::Relaxed);
        // What it wrote before it ended may not have been heard yet.
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
    tell(Event::Gone(at, run.outcome(ended.and_then(Result::ok))));
    if left.is_some() {
        let _ = exit.await;
    }
}

/// What a child side's failure means for its unit.
fn no_service(operation: &str, errno: i32) -> Outcome {
    let why = Report::describe(operation, errno);
    let missing = operation.starts_with(launch::EXEC) && errno == Errno::ENOENT as i32;
    if missing { Outcome::NotFound(why) } else { no_start(why, errno) }
}

/// What is known of a run.
struct Run {
    role: Role,
    pid: i32,
    outcome: Option<Outcome>,
    watch: Option<Watch>,
    /// How many jobs a guard stays with, once nothing else is left.
    left: Option<usize>,
    /// Who waits for what the guard clears.
    clearing: Vec<oneshot::Sender<()>>,
}

impl Run {
    /// Takes in a report, or the end of all reports. Returns the main process when it is known to run just now.
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
            // Without a guard it is the exec that closes the socket.
            None => (self.role == Role::Exec).then_some(self.pid),
        };
        if self.outcome.is_some() {
            return None;
        }
        Some((main?, self.watch.take()?))
    }

    /// How it ended, given how the process that we started did.
    fn outcome(self, exit: Option<Exit>) -> Outcome {
        match (self.outcome, self.role, exit) {
            (Some(outcome), _, _) => outcome,
            (None, Role::Exec, Some(exit)) => Outcome::Ended(exit),
            // A guard's own exit says only that nothing is left.
            (None, Role::Guard, Some(exit)) => Outcome::NotStarted(format!("its guard ended with {exit}")),
            (None, _, None) => Outcome::NotStarted("its exit was lost".to_owned()),
        }
    }
}
