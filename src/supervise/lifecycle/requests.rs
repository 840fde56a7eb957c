//! Requests from users: start, stop, restart, and the stop of everything.

use std::collections::VecDeque;

use super::unit_runtime::{AfterStop, State};
use super::{Core, Ending, STOP_BUDGET};

impl Core {
    /// Makes `units` wanted, and the units that they need.
    pub(super) fn want(&mut self, units: &[usize]) {
        let mut seen = vec![false; self.runtimes.len()];
        let mut left = units.to_vec();
        while let Some(at) = left.pop() {
            if std::mem::replace(&mut seen[at], true) || self.refusal(at).is_some() {
                continue;
            }
            let runtime = &mut self.runtimes[at];
            runtime.wanted = true;
            runtime.stopped_by = None;
            runtime.off = false;
            if let Some((then, _)) = &mut runtime.leaving {
                *then = AfterStop::Restart;
            }
            match &mut runtime.state {
                State::Stopping { then, .. } => *then = AfterStop::Restart,
                State::Backoff { .. } | State::Stopped | State::Failed => {
                    runtime.backoff.forget();
                    self.enter(at, State::Waiting, String::new());
                }
                _ => {}
            }
            left.extend(self.runtimes[at].spec.needs.iter().filter(|need| !self.is_open(**need)));
        }
    }

    /// Makes `at` unwanted, as requested by `by`.
    pub(super) fn unwant(&mut self, at: usize, by: &str) {
        // A stop of a unit that is stopped already is not recorded.
        if self.runtimes[at].wanted {
            self.runtimes[at].stopped_by = Some(by.to_owned());
        }
        self.dismiss(at, &format!("{by} asked for it"));
    }

    /// The units that a restart of `units` restarts: `units` and, by `restart-with`, others, each once. A unit that is
    /// not wanted or cannot run is left out.
    pub fn together(&self, units: &[usize]) -> Vec<usize> {
        let mut all: Vec<usize> = Vec::new();
        let mut left: VecDeque<usize> = units.iter().copied().collect();
        while let Some(at) = left.pop_front() {
            if all.contains(&at) {
                continue;
            }
            all.push(at);
            let partner = self.runtimes[at].spec.restart_with;
            left.extend(partner.filter(|at| self.runtimes[*at].wanted && self.refusal(*at).is_none()));
        }
        all
    }

    /// Restarts `units`, as requested by `by`.
    pub(super) fn restart(&mut self, units: &[usize], by: &str) {
        self.want(units);
        for &at in units {
            if self.refusal(at).is_some() {
                continue;
            }
            let runtime = &mut self.runtimes[at];
            match runtime.state {
                State::Stopping { .. } => {}
                _ if runtime.alive => {
                    runtime.leaving = Some((AfterStop::Restart, format!("{by} asked for a restart")));
                }
                State::Done => self.enter(at, State::Waiting, String::new()),
                _ => {}
            }
        }
    }

    /// Stops everything; the second time, kills everything.
    pub(super) fn shutdown(&mut self) {
        match self.ending {
            None => self.end_all("the daemon is stopping"),
            Some(Ending { killed: false, .. }) => self.kill_all(),
            Some(_) => {}
        }
    }

    /// Begins the stop of everything.
    pub(super) fn end_all(&mut self, reason: &str) {
        for at in 0..self.runtimes.len() {
            self.dismiss(at, reason);
        }
        self.ending = Some(Ending { deadline: self.now + STOP_BUDGET, killed: false });
    }

    fn dismiss(&mut self, at: usize, reason: &str) {
        let runtime = &mut self.runtimes[at];
        runtime.wanted = false;
        match &mut runtime.state {
            State::Stopping { then, .. } => {
                *then = AfterStop::Stay;
                reason.clone_into(&mut runtime.reason);
            }
            _ if runtime.alive => runtime.leaving = Some((AfterStop::Stay, reason.to_owned())),
            State::Waiting | State::Backoff { .. } | State::Done => {
                self.enter(at, State::Stopped, reason.to_owned());
            }
            _ => {}
        }
    }
}
