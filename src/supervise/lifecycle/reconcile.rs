//! Automatic transitions: starts that have become possible, stops that have become necessary.

use std::collections::BTreeSet;

use super::unit_runtime::{AfterStop, Phase, State, UnitRuntime};
use super::{Core, Effect};

impl Core {
    /// Makes all transitions that have become possible, until none is left. Returns whether there was any.
    pub(super) fn reconcile(&mut self) -> bool {
        let mut changed_any = false;
        loop {
            let mut changed = false;
            for at in 0..self.runtimes.len() {
                changed |= self.restart_on_lost_dependency(at) | self.begin_stop(at) | self.start(at);
            }
            if !changed {
                break;
            }
            changed_any = true;
        }
        if self.ending.is_some() && !self.finished && self.runtimes.iter().all(|runtime| !runtime.alive) {
            self.finish();
        }
        changed_any
    }

    /// Stops a unit, to start it again, if a unit that it needs is lost or a unit that it follows was restarted.
    fn restart_on_lost_dependency(&mut self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        let active = matches!(runtime.state, State::Starting { .. } | State::Ready { .. });
        let done = runtime.state == State::Done && runtime.wanted;
        if !(active || done) || runtime.leaving.is_some() {
            return false;
        }
        let lost = runtime.spec.needs.iter().find(|need| active && !self.is_open(**need));
        let restarted = runtime.spec.follows.iter().zip(&runtime.followed).find(|(unit, generation)| {
            **generation != 0 && self.runtimes[**unit].generation != **generation && self.is_open(**unit)
        });
        let reason = match (lost, restarted) {
            (Some(need), _) => format!("it needs {}", self.runtimes[*need].spec.name),
            (None, Some((unit, _))) => format!("{} was restarted", self.runtimes[*unit].spec.name),
            (None, None) => return false,
        };
        if done {
            // The work was done for a run that has ended: it is done again.
            self.enter(at, State::Waiting, reason);
        } else {
            self.runtimes[at].leaving = Some((AfterStop::Restart, reason));
        }
        true
    }

    /// Begins the stop of a unit that is leaving, when no unit that needs it is alive any more.
    fn begin_stop(&mut self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        if runtime.leaving.is_none() || matches!(runtime.state, State::Stopping { .. }) {
            return false;
        }
        if self.users(at).next().is_some() {
            return false;
        }
        let Some((then, reason)) = self.runtimes[at].leaving.take() else { return false };
        let UnitRuntime { spec, pid, .. } = &self.runtimes[at];
        let end = self.now + spec.stop.timeout;
        let (phase, deadline, effect) = if spec.stop.command.is_some() && pid.is_some() {
            (Phase::Asked, self.now + spec.stop.timeout / 3 * 2, Effect::Ask(at))
        } else {
            (Phase::Signalled, end, Effect::Signal(at))
        };
        self.enter(at, State::Stopping { phase, deadline, end, then }, reason);
        self.effects.push(effect);
        true
    }

    fn start(&mut self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        if runtime.state != State::Waiting || !runtime.wanted || runtime.alive || self.ending.is_some() {
            return false;
        }
        if !runtime.spec.needs.iter().all(|need| self.is_open(*need))
            || runtime.spec.after.iter().any(|unit| self.pending(*unit))
            || self.before_last(at).next().is_some()
            // These units belong to the previous run and would mistake the new run for it.
            || self.users(at).next().is_some()
        {
            return false;
        }
        let followed = runtime.spec.follows.iter().map(|unit| self.runtimes[*unit].generation).collect();
        let deadline = runtime.spec.start_timeout.map(|limit| self.now + limit);
        let runtime = &mut self.runtimes[at];
        runtime.followed = followed;
        runtime.alive = true;
        runtime.open = false;
        runtime.probe_failure = String::new();
        // The reason for a restart stays visible until the unit is ready.
        let reason = std::mem::take(&mut runtime.reason);
        self.enter(at, State::Starting { deadline }, reason);
        self.effects.push(Effect::Spawn(at));
        true
    }

    /// Whether units that need `at` may run.
    pub(super) fn is_open(&self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        let starting = matches!(runtime.state, State::Starting { .. });
        self.satisfied(at) || (starting && runtime.open && runtime.leaving.is_none())
    }

    /// Whether `at` is ready or done.
    pub(super) fn satisfied(&self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        runtime.leaving.is_none() && matches!(runtime.state, State::Ready { .. } | State::Done)
    }

    /// Whether `at` is starting, but not after a failure, so that units with a mere `after` on it wait.
    fn pending(&self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        match runtime.state {
            State::Starting { .. } => !runtime.open,
            _ => {
                runtime.is_due()
                    && runtime.wanted
                    && runtime.spec.needs.iter().all(|need| self.is_open(*need) || self.pending(*need))
            }
        }
    }

    /// Units that are alive and need `at`.
    fn users(&self, at: usize) -> impl Iterator<Item = usize> {
        let uses =
            move |other: &UnitRuntime| other.alive && !other.is_stuck() && other.spec.needs.contains(&at);
        self.runtimes.iter().enumerate().filter(move |(_, other)| uses(other)).map(|(other, _)| other)
    }

    pub(super) fn waits_for(&self, at: usize) -> String {
        let spec = &self.runtimes[at].spec;
        let needs = spec.needs.iter().copied().filter(|need| !self.is_open(*need));
        let after = spec.after.iter().copied().filter(|unit| self.pending(*unit));
        let units: BTreeSet<usize> =
            needs.chain(after).chain(self.users(at)).chain(self.before_last(at)).collect();
        let names: Vec<String> = units
            .into_iter()
            .map(|unit| {
                format!("{} ({})", self.runtimes[unit].spec.name, self.runtimes[unit].state.shown().name())
            })
            .collect();
        if names.is_empty() { String::new() } else { format!("for {}", names.join(", ")) }
    }
}
