//! What follows by itself: starts that have become possible, stops that have become necessary.

use std::collections::BTreeSet;

use super::cell::{Cell, Phase, State, Then};
use super::{Core, Effect};

impl Core {
    /// Does everything that has become possible, until nothing is left to do.
    /// Returns whether anything was.
    pub(super) fn settle(&mut self) -> bool {
        let mut settled = false;
        loop {
            let mut changed = false;
            for at in 0..self.cells.len() {
                changed |= self.lose(at) | self.leave(at) | self.start(at);
            }
            if !changed {
                break;
            }
            settled = true;
        }
        if self.ending.is_some() && !self.finished && self.cells.iter().all(|cell| !cell.alive) {
            self.finish();
        }
        settled
    }

    /// A unit whose need is lost, or whose followed unit was restarted, has to go and come back.
    fn lose(&mut self, at: usize) -> bool {
        let cell = &self.cells[at];
        let active = matches!(cell.state, State::Starting { .. } | State::Ready { .. });
        let done = cell.state == State::Done && cell.wanted;
        if !(active || done) || cell.leaving.is_some() {
            return false;
        }
        let lost = cell.spec.needs.iter().find(|need| active && !self.is_open(**need));
        let restarted = cell.spec.follows.iter().zip(&cell.followed).find(|(unit, generation)| {
            **generation != 0 && self.cells[**unit].generation != **generation && self.is_open(**unit)
        });
        let reason = match (lost, restarted) {
            (Some(need), _) => format!("it needs {}", self.cells[*need].spec.name),
            (None, Some((unit, _))) => format!("{} was restarted", self.cells[*unit].spec.name),
            (None, None) => return false,
        };
        if done {
            // Its work was for what is gone now: it is done again.
            self.enter(at, State::Waiting, reason);
        } else {
            self.cells[at].leaving = Some((Then::Again, reason));
        }
        true
    }

    /// Begins the stop of a unit that shall leave, when nothing that needs it is alive any more.
    fn leave(&mut self, at: usize) -> bool {
        let cell = &self.cells[at];
        if cell.leaving.is_none() || matches!(cell.state, State::Stopping { .. }) {
            return false;
        }
        if self.users(at).next().is_some() {
            return false;
        }
        let Some((then, reason)) = self.cells[at].leaving.take() else { return false };
        let (phase, effect) = if self.cells[at].spec.has_stop_command && self.cells[at].pid.is_some() {
            (Phase::Asked, Effect::Ask(at))
        } else {
            (Phase::Signalled, Effect::Signal(at))
        };
        let deadline = self.now + self.cells[at].spec.stop_timeout;
        self.enter(at, State::Stopping { phase, deadline, then }, reason);
        self.effects.push(effect);
        true
    }

    fn start(&mut self, at: usize) -> bool {
        let cell = &self.cells[at];
        if cell.state != State::Waiting || !cell.wanted || cell.alive || self.ending.is_some() {
            return false;
        }
        if !cell.spec.needs.iter().all(|need| self.is_open(*need))
            || cell.spec.after.iter().any(|unit| self.pending(*unit))
            // They belong to the run before and would mistake the new one for it.
            || self.users(at).next().is_some()
        {
            return false;
        }
        let followed = cell.spec.follows.iter().map(|unit| self.cells[*unit].generation).collect();
        let deadline = cell.spec.start_timeout.map(|limit| self.now + limit);
        let cell = &mut self.cells[at];
        cell.followed = followed;
        cell.alive = true;
        cell.open = false;
        cell.tried = String::new();
        // Why it has to be started again is worth knowing until it is ready.
        let reason = std::mem::take(&mut cell.reason);
        self.enter(at, State::Starting { deadline }, reason);
        self.effects.push(Effect::Spawn(at));
        true
    }

    /// Whether what needs `at` may run.
    pub(super) fn is_open(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        let starting = matches!(cell.state, State::Starting { .. });
        self.satisfied(at) || (starting && cell.open && cell.leaving.is_none())
    }

    /// Whether `at` is as it should be.
    pub(super) fn satisfied(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        cell.leaving.is_none() && matches!(cell.state, State::Ready { .. } | State::Done)
    }

    /// Whether `at` is on its way up for the first time, so that what merely comes after it should wait.
    fn pending(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        match cell.state {
            State::Starting { .. } => !cell.open,
            State::Waiting | State::Stopping { then: Then::Again, .. } => {
                cell.wanted && cell.spec.needs.iter().all(|need| self.is_open(*need) || self.pending(*need))
            }
            _ => false,
        }
    }

    /// Units that are alive and need `at`.
    fn users(&self, at: usize) -> impl Iterator<Item = usize> {
        let uses = move |other: &Cell| other.alive && !other.is_stuck() && other.spec.needs.contains(&at);
        self.cells.iter().enumerate().filter(move |(_, other)| uses(other)).map(|(other, _)| other)
    }

    pub(super) fn waits_for(&self, at: usize) -> String {
        let spec = &self.cells[at].spec;
        let needs = spec.needs.iter().copied().filter(|need| !self.is_open(*need));
        let after = spec.after.iter().copied().filter(|unit| self.pending(*unit));
        let units: BTreeSet<usize> = needs.chain(after).chain(self.users(at)).collect();
        let names: Vec<String> = units
            .into_iter()
            .map(|unit| format!("{} ({})", self.cells[unit].spec.name, self.cells[unit].state.shown().name()))
            .collect();
        if names.is_empty() { String::new() } else { format!("for {}", names.join(", ")) }
    }
}
