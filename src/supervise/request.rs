//! Requests to the supervisor, and its replies.

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::plan::Unit;

/// The requests that users can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Start a unit, and the units that it needs.
    Start,
    /// Stop a unit, after the units that need it.
    Stop,
    /// Stop and start a unit; the units that need it restart as well.
    Restart,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 3] = [Self::Start, Self::Stop, Self::Restart];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// The requester, as users see it: `uid 0`, or the user of a session and its client address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker(pub String);

impl Default for Asker {
    fn default() -> Self {
        Self("an unknown client".to_owned())
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No unit has that name.
    Unknown {
        /// The requested name.
        name: String,
        /// The most similar known name.
        nearest: Option<String>,
    },
    /// The unit cannot be started: the reason that `status` shows.
    Refused {
        /// The unit.
        name: String,
        /// Why.
        reason: String,
    },
    /// The daemon is stopping.
    Stopping,
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown { name, nearest: Some(nearest) } => {
                write!(f, "no service is named '{name}'; did you mean '{nearest}'?")
            }
            Self::Unknown { name, nearest: None } => write!(f, "no service is named '{name}'"),
            Self::Refused { name, reason } => write!(f, "'{name}' cannot be started: {reason}"),
            Self::Stopping => f.write_str("the daemon is stopping"),
        }
    }
}

impl std::error::Error for RequestError {}

/// The immediate result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The units that it applies to.
    pub units: Vec<String>,
    /// The number of the last change that the request made at once. Later results have higher numbers.
    pub seq: u64,
}

/// The changes of a new plan: names of units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replanned {
    /// New units.
    pub added: Vec<String>,
    /// Units whose description changed; they run by the new description.
    pub changed: Vec<String>,
    /// Units whose files were removed.
    pub removed: Vec<String>,
}

impl std::fmt::Display for Replanned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = parts.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
        f.write_str(if told.is_empty() { "nothing changed" } else { "" })?;
        f.write_str(&told.join("; "))
    }
}

/// A plan that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// What it changed.
    pub changes: Replanned,
    /// The number of the last change before it: changes with higher numbers happened under the new plan.
    pub after: u64,
}

/// A command to the supervisor. Events of the units and shutdowns have other channels: neither must wait behind
/// commands.
pub(crate) enum Command {
    /// A request of a user.
    Request(Request),
    /// A new plan's units, a request to carry out together with the plan, and the channel for the answer.
    Plan(Vec<Unit>, Option<Request>, oneshot::Sender<TakenOver>),
}

/// One request of a user, and the channel for the answer.
pub struct Request {
    /// What is requested.
    pub verb: Verb,
    /// For which units: names or aliases.
    pub names: Vec<String>,
    /// Whether a restart leaves out the unit in the units' `restart-with`.
    pub only: bool,
    /// The requester.
    pub by: Asker,
    /// Gets the immediate result.
    pub reply: oneshot::Sender<Result<Taken, RequestError>>,
}
