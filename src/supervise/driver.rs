//! Carries out the decisions of the core and reports events to it. One task owns the core and all processes: it is the
//! only writer of the units' states.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::config::nearest;
use crate::config::service::Relations;
use crate::logs::Logs;
use crate::plan::{Disposition, Unit};
use crate::sys::process::{descendants, signal_descendants};
use crate::sys::reaper::{Exit, Reaper};

use super::changes::{self, Sink};
use super::guards::Guards;
use super::health;
use super::lifecycle::{Core, Effect, Event, Status, Stop};
use super::process::{self, Process, RunGuards};
use super::request::{NewPlan, Replanned, Request, RequestError, Taken, Verb};
use super::status::{Published, UnitStatus};

/// How long processes that escaped from their units get to end: first after TERM, then after KILL.
const SWEEP: Duration = Duration::from_millis(250);

pub(super) struct Driver {
    pub(super) units: Vec<Unit>,
    pub(super) core: Core,
    pub(super) processes: Vec<Option<Process>>,
    /// The running stop commands. Dropping a handle ends the command.
    pub(super) asking: Vec<Option<AbortOnDropHandle<()>>>,
    /// The running checks. Dropping a handle ends the check.
    pub(super) checking: Vec<Option<AbortOnDropHandle<()>>>,
    pub(super) guards: Vec<Guards>,
    pub(super) reaper: Reaper,
    pub(super) logs: Logs,
    pub(super) run_dir: PathBuf,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) published: watch::Sender<Published>,
    pub(super) changes: Sink,
    pub(super) finished: bool,
    /// The start by the monotonic clock, and by the wall clock in milliseconds since the Unix epoch.
    pub(super) began: (Instant, i64),
}

impl Driver {
    /// Runs until everything was stopped.
    pub(super) async fn run(
        mut self,
        mut shutdowns: mpsc::UnboundedReceiver<()>,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut requests: mpsc::Receiver<Request>,
        mut plans: mpsc::Receiver<NewPlan>,
    ) {
        self.survive(|driver| driver.take(Event::Tick));
        while !self.finished {
            let deadline = self.core.deadline();
            tokio::select! {
                Some(()) = shutdowns.recv() => self.survive(|driver| driver.take(Event::Shutdown)),
                Some(event) = events.recv() => self.survive(|driver| driver.take(event)),
                Some(request) = requests.recv() => self.survive(|driver| driver.answer(request)),
                Some((units, reply)) = plans.recv() => self.survive(|driver| {
                    // The requester may have disconnected.
                    let _ = reply.send(driver.replan(units));
                }),
                () = until(self.began.0, deadline) => self.survive(|driver| driver.take(Event::Tick)),
            }
        }
        self.sweep().await;
        self.publish(true);
    }

    /// Ends processes that escaped from their units: when the daemon ends, no process that it started stays behind.
    async fn sweep(&self) {
        let own = std::process::id().cast_signed();
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            signal_descendants(signal);
            signal_descendants(Signal::SIGCONT);
            let gone = self.reaper.until(|| descendants(own).is_empty());
            if tokio::time::timeout(SWEEP, gone).await.is_ok() {
                return;
            }
        }
    }

    /// A panic here is a bug of desktopd. It aborts only the current action; the services keep running.
    fn survive(&mut self, act: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            tracing::error!("an internal error of desktopd; `desktopd status` shows the remaining state");
        }
    }

    fn now(&self) -> Duration {
        self.began.0.elapsed()
    }

    fn take(&mut self, event: Event) {
        match &event {
            Event::Launched(at, main) => {
                if let Some(process) = &mut self.processes[*at] {
                    process.launched(*main);
                }
            }
            Event::Exited(at, _) => {
                self.processes[*at] = None;
                self.asking[*at] = None;
            }
            _ => {}
        }
        let now = self.now();
        let effects = self.core.handle(event, now);
        self.carry_out(&effects);
    }

    /// Executes the effects that the core decided on, and publishes the state.
    fn carry_out(&mut self, effects: &[Effect]) {
        // This comes first: a guard that learns only after the end of the main process that the unit ends for good
        // would spare detached jobs.
        for at in 0..self.units.len() {
            match (&self.processes[at], self.core.end_for_good(at)) {
                (Some(process), Some(Stop::Begun)) => process.finish(),
                (None, Some(Stop::Over)) => self.guards[at].end_jobs(),
                _ => {}
            }
        }
        for effect in effects {
            self.act(effect);
        }
        self.publish(false);
    }

    fn act(&mut self, effect: &Effect) {
        match *effect {
            Effect::Spawn(at) => {
                let (unit, run_guards) = (&self.units[at], self.run_guards(at));
                let events = self.events.clone();
                match process::spawn(at, unit, run_guards, &self.run_dir, (&self.reaper, &self.logs), events)
                {
                    Ok(process) => self.processes[at] = Some(process),
                    Err(outcome) => self.report(Event::Exited(at, outcome)),
                }
            }
            Effect::Ask(at) => self.ask(at),
            Effect::Signal(at) => {
                let signal = self.units[at].stop.signal;
                self.asking[at] = None;
                if let Some(process) = &mut self.processes[at] {
                    process.signal(signal);
                }
            }
            Effect::Kill(at) => {
                self.asking[at] = None;
                if let Some(process) = &self.processes[at] {
                    process.kill();
                }
            }
            Effect::Check(at, number) => self.check(at, number),
            Effect::Recall(at) => self.checking[at] = None,
            Effect::Finished => self.finished = true,
        }
    }

    fn run_guards(&self, at: usize) -> RunGuards {
        let clears = self.units.iter().zip(&self.guards);
        let clears = clears.filter(|(unit, _)| self.units[at].relations.clears.contains(&unit.name));
        RunGuards { own: self.guards[at].clone(), clears: clears.map(|(_, guards)| guards.clone()).collect() }
    }

    fn report(&self, event: Event) {
        // This struct owns a sender, and the receiver lives as long as the loop.
        let _ = self.events.send(event);
    }

    fn ask(&mut self, at: usize) {
        let unit = &self.units[at];
        let argv = unit.stop.command.as_deref().unwrap_or_default();
        match process::run_helper(unit, argv, &self.reaper, &self.logs) {
            Ok(mut command) => {
                let (events, name) = (self.events.clone(), unit.name.clone());
                let asking = tokio::spawn(async move {
                    let exit = (&mut command.exit).await.ok();
                    let well = exit.is_some_and(Exit::success);
                    if let Some(exit) = exit.filter(|_| !well) {
                        tracing::warn!("{name}: stop-command: {}", process::failure(exit, &command.control));
                    }
                    let _ = events.send(Event::Asked(at, well));
                });
                self.asking[at] = Some(AbortOnDropHandle::new(asking));
            }
            Err(why) => {
                tracing::warn!("{}: stop-command: {why}", unit.name);
                self.report(Event::Asked(at, false));
            }
        }
    }

    fn check(&mut self, at: usize, number: u64) {
        let unit = &self.units[at];
        let Some(health) = &unit.health else { return };
        let start_helper = process::helper_starter(unit, &self.reaper, &self.logs);
        let check = health::check((at, number), health.probe.clone(), start_helper, self.events.clone());
        self.checking[at] = Some(check);
    }

    /// Takes over a new plan. Every unit keeps its index; a unit whose file was removed stays, as skipped.
    fn replan(&mut self, planned: Vec<Unit>) -> Replanned {
        let mut told = Replanned::default();
        if self.core.is_stopping() {
            return told;
        }
        let order: Vec<String> = planned.iter().map(|unit| unit.name.clone()).collect();
        let mut planned: BTreeMap<String, Unit> =
            planned.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
        let mut changed = Vec::with_capacity(self.units.len());
        for unit in &mut self.units {
            let next = planned.remove(&unit.name).unwrap_or_else(|| {
                let disposition = Disposition::Skip("its file was removed".to_owned());
                let relations = Relations { clears: unit.relations.clears.clone(), ..Relations::default() };
                Unit { disposition, relations, main: false, ..unit.clone() }
            });
            let differs = next != *unit;
            if differs {
                let gone = !order.contains(&unit.name);
                let list = if gone { &mut told.removed } else { &mut told.changed };
                list.push(unit.name.clone());
            }
            changed.push(differs);
            *unit = next;
        }
        for unit in order.iter().filter_map(|name| planned.remove(name)) {
            told.added.push(unit.name.clone());
            self.units.push(unit);
            self.processes.push(None);
            self.asking.push(None);
            self.checking.push(None);
            self.guards.push(Guards::default());
        }
        let now = self.now();
        let effects = self.core.replan(&self.units, &changed, now);
        self.carry_out(&effects);
        told
    }

    fn answer(&mut self, request: Request) {
        let mut answer = self.resolve(request.verb, &request.names);
        if let (Verb::Restart, false, Ok(units)) = (request.verb, request.only, &mut answer) {
            *units = self.core.together(units);
        }
        if let Ok(units) = &answer {
            let event = match request.verb {
                Verb::Start => Event::Start(units.clone()),
                Verb::Stop => Event::Stop(units.clone(), request.by.0),
                Verb::Restart => Event::Restart(units.clone(), request.by.0),
            };
            self.take(event);
        }
        let taken = answer.map(|units| Taken {
            units: units.into_iter().map(|at| self.units[at].name.clone()).collect(),
            seq: self.published.borrow().seq,
        });
        // The requester may have disconnected.
        let _ = request.reply.send(taken);
    }

    fn resolve(&self, verb: Verb, names: &[String]) -> Result<Vec<usize>, RequestError> {
        if self.core.is_stopping() {
            return Err(RequestError::Stopping);
        }
        let mut found = Vec::new();
        for name in names {
            let matches = |unit: &Unit| unit.name == *name || unit.aliases.contains(name);
            let Some(at) = self.units.iter().position(matches) else {
                let known = self.units.iter().flat_map(|unit| unit.aliases.iter().chain([&unit.name]));
                let nearest = nearest(name, known.map(String::as_str)).map(str::to_owned);
                return Err(RequestError::Unknown { name: name.clone(), nearest });
            };
            if let (Verb::Start | Verb::Restart, Some(reason)) = (verb, self.core.refusal(at)) {
                let name = self.units[at].name.clone();
                return Err(RequestError::Refused { name, reason: reason.to_owned() });
            }
            found.push(at);
        }
        Ok(found)
    }

    fn publish(&mut self, finished: bool) {
        let wall = |since: Duration| self.began.1 + i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2);
        let units: Vec<UnitStatus> = self
            .units
            .iter()
            .zip(self.core.status())
            .map(|(unit, status)| {
                let Status { state, reason, since, pid, restarts, health, status_text, stopped_by, off } =
                    status;
                UnitStatus {
                    name: unit.name.clone(),
                    description: unit.description.clone(),
                    aliases: unit.aliases.clone(),
                    state,
                    reason: self.logs.mask(&reason),
                    health,
                    status_text: self.logs.mask(&status_text),
                    stopped_by,
                    off,
                    since: wall(since),
                    pid,
                    restarts,
                    oneshot: unit.oneshot,
                    needs: unit.relations.needs.clone(),
                    after: unit.relations.after.iter().chain(&unit.relations.follows).cloned().collect(),
                }
            })
            .collect();
        let seq = self.published.borrow().seq;
        let (up, stopping) = (self.core.up(), self.core.is_stopping());
        let mut next = Published { units, up, stopping, finished, code: self.core.code(), seq };
        let transitions = self.core.transitions();
        let time = (self.began.1, self.now());
        let told = changes::between(&self.published.borrow(), &next, transitions, time, &self.logs);
        // Recorded before it is published: a reader that sees a state can find its event.
        for change in told {
            changes::announce(&change, &self.logs);
            next.seq = (self.changes)(change);
        }
        self.published.send_if_modified(|current| {
            let changed = *current != next;
            *current = next;
            changed
        });
    }
}

async fn until(began: Instant, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until((began + deadline).into()).await,
        None => std::future::pending().await,
    }
}
