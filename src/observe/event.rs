//! An event: what happened, when, and its number.

use serde::{Deserialize, Serialize};

use crate::supervise::UnitChange;

use super::phase::Phase;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// The daemon entered a phase.
    Phase {
        /// The phase.
        phase: Phase,
    },
    /// A unit entered a state, or the reason for its state changed.
    Unit(UnitChange),
    /// Everything that should be up is up.
    Up,
    /// Not everything that should be up is up any more.
    Down,
    /// A GPU was lost, or can be used again.
    Gpu {
        /// The GPU with its address.
        gpu: String,
        /// Whether it is lost.
        lost: bool,
        /// Why it is lost, in one sentence; empty for a GPU that can be used again.
        reason: String,
    },
    /// Another display was chosen while the daemon runs.
    Display {
        /// The display in one line, without the displays that failed.
        display: String,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// The unit that the event is about.
    pub fn unit(&self) -> Option<&str> {
        match &self.what {
            What::Unit(change) => Some(&change.unit),
            _ => None,
        }
    }
}
