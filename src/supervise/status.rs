//! What the supervisor reports to the stages after it: the published state of each unit, and each change.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::plan::{Unit, X_SERVER};

/// A unit's state by name; the reason is a separate field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UnitHealth {
    /// It works, or too few checks have failed to count as unhealthy.
    Healthy,
    /// It does not work; the unit's reason contains the last result.
    Unhealthy,
}

/// One unit, as all clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnitStatus {
    /// What a change of its state leaves as it is.
    #[serde(flatten)]
    pub info: Arc<UnitInfo>,
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
}

/// The part of a unit's status that changes only with the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnitInfo {
    /// Its name: that of its file.
    pub name: String,
    /// A short description.
    pub description: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Whether it is kept running (a service) or runs once (a boot step).
    pub oneshot: bool,
    /// The units that must be ready, or listening, before it starts.
    pub needs: Vec<String>,
    /// The units that start before it, even if they fail.
    pub after: Vec<String>,
    /// The unit that a restart restarts too, unless the request leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_with: Option<String>,
}

impl UnitInfo {
    /// Whether other units need it as the X server.
    pub fn is_x_server(&self) -> bool {
        self.name == X_SERVER || self.aliases.iter().any(|alias| alias == X_SERVER)
    }

    pub(super) fn of(unit: &Unit) -> Arc<Self> {
        Arc::new(Self {
            name: unit.name.clone(),
            description: unit.description.clone(),
            aliases: unit.aliases.clone(),
            oneshot: unit.oneshot,
            needs: unit.relations.needs.clone(),
            after: [&unit.relations.after[..], &unit.relations.follows].concat(),
            restart_with: unit.relations.restart_with.clone(),
        })
    }
}

impl Deref for UnitStatus {
    type Target = UnitInfo;

    fn deref(&self) -> &UnitInfo {
        &self.info
    }
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

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A unit changed.
    Unit(UnitChange),
    /// Everything that should be up is up, or is not up any more. The time is in milliseconds since the Unix epoch.
    Up(bool, i64),
    /// Everything is being stopped, since this time.
    Stopping(i64),
}

/// One transition of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnitChange {
    /// Its name.
    pub unit: String,
    /// The state before; `None` for the first state.
    pub from: Option<UnitState>,
    /// The state now. Equal to `from` if only the reason is new.
    pub to: UnitState,
    /// Why; may be empty. Secrets are masked.
    pub reason: String,
    /// The result of its checks, if it is ready and has checks.
    pub health: Option<UnitHealth>,
    /// When, in milliseconds since the Unix epoch. The event that contains this change has the time, too.
    #[serde(skip)]
    pub at: i64,
    /// The process that the change is about, if any.
    pub pid: Option<i32>,
    /// Whether the unit failed: its run ended without a request, or is being stopped because it does not work. A start
    /// for which the machine lacked a resource is no failure of the unit.
    #[serde(skip)]
    pub failure: bool,
}

/// The receiver of the changes. Returns the number of the change. It must not block: the supervisor waits for it.
pub type Sink = Box<dyn Fn(Change) -> u64 + Send + Sync>;
