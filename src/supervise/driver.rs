//! Carries out the decisions of the core and reports events to it. One task owns the core and all processes: it is the
//! only writer of the units' states.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::task::AbortOnDropHandle;

use crate::config::nearest;
use crate::logs::Logs;
use crate::sys::process::{descendants, signal_descendants};
use crate::sys::reaper::{Exit, Reaper};

use super::guards::Guards;
use super::lifecycle::{Core, Effect, Event, UnitId};
use super::process::{self, Process, RunGuards};
use super::publisher::Publisher;
use super::ready::probe;
use super::request::{Command, Request, RequestError, Taken, TakenOver, Verb};

/// How long processes that escaped from their units get to end: first after TERM, then after KILL.
const SWEEP: Duration = Duration::from_millis(250);

pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) slots: Vec<Slot>,
    pub(super) publisher: Publisher,
    pub(super) reaper: Reaper,
    pub(super) logs: Logs,
    pub(super) run_dir: PathBuf,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) finished: bool,
    pub(super) began: Instant,
}

/// What runs of one unit.
#[derive(Default)]
pub(super) struct Slot {
    process: Option<Process>,
    /// The running stop command. Dropping the handle ends the command.
    stop_command: Option<AbortOnDropHandle<()>>,
    /// The running check. Dropping the handle ends the check; a command ends with its process group.
    check: Option<AbortOnDropHandle<()>>,
    guards: Guards,
}

impl Driver {
    /// Runs until everything was stopped.
    pub(super) async fn run(
        mut self,
        mut shutdowns: mpsc::UnboundedReceiver<()>,
        mut commands: mpsc::Receiver<Command>,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        self.survive(|driver| driver.take(Event::Tick));
        while !self.finished {
            let deadline = self.core.deadline();
            tokio::select! {
                Some(()) = shutdowns.recv() => self.survive(|driver| driver.take(Event::Shutdown)),
                Some(command) = commands.recv() => self.survive(|driver| driver.obey(command)),
                Some(event) = events.recv() => self.survive(|driver| driver.take(event)),
                () = sleep_until((self.began + deadline.unwrap_or_default()).into()), if deadline.is_some() => {
                    self.survive(|driver| driver.take(Event::Tick));
                }
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

    fn obey(&mut self, command: Command) {
        match command {
            Command::Request(request) => self.answer(request),
            Command::Plan(units, request, reply) => {
                if self.core.is_stopping() {
                    // Without a reply, the requester knows that nothing is planned any more.
                    return;
                }
                let after = self.publisher.seq();
                let changes = self.core.replan(units, self.began.elapsed());
                // Before any unit starts by the new plan: a unit must not start only to be restarted.
                if let Some(request) = request {
                    self.answer(request);
                }
                self.take(Event::Tick);
                // The requester may have disconnected.
                let _ = reply.send(TakenOver { changes, after });
            }
        }
    }

    fn take(&mut self, event: Event) {
        match &event {
            Event::Launched(at, main) => {
                if let Some(process) = &mut self.slots[*at].process {
                    process.launched(*main);
                }
            }
            Event::Exited(at, _) => {
                let slot = &mut self.slots[*at];
                (slot.process, slot.stop_command) = (None, None);
            }
            _ => {}
        }
        let effects = self.core.handle(event, self.began.elapsed());
        self.carry_out(&effects);
    }

    /// Executes the effects that the core decided on, and publishes the state.
    fn carry_out(&mut self, effects: &[Effect]) {
        // A new plan may have added units.
        self.slots.resize_with(self.core.ids().count(), Slot::default);
        // This comes first: a guard that learns only after the end of the main process that the unit ends for good
        // would spare detached jobs.
        for at in self.core.ids().filter(|at| self.core.ends_for_good(*at)) {
            match &self.slots[at] {
                Slot { process: Some(process), .. } => process.finish(),
                Slot { guards, .. } => guards.end_jobs(),
            }
        }
        for effect in effects {
            self.act(effect);
        }
        self.publish(false);
    }

    fn publish(&mut self, finished: bool) {
        let now = self.core.wall(self.began.elapsed());
        self.publisher.publish(&mut self.core, now, finished);
    }

    fn act(&mut self, effect: &Effect) {
        match *effect {
            Effect::Spawn(at) => {
                let (unit, run_guards) = (self.core.unit(at), self.run_guards(at));
                let events = self.events.clone();
                match process::spawn(at, unit, run_guards, &self.run_dir, (&self.reaper, &self.logs), events)
                {
                    Ok(process) => self.slots[at].process = Some(process),
                    Err(outcome) => self.report(Event::Exited(at, outcome)),
                }
            }
            Effect::RunStopCommand(at) => self.run_stop_command(at),
            Effect::Signal(at) => {
                let signal = self.core.unit(at).stop.signal;
                let slot = &mut self.slots[at];
                slot.stop_command = None;
                if let Some(process) = &mut slot.process {
                    process.signal(signal);
                }
            }
            Effect::Kill(at) => {
                let slot = &mut self.slots[at];
                slot.stop_command = None;
                if let Some(process) = &slot.process {
                    process.kill();
                }
            }
            Effect::Check(at, number) => self.check(at, number),
            Effect::CancelCheck(at) => self.slots[at].check = None,
            Effect::Finished => self.finished = true,
        }
    }

    fn run_guards(&self, at: UnitId) -> RunGuards {
        let clears = &self.core.unit(at).relations.clears;
        let cleared = self.core.ids().filter(|other| clears.contains(&self.core.unit(*other).name));
        let guards = |at: UnitId| self.slots[at].guards.clone();
        RunGuards { own: guards(at), clears: cleared.map(guards).collect() }
    }

    fn report(&self, event: Event) {
        // This struct owns a sender, and the receiver lives as long as the loop.
        let _ = self.events.send(event);
    }

    fn run_stop_command(&mut self, at: UnitId) {
        let unit = self.core.unit(at);
        let argv = unit.stop.command.as_deref().unwrap_or_default();
        match process::run_helper(unit, argv, &self.reaper, &self.logs) {
            Ok(mut command) => {
                let (events, name) = (self.events.clone(), unit.name.clone());
                let task = tokio::spawn(async move {
                    let exit = (&mut command.exit).await.ok();
                    let well = exit.is_some_and(Exit::success);
                    if let Some(exit) = exit.filter(|_| !well) {
                        tracing::warn!("{name}: stop-command: {}", process::failure(exit, &command.control));
                    }
                    let _ = events.send(Event::StopCommandEnded(at, well));
                });
                self.slots[at].stop_command = Some(AbortOnDropHandle::new(task));
            }
            Err(why) => {
                tracing::warn!("{}: stop-command: {why}", unit.name);
                self.report(Event::StopCommandEnded(at, false));
            }
        }
    }

    fn check(&mut self, at: UnitId, number: u64) {
        let unit = self.core.unit(at);
        let Some(probe) = unit.health.as_ref().map(|health| health.probe.clone()) else { return };
        let start_helper = process::helper_starter(unit, &self.reaper, &self.logs);
        let events = self.events.clone();
        let task = tokio::spawn(async move {
            let attempt = AssertUnwindSafe(probe::attempt(&probe, &start_helper)).catch_unwind();
            // A panic is a bug of desktopd; the core still gets an answer.
            let result = attempt.await.unwrap_or_else(|_| Err("an internal error of desktopd".to_owned()));
            let _ = events.send(Event::Checked(at, number, result));
        });
        self.slots[at].check = Some(AbortOnDropHandle::new(task));
    }

    fn answer(&mut self, request: Request) {
        let mut answer = self.resolve(request.verb, &request.names);
        if let (Verb::Restart, false, Ok(units)) = (request.verb, request.only, &mut answer) {
            *units = self.core.restart_together(units);
        }
        if let Ok(units) = &answer {
            self.take(match request.verb {
                Verb::Start => Event::Start(units.clone()),
                Verb::Stop => Event::Stop(units.clone(), request.by.0),
                Verb::Restart => Event::Restart(units.clone(), request.by.0),
            });
        }
        let taken = answer.map(|units| Taken {
            units: units.into_iter().map(|at| self.core.unit(at).name.clone()).collect(),
            seq: self.publisher.seq(),
        });
        // The requester may have disconnected.
        let _ = request.reply.send(taken);
    }

    fn resolve(&self, verb: Verb, names: &[String]) -> Result<Vec<UnitId>, RequestError> {
        if self.core.is_stopping() {
            return Err(RequestError::Stopping);
        }
        let units = || self.core.ids().map(|at| self.core.unit(at));
        let mut found = Vec::new();
        for name in names {
            let Some(at) = units().position(|unit| unit.name == *name || unit.aliases.contains(name)) else {
                let known = units().flat_map(|unit| unit.aliases.iter().chain([&unit.name]));
                let nearest = nearest(name, known.map(String::as_str)).map(str::to_owned);
                return Err(RequestError::Unknown { name: name.clone(), nearest });
            };
            let at = UnitId(at);
            if let (Verb::Start | Verb::Restart, Some(reason)) = (verb, self.core.refusal(at)) {
                let name = self.core.unit(at).name.clone();
                return Err(RequestError::Refused { name, reason: reason.to_owned() });
            }
            found.push(at);
        }
        Ok(found)
    }
}
