//! Takes over a new plan while units run: unchanged units are not touched.

use crate::plan::{Disposition, Unit};

use super::cell::{Cell, State, Then};
use super::{Core, Effect, Now, Transition, initial, specs};

impl Core {
    /// Takes over a plan. Every known unit keeps its index; new units are appended. `changed` says which of the known
    /// units differ from before. A unit that is not in the plan any more is passed as one that does not run.
    pub fn replan(&mut self, units: &[Unit], changed: &[bool], now: Now) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.finished || self.ending.is_some() {
            return Vec::new();
        }
        let known = self.cells.len();
        let ran: Vec<bool> = self.cells.iter().map(|cell| cell.spec.runnable).collect();
        let scripts: Vec<bool> = self.cells.iter().map(Cell::is_script).collect();
        for (at, spec) in specs(units).into_iter().enumerate() {
            if at < known {
                if spec.follows != self.cells[at].spec.follows {
                    self.cells[at].followed =
                        spec.follows.iter().map(|unit| self.generation(*unit)).collect();
                }
                self.cells[at].spec = spec;
            } else {
                let (state, reason, wanted) = initial(&units[at]);
                let mut cell = Cell::new(spec, state, reason, wanted);
                cell.since = self.now;
                self.transitions.push(Transition::first(at, &cell));
                self.cells.push(cell);
            }
        }
        for at in (0..known).filter(|at| changed.get(*at) == Some(&true)) {
            match &units[at].disposition {
                Disposition::Run if ran[at] => self.renew(at, &units[at], scripts[at]),
                Disposition::Run => self.readmit(at, &units[at]),
                Disposition::Skip(reason) => self.retire(at, State::Skipped, reason),
                Disposition::Broken(reason) => self.retire(at, State::Failed, reason),
            }
        }
        while self.settle() | self.deadlines() {}
        std::mem::take(&mut self.effects)
    }

    fn generation(&self, at: usize) -> u64 {
        self.cells.get(at).map_or(0, |cell| cell.generation)
    }

    /// Makes a unit run by its new file. `was_script` says whether it was a script by its old file.
    fn renew(&mut self, at: usize, unit: &Unit, was_script: bool) {
        let cell = &mut self.cells[at];
        cell.backoff.forget();
        // A script is not run a second time only because something around it changed.
        let script = was_script && cell.is_script();
        if script && (cell.alive || matches!(cell.state, State::Done | State::Failed)) {
            return;
        }
        match &mut cell.state {
            State::Failed => {
                cell.wanted |= unit.autostart;
                let state = if cell.wanted { State::Waiting } else { State::Stopped };
                self.enter(at, state, String::new());
            }
            State::Stopping { .. } | State::Stopped | State::Waiting | State::Skipped => {}
            _ if cell.alive => {
                cell.leaving.get_or_insert((Then::Again, "its configuration changed".to_owned()));
            }
            State::Backoff { .. } | State::Done => self.enter(at, State::Waiting, String::new()),
            _ => {}
        }
    }

    /// Allows a unit that could not run before; it may still be stopping.
    fn readmit(&mut self, at: usize, unit: &Unit) {
        let (first, reason, wanted) = initial(unit);
        let cell = &mut self.cells[at];
        cell.wanted = wanted;
        cell.off = !wanted;
        cell.backoff.forget();
        match (&mut cell.state, &mut cell.leaving) {
            (State::Stopping { then, .. }, _) | (_, Some((then, _))) => {
                *then = if wanted { Then::Again } else { Then::Stay };
            }
            _ => self.enter(at, first, reason),
        }
    }

    /// Takes a unit out of service: its file does not let it run any more.
    fn retire(&mut self, at: usize, state: State, reason: &str) {
        let cell = &mut self.cells[at];
        cell.wanted = false;
        match &mut cell.state {
            State::Stopping { then, .. } => {
                *then = Then::Stay;
                reason.clone_into(&mut cell.reason);
            }
            _ if cell.alive => cell.leaving = Some((Then::Stay, reason.to_owned())),
            _ => self.enter(at, state, reason.to_owned()),
        }
    }
}
