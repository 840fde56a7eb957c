//! The supervisor: runs units as processes. A pure core decides ([`lifecycle`]), a driver acts and reports back.

mod backoff;
mod changes;
mod driver;
mod guards;
mod health;
pub mod lifecycle;
pub mod notify;
mod output;
mod process;
mod ready;
mod status;

use std::path::PathBuf;
use std::time::Instant;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::logs::Logs;
use crate::plan::Unit;
use crate::sys::reaper::Reaper;

pub use changes::{Change, Sink, UnitChange};
pub use driver::Published;
pub use status::{UnitHealth, UnitState, UnitStatus};

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

/// A new plan's units, and the channel for the answer.
pub(crate) type NewPlan = (Vec<Unit>, oneshot::Sender<Replanned>);

/// One request of a user, and the channel for the answer.
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) names: Vec<String>,
    /// Whether a restart leaves out the unit in the units' `restart-with`.
    pub(crate) only: bool,
    pub(crate) by: Asker,
    pub(crate) reply: oneshot::Sender<Result<Taken, RequestError>>,
}

/// Sends requests to the supervisor. Used by the stages after it. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

/// The environment of a supervisor.
pub struct Context {
    /// Starts and collects processes.
    pub reaper: Reaper,
    /// Takes the units' output.
    pub logs: Logs,
    /// The folder for the sockets of this boot.
    pub run_dir: PathBuf,
    /// When the daemon started, by the monotonic clock and in milliseconds since the Unix epoch.
    pub began: (Instant, i64),
    /// Receives every change, in order.
    pub changes: Sink,
}

/// Starts to supervise `units`. The task ends, and the watch shows `finished`, after [`Supervisor::shutdown`].
pub fn spawn(units: Vec<Unit>, context: Context) -> Supervisor {
    let (events, events_in) = mpsc::unbounded_channel();
    let (shutdowns, shutdowns_in) = mpsc::unbounded_channel();
    let (requests, requests_in) = mpsc::channel(16);
    let (plans, plans_in) = mpsc::channel(1);
    let (published, watch) = watch::channel(Published::default());
    let driver = driver::Driver {
        core: lifecycle::Core::new(&units, rand::rng().random()),
        processes: units.iter().map(|_| None).collect(),
        asking: units.iter().map(|_| None).collect(),
        checking: units.iter().map(|_| None).collect(),
        guards: units.iter().map(|_| guards::Guards::default()).collect(),
        units,
        reaper: context.reaper,
        logs: context.logs,
        run_dir: context.run_dir,
        events: events.clone(),
        published,
        changes: context.changes,
        finished: false,
        began: context.began,
    };
    tokio::spawn(driver.run(shutdowns_in, events_in, requests_in, plans_in));
    Supervisor { handle: Handle::new(requests), shutdowns, plans, watch }
}

/// The supervisor for its owner, who may stop everything.
pub struct Supervisor {
    /// For all other users of the supervisor.
    pub handle: Handle,
    /// The state of all units.
    pub watch: watch::Receiver<Published>,
    /// A channel of its own: a shutdown must not wait behind the units' events.
    shutdowns: mpsc::UnboundedSender<()>,
    plans: mpsc::Sender<NewPlan>,
}

impl Supervisor {
    /// Takes over a new plan: unchanged units are not touched. `None` if everything is being stopped.
    pub async fn replan(&self, units: Vec<Unit>) -> Option<Replanned> {
        let (reply, answer) = oneshot::channel();
        self.plans.send((units, reply)).await.ok()?;
        answer.await.ok()
    }

    /// Stops everything, dependents first; a second call kills everything.
    pub fn shutdown(&self) {
        // If the driver has ended, nothing is left to stop.
        let _ = self.shutdowns.send(());
    }
}

impl Handle {
    pub(crate) fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests }
    }

    /// Requests `verb` for all `names` (units or aliases): for all of them or, if one is wrong, for none. Returns the
    /// names of the units that it applies to. The answer says that the request was accepted, not that it is done: the
    /// snapshot shows that. A restart with `only` leaves out the unit in the units' `restart-with`.
    pub async fn request(
        &self,
        verb: Verb,
        names: Vec<String>,
        only: bool,
        by: Asker,
    ) -> Result<Taken, RequestError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { verb, names, only, by, reply };
        self.requests.send(request).await.map_err(|_| RequestError::Stopping)?;
        answer.await.map_err(|_| RequestError::Stopping)?
    }
}
