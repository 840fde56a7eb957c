//! The state of the health checks of one unit.

use crate::config::service::Health;

use super::messages::Now;

/// The state of the checks of a ready unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) stage: Stage,
    /// Failures since the last success.
    pub(super) failures: u32,
    /// The last success, or the time at which the unit became ready.
    pub(super) well_at: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The next check begins at this time.
    Due(Now),
    /// This check is running.
    Running { number: u64, began: Now },
}

impl Checks {
    pub(super) fn new(health: &Health, now: Now) -> Self {
        Self { stage: Stage::Due(now.saturating_add(health.period)), failures: 0, well_at: now }
    }
}
