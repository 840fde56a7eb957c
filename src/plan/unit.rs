//! The units of a plan: what each one runs, and its relations to other units.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Secret;
use crate::config::service::{Health, Ready, Relations, RestartPolicy, StopPolicy};
use crate::sys::launch::{EnvFiles, FIRST_FD, Identity, Listener, Resources};

/// The descriptor on which a unit with `ready.kind = "fd"` reports readiness: the first one after its `listeners`.
pub fn ready_fd(listeners: usize) -> i32 {
    i32::try_from(listeners).map_or(i32::MAX, |listeners| FIRST_FD.saturating_add(listeners))
}

/// The parameters of a unit's process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program's file and its arguments. Empty for units that do not run.
    pub argv: Vec<String>,
    /// The whole environment, except for variables that users keep in files.
    pub env: BTreeMap<OsString, OsString>,
    /// The files with these variables, for a unit that reads them at its start.
    pub env_files: Option<EnvFiles>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Whether the directory was configured: if it is missing, the unit does not start. A missing home folder is
    /// ignored.
    pub cwd_required: bool,
    /// The user to become; `None` keeps the daemon's user.
    pub identity: Option<Identity>,
    /// Its priority and limits.
    pub resources: Resources,
    /// Supplementary groups beside those of its user.
    pub groups: Vec<u32>,
    /// Folders to make before each start.
    pub folders: Vec<PathBuf>,
    /// The folder for its temporary files, emptied before each start.
    pub private_tmp: Option<PathBuf>,
    /// Files to write before each start.
    pub files: Vec<File>,
    /// Sockets that are open at its start; clients that connect early wait until the unit accepts.
    pub listen: Vec<Listener>,
}

/// A file that a unit reads at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path.
    pub path: PathBuf,
    /// The permissions.
    pub mode: u32,
    /// The content; it may hold secrets.
    pub content: Secret,
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
    /// Its process.
    pub launch: Launch,
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
