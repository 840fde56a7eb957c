//! Health checks: whether a unit that is ready still works.
//!
//! A check begins one period after the last check began, or one retry time after a failed check. A check never begins
//! while another check of the unit runs, and only while the unit is to stay ready. As many failures in a row as the
//! threshold make the unit unhealthy; one success makes it healthy again. A restart because of bad health is a failure
//! like any other. Its working time ends with the last good answer: a unit that is never healthy reaches its limit,
//! even if the checks take long to fail.

use crate::config::service::{Action, Health};
use crate::supervise::status::{UnitHealth, UnitState};

use super::messages::{Effect, Now, UnitId};
use super::runtime::{AfterStop, Checks, Core, Phase, Stage, UnitRuntime};

impl Checks {
    pub(super) fn new(health: &Health, now: Now) -> Self {
        Self { stage: Stage::Due(now.saturating_add(health.period)), failures: 0, well_at: now }
    }
}

impl UnitRuntime {
    fn checks(&self) -> Option<(&Checks, &Health)> {
        match self.phase()? {
            Phase::Ready(checks) => checks.as_ref().zip(self.spec.health.as_ref()),
            _ => None,
        }
    }

    /// When its checks need action next.
    pub(super) fn check_due(&self) -> Option<Now> {
        let (checks, health) = self.checks()?;
        Some(match checks.stage {
            Stage::Due(at) => at,
            Stage::Running { began, .. } => began.saturating_add(health.timeout),
        })
    }

    /// The result of its checks.
    pub(super) fn health(&self) -> Option<UnitHealth> {
        if let Some(Phase::Draining { health, .. }) = self.phase() {
            return *health;
        }
        let (checks, health) = self.checks()?;
        let unhealthy = checks.failures >= health.threshold;
        Some(if unhealthy { UnitHealth::Unhealthy } else { UnitHealth::Healthy })
    }
}

impl Core {
    /// Begins the check that is due, or ends the one that takes too long.
    pub(super) fn check(&mut self, at: UnitId) {
        let now = self.now;
        let unit = &mut self.units[at];
        let limit = unit.spec.health.as_ref().map(|health| health.timeout).unwrap_or_default();
        let Some(Phase::Ready(Some(checks))) = unit.phase_mut() else { return };
        match checks.stage {
            Stage::Due(_) => {
                self.checks += 1;
                checks.stage = Stage::Running { number: self.checks, began: now };
                self.effects.push(Effect::Check(at, self.checks));
            }
            Stage::Running { number, .. } => {
                self.cancel_check(at);
                self.checked(at, number, Err(format!("no answer within {limit:?}")));
            }
        }
    }

    /// Ends the running check, if there is one.
    pub(super) fn cancel_check(&mut self, at: UnitId) {
        if let Some(Phase::Ready(Some(Checks { stage: Stage::Running { .. }, .. }))) = self.units[at].phase()
        {
            self.effects.push(Effect::CancelCheck(at));
        }
    }

    /// A check ended with a result.
    pub(super) fn checked(&mut self, at: UnitId, number: u64, result: Result<(), String>) {
        let now = self.now;
        let unit = &mut self.units[at];
        let (before, since) = (unit.health(), unit.since);
        let Some(health) = unit.spec.health.clone() else { return };
        let Some(Phase::Ready(Some(checks))) = unit.phase_mut() else { return };
        let Stage::Running { number: current, began } = checks.stage else { return };
        if current != number {
            return;
        }
        let next = if result.is_ok() { health.period } else { health.retry };
        checks.stage = Stage::Due(began.saturating_add(next).max(now));
        let Err(why) = result else {
            (checks.failures, checks.well_at) = (0, now);
            if before == Some(UnitHealth::Unhealthy) {
                unit.reason = String::new();
                let pid = unit.run().and_then(|run| run.pid);
                self.report(at, Some(UnitState::Ready), "healthy again".to_owned(), pid);
            }
            return;
        };
        checks.failures = checks.failures.saturating_add(1);
        if checks.failures < health.threshold {
            return;
        }
        let worked = checks.well_at.saturating_sub(since);
        unit.reason = format!("unhealthy: {}: {why}", health.probe);
        if health.action == Action::Restart {
            let reason = unit.reason.clone();
            self.drain(at, AfterStop::Fail(Some(worked)), reason);
        }
    }
}
