//! The main unit, whose end ends everything, and the unit that starts last.
//!
//! The end of a main unit counts if it ended by itself and will not be started again; a requested stop or restart does
//! not count. Its last exit is the exit code of the daemon.

use crate::sys::reaper::Exit;

use super::unit_runtime::{AfterStop, State, UnitRuntime};
use super::{Core, Outcome};

/// The exit code of shells for a program that does not exist.
const NOT_FOUND: i32 = 127;

/// The exit code of shells for a program that cannot be executed.
const NOT_EXECUTABLE: i32 = 126;

/// The unit was to run, but everything was stopped before it did.
const NEVER_RAN: Exit = Exit::Signal(15);

/// The unit did not end even after KILL.
const KILLED: Exit = Exit::Signal(9);

impl Core {
    /// The exit code of the daemon: that of the main unit, or 0 without a main unit.
    pub fn code(&self) -> i32 {
        match self.runtimes.iter().find(|runtime| runtime.spec.main) {
            None => 0,
            Some(runtime) if runtime.alive => KILLED.code(),
            Some(runtime) => runtime.code.unwrap_or(NEVER_RAN.code()),
        }
    }

    /// Records the end of one run. `told` says whether that end was requested.
    pub(super) fn take_end(&mut self, at: usize, outcome: &Outcome, told: bool) {
        let runtime = &mut self.runtimes[at];
        if !runtime.spec.main {
            return;
        }
        let resting = matches!(runtime.state, State::Done | State::Stopped | State::Failed);
        let code = match outcome {
            Outcome::Ended(exit) => exit.code(),
            Outcome::NotFound(_) => NOT_FOUND,
            Outcome::NotStarted(_) | Outcome::HeldUp(_) => NOT_EXECUTABLE,
        };
        // A unit that was stopped because it did not get ready may still exit with 0.
        let failed = runtime.state == State::Failed && *outcome == Outcome::Ended(Exit::Code(0));
        runtime.code = Some(if failed { 1 } else { code });
        if !told && resting && self.ending.is_none() {
            let reason = format!("{} has ended", self.runtimes[at].spec.name);
            self.end_all(&reason);
        }
    }

    /// Whether `at` was asked to stop or to restart.
    pub(super) fn is_asked_to_end(&self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        let then = match &runtime.state {
            State::Stopping { then, .. } => Some(then),
            _ => runtime.leaving.as_ref().map(|(then, _)| then),
        };
        matches!(then, Some(AfterStop::Stay | AfterStop::Restart))
    }

    /// The units that `at` waits for only because it starts last.
    pub(super) fn before_last(&self, at: usize) -> impl Iterator<Item = usize> {
        let others = if self.runtimes[at].spec.last { 0..self.runtimes.len() } else { 0..0 };
        others.filter(move |other| *other != at && self.is_coming(*other))
    }

    /// Whether `at` may still get ready by itself, even after failures.
    fn is_coming(&self, at: usize) -> bool {
        let runtime = &self.runtimes[at];
        match runtime.state {
            State::Starting { .. } => true,
            // A unit without a limit may fail forever, so `at` would never start.
            State::Backoff { .. } => runtime.spec.restart.limit.is_some(),
            _ => {
                runtime.wanted
                    && runtime.is_due()
                    && !self.is_behind_last(at)
                    && runtime.spec.needs.iter().all(|need| self.is_open(*need) || self.is_coming(*need))
            }
        }
    }

    /// Whether `at` starts last, or waits for a unit that does: waiting for it would never end.
    fn is_behind_last(&self, at: usize) -> bool {
        let UnitRuntime { spec, .. } = &self.runtimes[at];
        let mut before = spec.needs.iter().chain(&spec.after);
        self.runtimes[at].is_due() && (spec.last || before.any(|unit| self.is_behind_last(*unit)))
    }
}

impl UnitRuntime {
    /// Whether it waits for its start, or is being stopped in order to be started again.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Waiting | State::Stopping { then: AfterStop::Restart, .. })
            || matches!(self.leaving, Some((AfterStop::Restart, _)))
    }
}
