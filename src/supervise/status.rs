//! A unit's state as it is shown: what the supervisor says of each unit, and all that the stages to its right learn.

use serde::{Deserialize, Serialize};

/// A unit's state by name; the reason stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitState {
    /// It will start when what it needs is there.
    Waiting,
    /// Its process runs; it has not said yet that it is ready.
    Starting,
    /// It does its work.
    Ready,
    /// It was asked to end.
    Stopping,
    /// It ended because somebody asked for that.
    Stopped,
    /// It ended by itself and will be started again.
    Backoff,
    /// A one-shot that ended well.
    Done,
    /// It ended, and will not be started again without being asked.
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

/// Whether a unit that is ready still does its work, as its checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitHealth {
    /// It does, or too few checks have failed to say that it does not.
    Healthy,
    /// It does not; the unit's reason says what came back last.
    Unhealthy,
}

/// One unit, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Its name: that of its file.
    pub name: String,
    /// What it is, in a few words.
    pub description: String,
    /// Other names that it answers to.
    pub aliases: Vec<String>,
    /// Where it stands.
    pub state: UnitState,
    /// Why it stands there, or why it is unhealthy there; may be empty.
    pub reason: String,
    /// How its checks go; nothing for a unit that is not checked, or not ready.
    pub health: Option<UnitHealth>,
    /// What it says of itself by `sd_notify`; may be empty.
    pub status_text: String,
    /// Who asked for its stop; nothing once it is wanted again.
    #[serde(default)]
    pub stopped_by: Option<String>,
    /// Whether it starts only when asked to, and was never asked: the configuration leaves it out.
    #[serde(default)]
    pub off: bool,
    /// When it came there, in milliseconds since the Unix epoch.
    pub since: i64,
    /// Its main process, while there is one.
    pub pid: Option<i32>,
    /// How often it was started again without being asked.
    pub restarts: u32,
    /// Whether it is kept running (a service) or runs once (a boot step).
    pub oneshot: bool,
    /// The units that must be ready, or listening, before it starts.
    pub needs: Vec<String>,
    /// The units that start before it, whatever becomes of them.
    pub after: Vec<String>,
}
