//! The orders for the start of one process: what the plan says of a unit's process, and what the supervisor adds for
//! one start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sys::limits::Limit;
use crate::sys::print;

/// The first descriptor number after the standard three that a service can get.
pub const FIRST_FD: i32 = 3;

/// The user and the groups of a service's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user's id.
    pub uid: u32,
    /// The main group's id.
    pub gid: u32,
    /// All supplementary groups.
    pub groups: Vec<u32>,
}

/// The part of the machine's resources that a process may use, and the rights of its new files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// The file mode creation mask.
    pub umask: u32,
    /// The scheduling priority, if it should change.
    pub nice: Option<i32>,
    /// The `oom_score_adj`, counted from that of desktopd, if it should change.
    pub oom_score_adj: Option<i32>,
    /// Resource limits, where they differ from those of desktopd.
    pub limits: Vec<Limit>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { umask: 0o002, nice: None, oom_score_adj: None, limits: Vec::new() }
    }
}

/// Everything that the child needs to start one process. The child decides nothing by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The program (an absolute path) and its arguments. Empty for a unit that does not run.
    pub argv: Vec<String>,
    /// The whole environment, without the variables from files. It need not be UTF-8.
    #[serde(with = "pairs")]
    pub env: BTreeMap<OsString, OsString>,
    /// The files with further variables.
    pub env_files: Option<EnvFiles>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Whether the start fails if the directory cannot be entered; otherwise `/` is used.
    pub cwd_required: bool,
    /// The user to become; `None` keeps the current user.
    pub identity: Option<Identity>,
    /// The priority and the limits.
    pub resources: Resources,
    /// Supplementary groups beside the user's.
    pub groups: Vec<u32>,
    /// Folders that the service needs. A missing folder is created for its user alone (mode 0700).
    pub folders: Vec<PathBuf>,
    /// The folder of its temporary files. The folder is emptied, or created for its user alone.
    pub private_tmp: Option<PathBuf>,
    /// Files that are written before the service starts.
    pub files: Vec<NewFile>,
    /// Listening sockets that the service gets, from descriptor [`FIRST_FD`] on.
    pub listen: Vec<Listener>,
    /// Whether standard output is a terminal that becomes the controlling terminal and standard input of the process.
    #[serde(default)]
    pub terminal: bool,
    /// Whether warnings about refused settings are left out, because they were printed when the unit itself was
    /// started. Set by the supervisor.
    pub quiet: bool,
    /// The descriptor numbers in the service, one for each descriptor that is sent with the orders. Set by the
    /// supervisor.
    pub fds: Vec<i32>,
}

impl Orders {
    /// Prints a warning on standard error, which is the service's log.
    pub(super) fn warn(&self, text: &str) {
        if !self.quiet {
            print::error(&format!("desktopd: {text}"));
        }
    }
}

/// Keys of JSON objects have to be UTF-8, so the environment is sent as a list.
mod pairs {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(env: &BTreeMap<OsString, OsString>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(env)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<BTreeMap<OsString, OsString>, D::Error> {
        Vec::deserialize(from).map(BTreeMap::from_iter)
    }
}

/// A file that is written before the service starts, by the user that it runs as.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFile {
    /// The path. A missing folder is created for the owner alone.
    pub path: PathBuf,
    /// The permissions of the file.
    pub mode: u32,
    /// The content of the file; it may hold secrets.
    pub content: String,
}

/// Without the content.
impl fmt::Debug for NewFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewFile").field("path", &self.path).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Files with variables that users write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFiles {
    /// The system's file.
    pub machine: PathBuf,
    /// The copy of what the daemon wrote into the system's file: only differences from the copy count.
    pub written: PathBuf,
    /// The content of the system's file when the daemon first started here, for the time before the daemon wrote the
    /// file.
    pub noted: PathBuf,
    /// The file of the service's own user, if the user has one.
    pub user: Option<PathBuf>,
    /// The file in the workspace, if that is read.
    pub workspace: Option<PathBuf>,
    /// Variables that no file can change.
    pub fixed: Vec<String>,
}

/// A Unix socket that is created for the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The path. A missing folder is created for the owner alone.
    pub path: PathBuf,
    /// The permissions of the socket: the users that may connect.
    pub mode: u32,
}
