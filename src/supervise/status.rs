//! The published state of a unit: what the supervisor reports of each unit to the stages after it.

use serde::{Deserialize, Serialize};

/// A unit's state by name; the reason is a separate field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// It starts when its conditions are met: the units that it needs are ready.
    Waiting,
    /// Its process runs, but is not ready yet.
    Starting,
    /// It works.
    Ready,
    /// It is being stopped.
    Stopping,
    /// It was stopped on request, or ended and is not to run again.
    Stopped,
    /// It ended or could not be started, and will be restarted after a wait.
    Backoff,
    /// A oneshot that ended with success.
    Done,
    /// It failed, and will not be started again without a request.
    Failed,
    /// It does not apply here; the reason says why.
    Skipped,
}

impl UnitState {
    /// The state as it is shown and serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Backoff => "backoff",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// The result of the checks of a unit that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitHealth {
    /// It works, or too few checks have failed to count as unhealthy.
    Healthy,
    /// It does not work; the unit's reason contains the last result.
    Unhealthy,
}

/// One unit, as all clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Its name: that of its file.
    pub name: String,
    /// A short description.
    pub description: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its state.
    pub state: UnitState,
    /// Why it is in this state, or why it is unhealthy; may be empty.
    pub reason: String,
    /// The result of its checks; `None` for a unit without checks, or not ready.
    pub health: Option<UnitHealth>,
    /// Its own status text, sent by `sd_notify`; may be empty.
    pub status_text: String,
    /// Who requested its stop; `None` once it is wanted again.
    #[serde(default)]
    pub stopped_by: Option<String>,
    /// Whether it starts only on request, and was never requested: the configuration leaves it out.
    #[serde(default)]
    pub off: bool,
    /// Since when it is in this state, in milliseconds since the Unix epoch.
    pub since: i64,
    /// Its main process, while it has one.
    pub pid: Option<i32>,
    /// How often it was restarted without a request.
    pub restarts: u32,
    /// Whether it is kept running (a service) or runs once (a boot step).
    pub oneshot: bool,
    /// The units that must be ready, or listening, before it starts.
    pub needs: Vec<String>,
    /// The units that start before it, even if they fail.
    pub after: Vec<String>,
}

/// What the driver publishes after every change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Every unit's status, in the order of the plan.
    pub units: Vec<UnitStatus>,
    /// Whether everything that should be up is up.
    pub up: bool,
    /// Whether everything is being stopped.
    pub stopping: bool,
    /// Whether everything has stopped.
    pub finished: bool,
    /// The exit code of the daemon, when everything has stopped.
    pub code: i32,
    /// The number of the last change before this state.
    pub seq: u64,
}
