//! An event: what happened, when, and its number.

use serde::{Deserialize, Serialize};

use crate::supervise::{UnitHealth, UnitState};

use super::phase::Phase;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number since the daemon started, from 1.
    pub seq: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The kind of the event, with its data.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// The daemon entered a phase.
    Phase {
        /// The phase.
        phase: Phase,
    },
    /// A unit entered a state, or the reason for its state changed.
    Unit {
        /// Its name.
        unit: String,
        /// The state before; `None` for the first state.
        from: Option<UnitState>,
        /// The state now.
        to: UnitState,
        /// Why; may be empty.
        reason: String,
        /// The result of its checks, if it is ready and has checks.
        health: Option<UnitHealth>,
        /// The process that the event is about, if any.
        pid: Option<i32>,
    },
    /// Everything that should be up is up.
    Up,
    /// Not everything that should be up is up any more.
    Down,
}

impl Event {
    /// The unit that the event is about.
    pub fn unit(&self) -> Option<&str> {
        match &self.what {
            What::Unit { unit, .. } => Some(unit),
            _ => None,
        }
    }
}
