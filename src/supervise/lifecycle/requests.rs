//! What people ask for.

use super::cell::{State, Then};
use super::{Core, Ending, STOP_BUDGET};

impl Core {
    /// `units` shall run, and so shall what they need.
    pub(super) fn want(&mut self, units: &[usize]) {
        let mut seen = vec![false; self.cells.len()];
        let mut left = units.to_vec();
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut seen[at], true) || self.refusal(at).is_some() {
                continue;
            }
            let cell = &mut self.cells[at];
            cell.wanted = true;
            if let Some((then, _)) = &mut cell.leaving {
                *then = Then::Again;
            }
            match &mut cell.state {
                State::Stopping { then, .. } => *then = Then::Again,
                State::Backoff { .. } | State::Stopped | State::Failed => {
                    cell.backoff.forget();
                    self.enter(at, State::Waiting, String::new());
                }
                _ => {}
            }
            left.extend(self.cells[at].spec.needs.iter().filter(|need| !self.is_open(**need)));
        }
    }

    /// `at` shall not run.
    pub(super) fn unwant(&mut self, at: usize) {
        self.dismiss(at, "somebody asked for it");
    }

    /// `units` shall run anew.
    pub(super) fn again(&mut self, units: &[usize]) {
        self.want(units);
        for &at in units {
            if self.refusal(at).is_some() {
                continue;
            }
            let cell = &mut self.cells[at];
            match cell.state {
                State::Stopping { .. } => {}
                _ if cell.alive => {
                    cell.leaving = Some((Then::Again, "somebody asked for a restart".to_owned()));
                }
                State::Done => self.enter(at, State::Waiting, String::new()),
                _ => {}
            }
        }
    }

    /// Nothing shall run; said twice, at once.
    pub(super) fn shutdown(&mut self) {
        match self.ending {
            None => {
                for at in 0..self.cells.len() {
                    self.dismiss(at, "the daemon is stopping");
                }
                self.ending = Some(Ending { deadline: self.now + STOP_BUDGET, killed: false });
            }
            Some(Ending { killed: false, .. }) => self.kill_all(),
            Some(_) => {}
        }
    }

    fn dismiss(&mut self, at: usize, reason: &str) {
        let cell = &mut self.cells[at];
        cell.wanted = false;
        match &mut cell.state {
            State::Stopping { then, .. } => {
                *then = Then::Stay;
                reason.clone_into(&mut cell.reason);
            }
            _ if cell.alive => cell.leaving = Some((Then::Stay, reason.to_owned())),
            State::Waiting | State::Backoff { .. } | State::Done => {
                self.enter(at, State::Stopped, reason.to_owned());
            }
            _ => {}
        }
    }
}
