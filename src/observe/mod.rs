//! What is true now: one snapshot, written by one task, read by the portal, the API, the gateway's waiting pages and
//! the command line. Nobody else computes a state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Where the daemon as a whole stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It answers, but has not decided yet what to run.
    #[default]
    Starting,
    /// Units are started and kept running.
    Running,
    /// It was asked to stop.
    Stopping,
}

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
    /// Why it stands there; may be empty.
    pub reason: String,
    /// When it came there, in milliseconds since the Unix epoch.
    pub since: i64,
    /// Its main process, while there is one.
    pub pid: Option<i32>,
    /// How often it was started again without being asked.
    pub restarts: u32,
    /// Whether it is kept running (a service) or runs once (a boot step).
    pub oneshot: bool,
}

/// A way in from outside, as shown in the portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The unit that answers there.
    pub unit: String,
    /// What a person reads.
    pub title: String,
    /// The port that the gateway listens on.
    pub port: u16,
    /// The path that a link opens.
    pub path: String,
    /// A link that was given ready made, instead of one made from the address that the person uses.
    pub url: Option<String>,
    /// Why the gateway does not listen there; `None` while it does.
    pub problem: Option<String>,
}

/// Everything that there is to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of this program.
    pub version: String,
    /// The id of the daemon's own process.
    pub pid: i32,
    /// When the daemon started, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// Where the daemon stands.
    pub phase: Phase,
    /// Whether every unit that should be up is.
    pub up: bool,
    /// Which display was chosen, in words; empty until it is.
    pub display: String,
    /// All units, in the order in which they start.
    pub units: Vec<UnitStatus>,
    /// All ways in.
    pub routes: Vec<RouteStatus>,
    /// What was wrong with the configuration, a sentence each.
    pub problems: Vec<String>,
}

impl Snapshot {
    /// A unit by its name or one of its aliases.
    pub fn unit(&self, name: &str) -> Option<&UnitStatus> {
        self.units.iter().find(|u| u.name == name || u.aliases.iter().any(|a| a == name))
    }
}

/// The writing end. One task holds it.
pub struct Observer {
    snapshot: watch::Sender<Arc<Snapshot>>,
}

/// The reading end. Cheap to clone.
pub type Watch = watch::Receiver<Arc<Snapshot>>;

impl Observer {
    /// An observer of a daemon that just started.
    pub fn new(pid: i32, started_at: i64) -> (Self, Watch) {
        let first =
            Snapshot { version: env!("CARGO_PKG_VERSION").into(), pid, started_at, ..Snapshot::default() };
        let (snapshot, watch) = watch::channel(Arc::new(first));
        (Self { snapshot }, watch)
    }

    /// Changes the snapshot; readers wake only when something in it did change.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_if_modified(|current| {
            let mut next = Snapshot::clone(current);
            change(&mut next);
            let changed = next != **current;
            if changed {
                *current = Arc::new(next);
            }
            changed
        });
    }
}
