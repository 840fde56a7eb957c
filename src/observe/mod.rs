//! What is true now, and what happened: one snapshot, written by one task, and the events that led to it, read by the
//! portal, the API, the gateway's waiting pages and the command line. Nobody else computes a state.

pub mod events;
pub mod sight;
pub mod timeline;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::config::own;
pub use crate::supervise::{UnitHealth, UnitState, UnitStatus};
pub use events::{Event, Events, What};
pub use sight::{Seen, Sight};
pub use timeline::Timeline;

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

/// A way in from outside, as shown in the portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The unit that answers there; empty where it is none.
    pub unit: String,
    /// Whether the portal itself answers there.
    #[serde(default)]
    pub own: bool,
    /// What a person reads.
    pub title: String,
    /// The port that the gateway listens on, or that a link leads to.
    pub port: u16,
    /// The path that a link opens.
    pub path: String,
    /// The link, where it was preset or the provider says which it is. Elsewhere the portal makes one from the address
    /// that the person uses.
    pub url: Option<String>,
    /// The link as far as it is known without asking a person: for programs, and for people who see no portal.
    #[serde(default)]
    pub address: String,
    /// Why the gateway does not listen there; `None` while it does.
    pub problem: Option<String>,
    /// The services that people see there.
    #[serde(default)]
    pub shows: Vec<String>,
    /// What a person sees there now. Follows from the rest.
    #[serde(default)]
    pub seen: Seen,
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
    /// Whether every unit that should be up is. What was stopped should not, so this says nothing of what people see.
    pub up: bool,
    /// Whether people can get in and see what they should. Follows from the rest, as do the next two.
    #[serde(default)]
    pub ready: bool,
    /// Why not, a sentence for each cause; empty while it is ready.
    #[serde(default)]
    pub not_ready: Vec<String>,
    /// Everything in a line, what is wrong first.
    #[serde(default)]
    pub summary: String,
    /// Which display was chosen, in words; empty until it is.
    pub display: String,
    /// The number of the last event of a unit that `units` know of.
    pub seq: u64,
    /// All units, in the order in which they start.
    pub units: Vec<UnitStatus>,
    /// All ways in.
    pub routes: Vec<RouteStatus>,
    /// What is wrong, a sentence each, the worst first: what has failed, what does not answer, and `mistakes`. Follows
    /// from the rest.
    pub problems: Vec<String>,
    /// What was wrong with the configuration, a sentence each.
    #[serde(default)]
    pub mistakes: Vec<String>,
}

impl Snapshot {
    /// A unit by its name or one of its aliases.
    pub fn unit(&self, name: &str) -> Option<&UnitStatus> {
        self.units.iter().find(|u| u.name == name || u.aliases.iter().any(|a| a == name))
    }

    /// The daemon itself, as if it were one of its units.
    pub fn own(&self) -> UnitStatus {
        UnitStatus {
            name: own::NAMES[0].to_owned(),
            description: "supervisor, gateway and portal: the process that this is all below".to_owned(),
            aliases: own::NAMES[1..].iter().map(|name| (*name).to_owned()).collect(),
            state: match self.phase {
                Phase::Starting => UnitState::Starting,
                Phase::Running => UnitState::Ready,
                Phase::Stopping => UnitState::Stopping,
            },
            reason: String::new(),
            health: None,
            status_text: String::new(),
            stopped_by: None,
            off: false,
            since: self.started_at,
            pid: Some(self.pid),
            restarts: 0,
            oneshot: false,
            needs: Vec::new(),
            after: Vec::new(),
        }
    }
}

/// The writing end. One task holds it.
pub struct Observer {
    events: Events,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

/// The reading end. Cheap to clone.
pub type Watch = watch::Receiver<Arc<Snapshot>>;

impl Observer {
    /// An observer of a daemon that just started.
    pub fn new(pid: i32, started_at: i64) -> (Self, Watch) {
        let mut first =
            Snapshot { version: env!("CARGO_PKG_VERSION").into(), pid, started_at, ..Snapshot::default() };
        first.judge();
        let (snapshot, watch) = watch::channel(Arc::new(first));
        (Self { events: Events::new(started_at), snapshot }, watch)
    }

    /// What happened and will happen.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// Changes the snapshot; readers wake only when something in it did change.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_if_modified(|current| {
            let mut next = Snapshot::clone(current);
            change(&mut next);
            next.judge();
            let changed = next != **current;
            if changed {
                *current = Arc::new(next);
            }
            changed
        });
    }
}
