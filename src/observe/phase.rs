//! The phase of the whole daemon.

use serde::{Deserialize, Serialize};

/// The phase of the whole daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It answers, but has not decided yet which units to run.
    #[default]
    Starting,
    /// Units are started and kept running.
    Running,
    /// It is being stopped.
    Stopping,
}

impl Phase {
    /// The phase as it is shown and serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        }
    }
}
