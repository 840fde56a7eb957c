//! The life cycle of units, as a pure function of events and time.
//!
//! ```text
//!            needs are open             it is ready               on request, or a need is lost
//!   Waiting ----------------> Starting -----------> Ready ------------------------> Stopping
//!      ^  ^                      |                    |                                |
//!      |  +------ Backoff <------+--- it ended -------+                                |
//!      |             |                                                                 v
//!      +-------------|----------------- it shall run again -------------------- Stopped, Done,
//!                    +--- too often ------------------------------------------> Failed, (Skipped)
//! ```
//!
//! Invariants: a process is started only while no process of the unit is alive; every state that waits has a deadline
//! or an event that ends it; the units that need a unit are stopped before it is stopped, and before it is started
//! again. Deadlines belong to states: the driver sleeps until [`Core::deadline`].

mod checks;
mod ending;
mod health;
mod machine;
mod main_unit;
mod messages;
mod reconcile;
mod replan;
mod requests;
mod unit_runtime;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::{Disposition, Unit};

use checks::Checks;
use machine::Ending;
use unit_runtime::{Phase, State, UnitRuntime, UnitSpec};

pub use machine::Core;
pub use messages::{Effect, Event, Now, Outcome, Status, Stop, Transition};

/// How long the stop of all units together may take before they are killed. Docker kills after 10 s.
const STOP_BUDGET: Duration = Duration::from_millis(6500);

impl Core {
    /// The units of a plan in their first states. `seed` feeds the jitter.
    pub fn new(units: &[Unit], seed: u64) -> Self {
        let runtimes: Vec<UnitRuntime> = specs(units)
            .into_iter()
            .zip(units)
            .map(|(spec, unit)| {
                let (state, reason, wanted) = initial(unit);
                UnitRuntime::new(spec, state, reason, wanted)
            })
            .collect();
        let transitions =
            runtimes.iter().enumerate().map(|(at, runtime)| Transition::first(at, runtime)).collect();
        Self {
            runtimes,
            now: Now::ZERO,
            ending: None,
            finished: false,
            random: seed,
            checks: 0,
            effects: Vec::new(),
            transitions,
        }
    }

    /// Handles an event and returns the effects to carry out.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.finished {
            return Vec::new();
        }
        match event {
            Event::Launched(at, pid) => self.launched(at, pid),
            Event::ProbeFailed(at, what) => self.runtimes[at].probe_failure = what,
            Event::Ready(at) => self.ready(at),
            Event::StatusText(at, text) => {
                if self.runtimes[at].alive {
                    self.runtimes[at].status_text = text;
                }
            }
            Event::Checked(at, number, result) => self.checked(at, number, result),
            Event::Exited(at, outcome) => {
                if self.runtimes[at].alive {
                    let told = self.is_asked_to_end(at);
                    self.exited(at, &outcome);
                    self.take_end(at, &outcome, told);
                }
            }
            Event::Asked(at, well) => self.asked(at, well),
            Event::Start(units) => self.want(&units),
            Event::Stop(units, by) => units.into_iter().for_each(|at| self.unwant(at, &by)),
            Event::Restart(units, by) => self.restart(&units, &by),
            Event::Shutdown => self.shutdown(),
            Event::Tick => {}
        }
        // A timeout may be zero: what was reconciled may be due already.
        while self.reconcile() | self.deadlines() {}
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] is due, if at all. Never earlier than the last handled time.
    pub fn deadline(&self) -> Option<Now> {
        if self.finished {
            return None;
        }
        let of_runtime = |runtime: &UnitRuntime| match &runtime.state {
            State::Starting { deadline } => *deadline,
            State::Stopping { deadline, .. } => Some(*deadline),
            State::Backoff { until } => Some(*until),
            State::Ready { .. } => runtime.check_due(),
            _ => None,
        };
        let ending = self.ending.map(|ending| ending.deadline);
        self.runtimes.iter().filter_map(of_runtime).chain(ending).min()
    }

    /// Every unit's state.
    pub fn status(&self) -> impl Iterator<Item = Status> {
        self.runtimes.iter().enumerate().map(|(at, runtime)| Status {
            state: runtime.state.shown(),
            reason: self.reason(at),
            since: runtime.since,
            pid: runtime.pid,
            restarts: runtime.restarts,
            health: runtime.health(),
            status_text: runtime.status_text.clone(),
            stopped_by: runtime.stopped_by.clone(),
            off: runtime.off,
        })
    }

    /// All transitions since the last call, in order.
    pub fn transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// Whether everything that should be up is up. Stopped units, and units that wait for them, are not expected to be
    /// up.
    pub fn up(&self) -> bool {
        self.ending.is_none() && (0..self.runtimes.len()).all(|at| !self.expected(at) || self.satisfied(at))
    }

    /// Why `at` cannot be started, if it cannot.
    pub fn refusal(&self, at: usize) -> Option<&str> {
        let runtime = &self.runtimes[at];
        (!runtime.spec.runnable).then_some(runtime.reason.as_str())
    }

    /// Whether `at` ends for good instead of being restarted, and how far that has come. A unit that still waits for
    /// its dependents to end has not begun.
    pub fn end_for_good(&self, at: usize) -> Option<Stop> {
        let runtime = &self.runtimes[at];
        match runtime.state {
            _ if runtime.wanted => None,
            State::Stopping { .. } => Some(Stop::Begun),
            _ => (!runtime.alive).then_some(Stop::Over),
        }
    }

    /// Whether everything is being stopped.
    pub fn is_stopping(&self) -> bool {
        self.ending.is_some()
    }

    fn expected(&self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        runtime.wanted && runtime.spec.needs.iter().all(|need| self.is_open(*need) || self.expected(*need))
    }

    fn reason(&self, at: usize) -> String {
        let runtime = &self.runtimes[at];
        match runtime.state {
            State::Waiting => Some(self.waits_for(at)).filter(|text| !text.is_empty()),
            State::Stopping { phase: Phase::Stuck, .. } => {
                Some(format!("{}; it does not end, even when killed", runtime.reason))
            }
            _ => None,
        }
        .unwrap_or_else(|| runtime.reason.clone())
    }

    fn enter(&mut self, at: usize, state: State, reason: String) {
        let runtime = &mut self.runtimes[at];
        if runtime.is_being_checked() {
            self.effects.push(Effect::Recall(at));
        }
        let from = Some(runtime.state.shown());
        let (to, when) = (state.shown(), self.now);
        self.transitions.push(Transition { unit: at, from, to, reason: reason.clone(), when });
        runtime.state = state;
        runtime.reason = reason;
        runtime.since = self.now;
    }

    fn launched(&mut self, at: usize, pid: i32) {
        let runtime = &mut self.runtimes[at];
        if !runtime.alive {
            return;
        }
        runtime.pid = Some(pid);
        let starting = matches!(runtime.state, State::Starting { .. }) && runtime.leaving.is_none();
        if starting && runtime.spec.listens {
            self.open(at);
        }
    }

    fn ready(&mut self, at: usize) {
        let runtime = &self.runtimes[at];
        // A unit that is leaving gets ready too late.
        if matches!(runtime.state, State::Starting { .. })
            && !runtime.spec.oneshot
            && runtime.leaving.is_none()
        {
            let checks = runtime.spec.health.as_ref().map(|health| Checks::new(health, self.now));
            self.enter(at, State::Ready { since: self.now, checks }, String::new());
            self.open(at);
        }
    }

    /// Lets the dependents of `at` start, and counts that it is open (again), for the units that follow it.
    fn open(&mut self, at: usize) {
        let runtime = &mut self.runtimes[at];
        if std::mem::replace(&mut runtime.open, true) {
            return;
        }
        runtime.generation += 1;
        if runtime.generation > 1 {
            return;
        }
        // The first time is no restart, also for followers that were started before it.
        for runtime in &mut self.runtimes {
            for (unit, generation) in runtime.spec.follows.iter().zip(&mut runtime.followed) {
                if *unit == at {
                    *generation = 1;
                }
            }
        }
    }
}

/// The specifications of the units, with names resolved to indexes.
fn specs(units: &[Unit]) -> Vec<UnitSpec> {
    let index: BTreeMap<&str, usize> =
        units.iter().enumerate().map(|(at, unit)| (unit.name.as_str(), at)).collect();
    let resolve =
        |names: &[String]| names.iter().filter_map(|name| index.get(name.as_str()).copied()).collect();
    let spec = |unit: &Unit| UnitSpec {
        name: unit.name.clone(),
        runnable: unit.disposition == Disposition::Run,
        oneshot: unit.oneshot,
        needs: resolve(&unit.relations.needs),
        // A unit that restarts with another unit starts after it.
        after: resolve(&[&unit.relations.after[..], &unit.relations.follows].concat()),
        follows: resolve(&unit.relations.follows),
        listens: !unit.launch.listen.is_empty(),
        health: unit.health.clone(),
        restart_with: unit.relations.restart_with.iter().find_map(|name| index.get(name.as_str()).copied()),
        main: unit.main,
        last: unit.last,
        start_timeout: unit.start_timeout,
        restart: unit.restart,
        stop: unit.stop.clone(),
    };
    units.iter().map(spec).collect()
}

/// A unit's first state, the reason for it, and whether the unit is wanted.
fn initial(unit: &Unit) -> (State, String, bool) {
    match &unit.disposition {
        Disposition::Run if unit.autostart => (State::Waiting, String::new(), true),
        Disposition::Run => (State::Stopped, "it starts only when asked to".to_owned(), false),
        Disposition::Skip(reason) => (State::Skipped, reason.clone(), false),
        Disposition::Broken(reason) => (State::Failed, reason.clone(), false),
    }
}

#[cfg(test)]
mod tests;
