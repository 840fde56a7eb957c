//! The life cycle of units, as a pure function of events and time.
//!
//! ```text
//!            needs are open             it is ready            on request, or a need is lost
//!   Waiting ----------------> Starting -----------> Ready ------------------------> Draining
//!      ^  ^                      |                    |       its dependents have      |
//!      |  +------ Backoff <------+--- it ended -------+       ended: Stopping <--------+
//!      |             |                                            |
//!      +-------------|------------ it shall run again ------------+-------> Stopped, Done,
//!                    +--- too often --------------------------------------> Failed, (Skipped)
//! ```
//!
//! Invariants: a process is started only while no process of the unit is alive; every state that waits has a deadline
//! or an event that ends it; the units that need a unit are stopped before it is stopped, and before it is started
//! again. Deadlines belong to states: the driver sleeps until [`Core::deadline`].
//!
//! `runtime` has the states, `transitions` the life of a unit, `conditions` what a start waits for.

mod conditions;
mod health;
mod main_unit;
mod messages;
mod requests;
mod runtime;
mod transitions;

use std::sync::Arc;

use crate::plan::Unit;

use super::status::{UnitChange, UnitStatus};
use runtime::{Phase, Shutdown, State, is_runnable};

pub use messages::{Effect, Event, Now, Outcome, UnitId};
pub use runtime::Core;

impl Core {
    /// The units of a plan in their first states. `seed` feeds the jitter; `began` is the start of the daemon, in
    /// milliseconds since the Unix epoch.
    pub fn new(units: Vec<Unit>, seed: u64, began: i64) -> Self {
        let mut core = Self {
            units: Vec::new(),
            now: Now::ZERO,
            began,
            shutdown: Shutdown::NotRequested,
            random: seed,
            checks: 0,
            effects: Vec::new(),
            changes: Vec::new(),
        };
        core.add(units);
        core
    }

    /// Handles an event and returns the effects to carry out.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.shutdown == Shutdown::Finished {
            return Vec::new();
        }
        match event {
            Event::Launched(at, pid) => self.launched(at, pid),
            Event::ProbeFailed(at, what) => {
                if let Some(Phase::Starting { probe_failure, .. }) = self.units[at].phase_mut() {
                    *probe_failure = what;
                }
            }
            Event::Ready(at) => self.ready(at),
            Event::StatusText(at, text) => {
                if let Some(run) = self.units[at].run_mut() {
                    run.status_text = text;
                }
            }
            Event::Checked(at, number, result) => self.checked(at, number, result),
            Event::Exited(at, outcome) => self.exited(at, &outcome),
            Event::StopCommandEnded(at, well) => self.stop_command_ended(at, well),
            Event::Start(units) => self.request_start(&units),
            Event::Stop(units, by) => units.into_iter().for_each(|at| self.request_stop(at, &by)),
            Event::Restart(units, by) => self.request_restart(&units, &by),
            Event::Shutdown => self.request_shutdown(),
            Event::Tick => {}
        }
        self.reconcile();
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] is due, if at all. Never earlier than the last handled time.
    pub fn deadline(&self) -> Option<Now> {
        let end = match self.shutdown {
            Shutdown::Finished => return None,
            Shutdown::NotRequested => None,
            Shutdown::Stopping(deadline) | Shutdown::Killed(deadline) => Some(deadline),
        };
        self.ids().filter_map(|at| self.deadline_of(at)).chain(end).min()
    }

    /// The numbers of all units.
    pub fn ids(&self) -> impl Iterator<Item = UnitId> + use<> {
        (0..self.units.len()).map(UnitId)
    }

    /// The description of `at`.
    pub fn unit(&self, at: UnitId) -> &Unit {
        &self.units[at].spec
    }

    /// Every unit's state.
    pub fn status(&self) -> impl Iterator<Item = UnitStatus> {
        self.units.iter().zip(self.ids()).map(|(unit, at)| UnitStatus {
            info: Arc::clone(&unit.info),
            state: unit.state.shown(),
            reason: self.reason(at),
            since: self.wall(unit.since),
            pid: unit.run().and_then(|run| run.pid),
            restarts: unit.restarts,
            health: unit.health(),
            status_text: unit.run().map(|run| run.status_text.clone()).unwrap_or_default(),
            stopped_by: unit.stopped_by.clone(),
            off: unit.off,
        })
    }

    /// All changes of units since the last call, in order. States that last no time appear here as well: they carry
    /// reasons.
    pub fn changes(&mut self) -> Vec<UnitChange> {
        std::mem::take(&mut self.changes)
    }

    /// A time in milliseconds since the Unix epoch.
    pub fn wall(&self, time: Now) -> i64 {
        self.began + i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
    }

    /// Whether everything that should be up is up. Stopped units, and units that wait for them, are not expected to be
    /// up.
    pub fn up(&self) -> bool {
        let is_up = |at| !self.is_expected(at) || self.is_satisfied(at) || self.works_on(at);
        !self.is_stopping() && self.ids().all(is_up)
    }

    fn is_expected(&self, at: UnitId) -> bool {
        let unit = &self.units[at];
        let mut needs = unit.deps.needs.iter();
        unit.wanted() && needs.all(|need| self.is_open(*need) || self.is_expected(*need))
    }

    /// Why `at` cannot be started, if it cannot.
    pub fn refusal(&self, at: UnitId) -> Option<&str> {
        let unit = &self.units[at];
        (!is_runnable(&unit.spec)).then_some(unit.reason.as_str())
    }

    /// Whether `at` has ended or is ending, and will not be restarted. A unit that still waits for its dependents to
    /// end has not begun.
    pub fn ends_for_good(&self, at: UnitId) -> bool {
        let unit = &self.units[at];
        !unit.wanted() && matches!(unit.phase(), None | Some(Phase::Stopping { .. }))
    }

    /// Whether everything is being stopped.
    pub fn is_stopping(&self) -> bool {
        self.shutdown != Shutdown::NotRequested
    }

    fn reason(&self, at: UnitId) -> String {
        let unit = &self.units[at];
        let reason = unit.reason.clone();
        match &unit.state {
            State::Waiting => Some(self.waits_for(at)).filter(|text| !text.is_empty()).unwrap_or(reason),
            _ if unit.is_stuck() => format!("{reason}; it does not end, even when killed"),
            _ => reason,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
