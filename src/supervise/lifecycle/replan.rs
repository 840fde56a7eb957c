//! Takes over a new plan while units run: unchanged units are not touched.

use crate::plan::{Disposition, Unit};

use super::unit_runtime::{AfterStop, State, UnitRuntime};
use super::{Core, Effect, Now, Transition, initial, specs};

impl Core {
    /// Takes over a plan. Every known unit keeps its index; new units are appended. `changed` says which of the known
    /// units differ from before. A unit that is not in the plan any more is passed as one that does not run.
    pub fn replan(&mut self, units: &[Unit], changed: &[bool], now: Now) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.finished || self.ending.is_some() {
            return Vec::new();
        }
        let known = self.runtimes.len();
        let ran: Vec<bool> = self.runtimes.iter().map(|runtime| runtime.spec.runnable).collect();
        let scripts: Vec<bool> = self.runtimes.iter().map(UnitRuntime::is_script).collect();
        for (at, spec) in specs(units).into_iter().enumerate() {
            if at < known {
                if spec.follows != self.runtimes[at].spec.follows {
                    self.runtimes[at].followed =
                        spec.follows.iter().map(|unit| self.generation(*unit)).collect();
                }
                self.runtimes[at].spec = spec;
            } else {
                let (state, reason, wanted) = initial(&units[at]);
                let mut runtime = UnitRuntime::new(spec, state, reason, wanted);
                runtime.since = self.now;
                self.transitions.push(Transition::first(at, &runtime));
                self.runtimes.push(runtime);
            }
        }
        for at in (0..known).filter(|at| changed.get(*at) == Some(&true)) {
            match &units[at].disposition {
                Disposition::Run if ran[at] => self.apply_changed(at, &units[at], scripts[at]),
                Disposition::Run => self.unskip(at, &units[at]),
                Disposition::Skip(reason) => self.retire(at, State::Skipped, reason),
                Disposition::Broken(reason) => self.retire(at, State::Failed, reason),
            }
        }
        while self.reconcile() | self.deadlines() {}
        std::mem::take(&mut self.effects)
    }

    fn generation(&self, at: usize) -> u64 {
        self.runtimes.get(at).map_or(0, |runtime| runtime.generation)
    }

    /// Makes a unit run by its new file. `was_script` says whether it was a script by its old file.
    fn apply_changed(&mut self, at: usize, unit: &Unit, was_script: bool) {
        let runtime = &mut self.runtimes[at];
        runtime.backoff.forget();
        // A script is not run a second time only because something around it changed.
        let script = was_script && runtime.is_script();
        if script && (runtime.alive || matches!(runtime.state, State::Done | State::Failed)) {
            return;
        }
        match &mut runtime.state {
            State::Failed => {
                runtime.wanted |= unit.autostart;
                let state = if runtime.wanted { State::Waiting } else { State::Stopped };
                self.enter(at, state, String::new());
            }
            State::Stopping { .. } | State::Stopped | State::Waiting | State::Skipped => {}
            _ if runtime.alive => {
                runtime.leaving.get_or_insert((AfterStop::Restart, "its configuration changed".to_owned()));
            }
            State::Backoff { .. } | State::Done => self.enter(at, State::Waiting, String::new()),
            _ => {}
        }
    }

    /// Allows a unit that could not run before; it may still be stopping.
    fn unskip(&mut self, at: usize, unit: &Unit) {
        let (first, reason, wanted) = initial(unit);
        let runtime = &mut self.runtimes[at];
        runtime.wanted = wanted;
        runtime.off = !wanted;
        runtime.backoff.forget();
        match (&mut runtime.state, &mut runtime.leaving) {
            (State::Stopping { then, .. }, _) | (_, Some((then, _))) => {
                *then = if wanted { AfterStop::Restart } else { AfterStop::Stay };
            }
            _ => self.enter(at, first, reason),
        }
    }

    /// Takes a unit out of service: its file does not let it run any more.
    fn retire(&mut self, at: usize, state: State, reason: &str) {
        let runtime = &mut self.runtimes[at];
        runtime.wanted = false;
        match &mut runtime.state {
            State::Stopping { then, .. } => {
                *then = AfterStop::Stay;
                reason.clone_into(&mut runtime.reason);
            }
            _ if runtime.alive => runtime.leaving = Some((AfterStop::Stay, reason.to_owned())),
            _ => self.enter(at, state, reason.to_owned()),
        }
    }
}
