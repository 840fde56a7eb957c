//! The units of a plan: what each one runs, and its relations to other units.

use std::time::Duration;

use crate::config::service::{Health, Ready, Relations, RestartPolicy, StopPolicy};
use crate::sys::launch::{FIRST_FD, Orders};

/// The name by which services need the X server of the desktop: that of a service, or one that a service provides.
pub const X_SERVER: &str = "x-server";

/// The descriptor on which a unit with `ready.kind = "fd"` reports readiness: the first one after its `listeners`.
pub fn ready_fd(listeners: usize) -> i32 {
    i32::try_from(listeners).map_or(i32::MAX, |listeners| FIRST_FD.saturating_add(listeners))
}

/// Whether a unit may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Disposition {
    /// It may run.
    #[default]
    Run,
    /// It does not apply here.
    Skip(String),
    /// Its file is wrong.
    Broken(String),
}

/// One unit, with all choices made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// A short description.
    pub description: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Whether it may run.
    pub disposition: Disposition,
    /// The orders for its process. They are complete, except for what differs from start to start.
    pub launch: Orders,
    /// Whether it ends by itself when its work is done.
    pub oneshot: bool,
    /// Its relations to other units.
    pub relations: Relations,
    /// Whether everything is stopped after it has ended.
    pub main: bool,
    /// Whether it starts only after all other units that should be up are up, or have failed for good.
    pub last: bool,
    /// How its readiness is detected.
    pub ready: Ready,
    /// Its health checks while it is ready.
    pub health: Option<Health>,
    /// How long it may take to get ready.
    pub start_timeout: Option<Duration>,
    /// When it is restarted.
    pub restart: RestartPolicy,
    /// How it is stopped; its command is the program's file and its arguments.
    pub stop: StopPolicy,
    /// Whether all processes that it starts end with it.
    pub contain: bool,
    /// Whether it starts automatically.
    pub autostart: bool,
}

impl Unit {
    /// The orders of a unit that may run, or why it may not.
    pub(super) fn orders(self) -> Result<Orders, String> {
        match self.disposition {
            Disposition::Run => Ok(self.launch),
            Disposition::Skip(reason) | Disposition::Broken(reason) => Err(reason),
        }
    }
}
