//! The main unit, whose end ends everything.
//!
//! The end of a main unit counts if it ended by itself and will not be started again; a requested stop or restart does
//! not count. Its last exit is the exit code of the daemon.

use crate::sys::reaper::Exit;

use super::messages::{Outcome, UnitId};
use super::runtime::{AfterStop, Core, Shutdown, State};

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
        match self.units.iter().find(|unit| unit.spec.main) {
            None => 0,
            Some(unit) if unit.is_alive() => KILLED.code(),
            Some(unit) => unit.code.unwrap_or(NEVER_RAN.code()),
        }
    }

    /// Records the end of one run. `then` says why it was stopped, if it was.
    pub(super) fn record_main_exit(&mut self, at: UnitId, outcome: &Outcome, then: Option<AfterStop>) {
        let unit = &mut self.units[at];
        if !unit.spec.main {
            return;
        }
        let resting = matches!(unit.state, State::Done | State::Stopped | State::Failed { .. });
        let code = match outcome {
            // A unit that was stopped because it did not get ready may still exit with 0.
            Outcome::Ended(Exit::Code(0)) if matches!(unit.state, State::Failed { .. }) => 1,
            Outcome::Ended(exit) => exit.code(),
            Outcome::NotFound(_) => NOT_FOUND,
            Outcome::NotStarted(_) | Outcome::HeldUp(_) => NOT_EXECUTABLE,
        };
        unit.code = Some(code);
        let requested = matches!(then, Some(AfterStop::Stay | AfterStop::Restart));
        if !requested && resting && self.shutdown == Shutdown::NotRequested {
            let reason = format!("{} has ended", unit.spec.name);
            self.stop_all(&reason);
        }
    }
}
