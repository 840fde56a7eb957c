//! Requests from outside: start, stop, restart, the stop of everything, and a new plan.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::config::service::Relations;
use crate::plan::{Disposition, Unit};
use crate::supervise::request::Replanned;
use crate::supervise::status::UnitInfo;

use super::messages::{Now, UnitId};
use super::runtime::{AfterStop, Core, Dependencies, Phase, Run, Shutdown, State, UnitRuntime};
use super::runtime::{is_runnable, is_script};

/// How long the stop of all units together may take before they are killed. Docker kills after 10 s.
pub(super) const STOP_BUDGET: Duration = Duration::from_millis(6500);

impl Core {
    /// Starts `units`, and the units that they need.
    pub(super) fn request_start(&mut self, units: &[UnitId]) {
        let mut seen = vec![false; self.units.len()];
        let mut left = units.to_vec();
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut seen[at], true) || self.refusal(at).is_some() {
                continue;
            }
            let unit = &mut self.units[at];
            (unit.stopped_by, unit.off) = (None, false);
            unit.change_after_stop(AfterStop::Restart);
            if matches!(unit.state, State::Backoff { .. } | State::Stopped | State::Failed { .. }) {
                unit.backoff.forget();
                self.enter(at, State::Waiting, String::new());
            }
            left.extend(self.units[at].deps.needs.iter().filter(|need| !self.is_open(**need)));
        }
    }

    /// Stops `at`, as requested by `by`.
    pub(super) fn request_stop(&mut self, at: UnitId, by: &str) {
        let unit = &mut self.units[at];
        // A stop of a unit that is stopped already is not recorded.
        if unit.wanted() {
            unit.stopped_by = Some(by.to_owned());
        }
        self.stop(at, &format!("{by} asked for it"));
    }

    /// The units that a restart of `units` restarts: `units` and, by `restart-with`, others, each once. A unit that is
    /// not wanted or cannot run is left out.
    pub fn restart_together(&self, units: &[UnitId]) -> Vec<UnitId> {
        let mut all: Vec<UnitId> = Vec::new();
        let mut left: VecDeque<UnitId> = units.iter().copied().collect();
        while let Some(at) = left.pop_front() {
            if all.contains(&at) {
                continue;
            }
            all.push(at);
            let partner = self.units[at].deps.restart_with;
            left.extend(partner.filter(|at| self.units[*at].wanted() && self.refusal(*at).is_none()));
        }
        all
    }

    /// Restarts `units`, as requested by `by`.
    pub(super) fn request_restart(&mut self, units: &[UnitId], by: &str) {
        self.request_start(units);
        for &at in units {
            match &self.units[at].state {
                _ if self.refusal(at).is_some() => {}
                State::Alive(Run { phase: Phase::Stopping { .. }, .. }) => {}
                State::Alive(_) => {
                    self.drain(at, AfterStop::Restart, format!("{by} asked for a restart"));
                }
                State::Done => self.enter(at, State::Waiting, String::new()),
                _ => {}
            }
        }
    }

    /// Stops everything; the second time, kills everything.
    pub(super) fn request_shutdown(&mut self) {
        match self.shutdown {
            Shutdown::NotRequested => self.stop_all("the daemon is stopping"),
            Shutdown::Stopping(_) => self.kill_all(),
            Shutdown::Killed(_) | Shutdown::Finished => {}
        }
    }

    pub(super) fn stop_all(&mut self, reason: &str) {
        for at in self.ids() {
            self.stop(at, reason);
        }
        self.shutdown = Shutdown::Stopping(self.now + STOP_BUDGET);
    }

    fn stop(&mut self, at: UnitId, reason: &str) {
        match &mut self.units[at].state {
            State::Failed { wanted } => *wanted = false,
            State::Stopped | State::Skipped => {}
            _ => self.end_for_good(at, State::Stopped, reason),
        }
    }

    /// Ends `at`; without a process, it enters `state` at once.
    fn end_for_good(&mut self, at: UnitId, state: State, reason: &str) {
        let unit = &mut self.units[at];
        match unit.phase_mut() {
            None => self.enter(at, state, reason.to_owned()),
            Some(Phase::Stopping { then, .. }) => {
                *then = AfterStop::Stay;
                reason.clone_into(&mut unit.reason);
            }
            Some(_) => self.drain(at, AfterStop::Stay, reason.to_owned()),
        }
    }

    /// Takes over a plan while units run: unchanged units are not touched. Every unit keeps its number; a unit whose
    /// file was removed stays, as skipped. Returns what changed; nothing while everything is being stopped. The next
    /// event has the effects.
    pub fn replan(&mut self, mut planned: Vec<Unit>, now: Now) -> Replanned {
        let mut told = Replanned::default();
        if self.is_stopping() {
            return told;
        }
        self.now = self.now.max(now);
        let mut changed = Vec::new();
        for (at, runtime) in self.units.iter_mut().enumerate() {
            let found = planned.iter().position(|unit| unit.name == runtime.spec.name);
            let next = found.map_or_else(|| without_file(&runtime.spec), |found| planned.remove(found));
            if next != runtime.spec {
                let list = if found.is_some() { &mut told.changed } else { &mut told.removed };
                list.push(next.name.clone());
                runtime.info = UnitInfo::of(&next);
                changed.push((UnitId(at), std::mem::replace(&mut runtime.spec, next)));
            }
        }
        told.added = planned.iter().map(|unit| unit.name.clone()).collect();
        self.add(planned);
        for (at, old) in changed {
            match self.units[at].spec.disposition.clone() {
                Disposition::Run if is_runnable(&old) => self.apply_changed(at, &old),
                Disposition::Run => self.unskip(at),
                Disposition::Skip(reason) => self.end_for_good(at, State::Skipped, &reason),
                Disposition::Broken(reason) => {
                    self.end_for_good(at, State::Failed { wanted: false }, &reason);
                }
            }
        }
        told
    }

    /// Adds new units, and resolves the names of related units for all.
    pub(super) fn add(&mut self, planned: Vec<Unit>) {
        for unit in planned {
            let runtime = UnitRuntime::new(unit, self.now);
            let reason = runtime.reason.clone();
            self.units.push(runtime);
            self.report(UnitId(self.units.len() - 1), None, reason, None);
        }
        let names = self.units.iter().map(|unit| unit.spec.name.clone());
        let ids: BTreeMap<String, UnitId> = names.zip(self.ids()).collect();
        let resolve = |names: &[String]| -> Vec<UnitId> {
            names.iter().filter_map(|name| ids.get(name).copied()).collect()
        };
        for UnitRuntime { spec: Unit { relations, .. }, deps, .. } in &mut self.units {
            *deps = Dependencies {
                needs: resolve(&relations.needs),
                // A unit that restarts with another unit starts after it.
                after: resolve(&[&relations.after[..], &relations.follows].concat()),
                follows: resolve(&relations.follows),
                restart_with: relations.restart_with.iter().find_map(|name| ids.get(name).copied()),
            };
        }
    }

    /// Makes a unit run by its new file.
    fn apply_changed(&mut self, at: UnitId, old: &Unit) {
        let runtime = &mut self.units[at];
        runtime.backoff.forget();
        // A script is not run a second time only because something around it changed.
        let script = is_script(old) && is_script(&runtime.spec);
        match &runtime.state {
            State::Alive(_) | State::Done | State::Failed { .. } if script => {}
            State::Failed { wanted } => {
                let wanted = *wanted || runtime.spec.autostart;
                self.enter(at, if wanted { State::Waiting } else { State::Stopped }, String::new());
            }
            State::Alive(_) if runtime.after_stop().is_none() => {
                self.drain(at, AfterStop::Restart, "its configuration changed".to_owned());
            }
            // The failure was one of the old configuration.
            State::Alive(_) if matches!(runtime.after_stop(), Some(AfterStop::Fail(_))) => {
                runtime.change_after_stop(AfterStop::Restart);
            }
            State::Backoff { .. } | State::Done => self.enter(at, State::Waiting, String::new()),
            _ => {}
        }
    }

    /// Allows a unit that could not run before; it may still be stopping.
    fn unskip(&mut self, at: UnitId) {
        let runtime = &mut self.units[at];
        let (first, reason) = State::first(&runtime.spec);
        runtime.off = first == State::Stopped;
        runtime.backoff.forget();
        let then = if runtime.off { AfterStop::Stay } else { AfterStop::Restart };
        if !runtime.change_after_stop(then) {
            self.enter(at, first, reason);
        }
    }
}

/// The unit when its file was removed.
fn without_file(unit: &Unit) -> Unit {
    let disposition = Disposition::Skip("its file was removed".to_owned());
    let relations = Relations { clears: unit.relations.clears.clone(), ..Relations::default() };
    Unit { disposition, relations, main: false, ..unit.clone() }
}
