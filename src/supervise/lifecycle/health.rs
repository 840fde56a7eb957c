//! Health checks: whether a unit that is ready still works.
//!
//! A check begins one period after the last check began, or one retry time after a failed check. A check never begins
//! while another check of the unit runs, and only while the unit is to stay ready. As many failures in a row as the
//! threshold make the unit unhealthy; one success makes it healthy again. A restart because of bad health is a failure
//! like any other. Its working time ends with the last good answer: a unit that is never healthy reaches its limit,
//! even if the checks take long to fail.

use std::time::Duration;

use crate::config::service::Action;
use crate::supervise::{UnitHealth, UnitState};

use super::checks::{Checks, Stage};
use super::machine::Core;
use super::messages::{Effect, Now, Transition};
use super::unit_runtime::{AfterStop, State, UnitRuntime};

impl UnitRuntime {
    /// When its checks need action next.
    pub(super) fn check_due(&self) -> Option<Now> {
        match (&self.state, &self.spec.health) {
            (State::Ready { checks: Some(checks), .. }, Some(health)) if self.leaving.is_none() => {
                Some(match checks.stage {
                    Stage::Due(at) => at,
                    Stage::Running { began, .. } => began.saturating_add(health.timeout),
                })
            }
            _ => None,
        }
    }

    pub(super) fn is_being_checked(&self) -> bool {
        matches!(&self.state, State::Ready { checks: Some(Checks { stage: Stage::Running { .. }, .. }), .. })
    }

    /// The result of its checks.
    pub(super) fn health(&self) -> Option<UnitHealth> {
        match (&self.state, &self.spec.health) {
            (State::Ready { checks: Some(checks), .. }, Some(health)) => {
                let unhealthy = checks.failures >= health.threshold;
                Some(if unhealthy { UnitHealth::Unhealthy } else { UnitHealth::Healthy })
            }
            _ => None,
        }
    }
}

impl Core {
    /// Begins a check of `at`, or ends one that takes too long. Returns whether either was due.
    pub(super) fn check(&mut self, at: usize) -> bool {
        let now = self.now;
        let runtime = &mut self.runtimes[at];
        if runtime.check_due().is_none_or(|due| due > now) {
            return false;
        }
        let State::Ready { checks: Some(checks), .. } = &mut runtime.state else { return false };
        match checks.stage {
            Stage::Due(_) => {
                self.checks += 1;
                let number = self.checks;
                checks.stage = Stage::Running { number, began: now };
                self.effects.push(Effect::Check(at, number));
            }
            Stage::Running { began, .. } => {
                let limit = runtime.spec.health.as_ref().map(|health| health.timeout).unwrap_or_default();
                self.effects.push(Effect::Recall(at));
                self.answered(at, began, Err(format!("no answer within {limit:?}")));
            }
        }
        true
    }

    /// A check ended with a result.
    pub(super) fn checked(&mut self, at: usize, number: u64, result: Result<(), String>) {
        let runtime = &self.runtimes[at];
        if let State::Ready { checks: Some(checks), .. } = &runtime.state
            && let Stage::Running { number: current, began } = checks.stage
            && current == number
            // A unit that is leaving is not checked any more.
            && runtime.leaving.is_none()
        {
            self.answered(at, began, result);
        }
    }

    fn answered(&mut self, at: usize, began: Now, result: Result<(), String>) {
        let now = self.now;
        let runtime = &mut self.runtimes[at];
        let before = runtime.health();
        let (State::Ready { since, checks: Some(checks) }, Some(health)) =
            (&mut runtime.state, &runtime.spec.health)
        else {
            return;
        };
        let next = if result.is_ok() { health.period } else { health.retry };
        checks.stage = Stage::Due(began.saturating_add(next).max(now));
        let Err(why) = result else {
            checks.failures = 0;
            checks.well_at = now;
            if before == Some(UnitHealth::Unhealthy) {
                runtime.reason = String::new();
                let (from, to) = (Some(UnitState::Ready), UnitState::Ready);
                let reason = "healthy again".to_owned();
                self.transitions.push(Transition { unit: at, from, to, reason, when: now });
            }
            return;
        };
        checks.failures = checks.failures.saturating_add(1);
        if checks.failures < health.threshold {
            return;
        }
        let worked: Duration = checks.well_at.saturating_sub(*since);
        runtime.reason = format!("unhealthy: {}: {why}", health.probe);
        if health.action == Action::Restart {
            let why = runtime.reason.clone();
            runtime.leaving = Some((AfterStop::Fail { why: why.clone(), lasted: Some(worked) }, why));
        }
    }
}
