//! The unit whose end ends everything, and the one that comes last.
//!
//! A main unit has ended when it ended by itself and will not be started again; a stop or restart that somebody asked
//! for is none of that. Its last exit is the exit code of the whole.

use crate::sys::reaper::Exit;

use super::cell::{Cell, State, Then};
use super::{Core, Outcome};

/// What shells say of a program that does not exist.
const NOT_FOUND: i32 = 127;

/// What shells say of a program that cannot be executed.
const NOT_EXECUTABLE: i32 = 126;

/// It was to run and never did, because the end came first.
const NEVER_RAN: Exit = Exit::Signal(15);

/// It did not even end when it was killed.
const KILLED: Exit = Exit::Signal(9);

impl Core {
    /// The exit code of the whole: that of the main unit, and 0 where there is none.
    pub fn code(&self) -> i32 {
        match self.cells.iter().find(|cell| cell.spec.main) {
            None => 0,
            Some(cell) if cell.alive => KILLED.code(),
            Some(cell) => cell.code.unwrap_or(NEVER_RAN.code()),
        }
    }

    /// Takes in the end of one run. `told` says whether somebody had told it to end.
    pub(super) fn take_end(&mut self, at: usize, outcome: &Outcome, told: bool) {
        let cell = &mut self.cells[at];
        if !cell.spec.main {
            return;
        }
        let resting = matches!(cell.state, State::Done | State::Stopped | State::Failed);
        let code = match outcome {
            Outcome::Ended(exit) => exit.code(),
            Outcome::NotFound(_) => NOT_FOUND,
            Outcome::NotStarted(_) | Outcome::HeldUp(_) => NOT_EXECUTABLE,
        };
        // One that had to be ended because it did not get ready may still say that all went well.
        let failed = cell.state == State::Failed && *outcome == Outcome::Ended(Exit::Code(0));
        cell.code = Some(if failed { 1 } else { code });
        if !told && resting && self.ending.is_none() {
            let reason = format!("{} has ended", self.cells[at].spec.name);
            self.end_all(&reason);
        }
    }

    /// Whether somebody told `at` to end, or to end and return.
    pub(super) fn is_told_to_end(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        let then = match &cell.state {
            State::Stopping { then, .. } => Some(then),
            _ => cell.leaving.as_ref().map(|(then, _)| then),
        };
        matches!(then, Some(Then::Stay | Then::Again))
    }

    /// The units that `at` waits for only because it comes last.
    pub(super) fn before_last(&self, at: usize) -> impl Iterator<Item = usize> {
        let others = if self.cells[at].spec.last { 0..self.cells.len() } else { 0..0 };
        others.filter(move |other| *other != at && self.is_coming(*other))
    }

    /// Whether `at` may still get ready by itself, failures so far notwithstanding.
    fn is_coming(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        match cell.state {
            State::Starting { .. } => true,
            // One that never gives up would be waited for without end.
            State::Backoff { .. } => cell.spec.patience.limit.is_some(),
            _ => {
                cell.wanted
                    && cell.is_due()
                    && !self.is_behind_last(at)
                    && cell.spec.needs.iter().all(|need| self.is_open(*need) || self.is_coming(*need))
            }
        }
    }

    /// Whether `at` is, or waits for, what comes last: that would wait for it without end.
    fn is_behind_last(&self, at: usize) -> bool {
        let Cell { spec, .. } = &self.cells[at];
        let mut before = spec.needs.iter().chain(&spec.after);
        self.cells[at].is_due() && (spec.last || before.any(|unit| self.is_behind_last(*unit)))
    }
}

impl Cell {
    /// Whether it waits for its start, or is on its way out to be started again.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Waiting | State::Stopping { then: Then::Again, .. })
            || matches!(self.leaving, Some((Then::Again, _)))
    }
}
