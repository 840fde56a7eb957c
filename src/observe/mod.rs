//! The state of the daemon: one snapshot, written by the observer, and the events that led to it, read by the portal,
//! the API, the gateway's waiting pages and the command line. No other module computes states.

mod event;
pub mod events;
pub mod links;
pub mod looks;
pub mod machine;
pub mod metrics;
mod observer;
mod phase;
pub mod sight;
#[cfg(test)]
pub(crate) mod testing;
pub mod timeline;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{nearest, own};
pub use crate::supervise::{UnitChange, UnitHealth, UnitInfo, UnitState, UnitStatus};
pub use event::{Event, What};
pub use events::Events;
pub use links::{Addresses, Link, Source};
pub use looks::Looks;
pub use machine::Machine;
pub use observer::{Observer, Watch};
pub use phase::Phase;
pub use sight::{Seen, Sight};
pub use timeline::Timeline;

/// The services that are people's own scripts, by which they set the machine up.
pub const SETUP_SCRIPTS: [&str; 4] = ["hotfix", "boot-script", "hooks", "provisioning"];

/// A route or link from outside, as shown in the portal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RouteStatus {
    /// The unit that answers there; empty if there is none.
    pub unit: String,
    /// Whether the portal itself answers there.
    #[serde(default)]
    pub own: bool,
    /// The title for users.
    pub title: String,
    /// The port that the gateway listens on, or that a link leads to.
    pub port: u16,
    /// The path that a link opens.
    pub path: String,
    /// The links that lead there, the most likely one first.
    #[serde(default)]
    pub links: Vec<Link>,
    /// The URL, if one is right for all clients. Otherwise the portal makes one from the address that the browser uses.
    /// Derived from the links, like the next field.
    pub url: Option<String>,
    /// The most likely URL, for programs, and for users who do not see the portal.
    #[serde(default)]
    pub address: String,
    /// Why the gateway does not listen on the port; `None` while it does.
    pub problem: Option<String>,
    /// The services whose output is visible there.
    #[serde(default)]
    pub shows: Vec<String>,
    /// What the user sees there now. Derived from the other fields.
    #[serde(default)]
    pub seen: Seen,
}

impl RouteStatus {
    /// A link to a port, with its preset URL, if it has one.
    pub fn new(title: &str, port: u16, path: &str, preset: Option<&String>) -> Self {
        let (title, path) = (title.to_owned(), path.to_owned());
        let links = preset.map(|url| Link { source: Source::Preset, url: url.clone() }).into_iter().collect();
        Self { title, port, path, links, ..Self::default() }
    }

    /// Makes the links anew.
    fn link(&mut self, addresses: &Addresses) {
        let preset = self.links.drain(..).find(|link| link.source == Source::Preset);
        self.links = addresses.links(preset, self.port, &self.path);
        self.url = self.links.iter().find(|link| link.is_for_all()).map(|link| link.url.clone());
        self.address = self.links.first().map(|link| link.url.clone()).unwrap_or_default();
    }
}

/// The whole state of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Snapshot {
    /// The version of this program.
    pub version: String,
    /// The id of the daemon's own process.
    pub pid: i32,
    /// When the daemon started, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// The daemon's phase.
    pub phase: Phase,
    /// Whether every unit that should be up is up. Stopped units should not, so this does not tell what users see.
    pub up: bool,
    /// Whether users can connect and see the expected services. Derived from the rest, like the next two fields.
    #[serde(default)]
    pub ready: bool,
    /// The reasons why not, one sentence for each cause; empty while it is ready.
    #[serde(default)]
    pub not_ready: Vec<String>,
    /// A summary in one line; problems come first.
    #[serde(default)]
    pub summary: String,
    /// The chosen display as a text, with the kinds that failed; empty until it is chosen.
    pub display: String,
    /// What draws on the display, with which renderer, and why nothing better does, in one sentence; empty until the
    /// display is chosen.
    #[serde(default)]
    pub drawing: String,
    /// Counts the changes of what is known about the display: pages that show more than the sentence ask again then.
    #[serde(default)]
    pub display_revision: u64,
    /// Why better displays are not used any more, one sentence for each that failed. A restart of the X server tries
    /// them again.
    #[serde(default)]
    pub display_failed: Vec<String>,
    /// What encodes the video of the stream as a text, with the reason for each better encoder that is not used; empty
    /// until it is chosen.
    #[serde(default)]
    pub encoder: String,
    /// The GPUs that were lost since the start, one sentence each.
    #[serde(default)]
    pub gpus_lost: Vec<String>,
    /// The display to which a restart of the X server leads, if that is another one; otherwise empty.
    #[serde(default)]
    pub display_next: String,
    /// The number of the last event of a unit that is contained in `units`.
    pub seq: u64,
    /// All units, in the order of start.
    pub units: Vec<UnitStatus>,
    /// All routes and links.
    pub routes: Vec<RouteStatus>,
    /// The addresses of this machine, for links.
    #[serde(skip)]
    pub addresses: Addresses,
    /// All problems, one sentence each, the worst first: failed services, services that do not answer, `gpus_lost`, and
    /// `mistakes`.
    /// Derived from the rest.
    pub problems: Vec<String>,
    /// The problems of the configuration, one sentence each.
    #[serde(default)]
    pub mistakes: Vec<String>,
    /// What is no problem and good to know, one sentence each: programs that this image lacks.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Snapshot {
    /// Whether `name` means the X server, and a restart of the X server may lead to another display: one that has failed is
    /// tried again, or the GPUs are not what they were.
    pub fn tries_displays_again(&self, name: &str) -> bool {
        let changes =
            !self.display_failed.is_empty() || !self.display_next.is_empty() || !self.gpus_lost.is_empty();
        changes && self.unit(name).is_some_and(|unit| unit.is_x_server())
    }

    /// A unit by its name or one of its aliases.
    pub fn unit(&self, name: &str) -> Option<&UnitStatus> {
        self.units.iter().find(|u| u.name == name || u.aliases.iter().any(|a| a == name))
    }

    /// The name or alias that is most similar to the mistyped `name`, if one is similar enough.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let names = self.units.iter().flat_map(|unit| std::iter::once(&unit.name).chain(&unit.aliases));
        nearest(name, names.map(String::as_str).chain(own::NAMES))
    }

    /// The daemon itself in the form of a unit.
    pub fn own(&self) -> UnitStatus {
        UnitStatus {
            info: Arc::new(UnitInfo {
                name: own::NAMES[0].to_owned(),
                description: "supervisor, gateway and portal: the parent process of all services".to_owned(),
                aliases: own::NAMES[1..].iter().map(|name| (*name).to_owned()).collect(),
                ..UnitInfo::default()
            }),
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
        }
    }
}
