//! Where things are kept.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, access};

use super::{Environment, Settings};

/// Where the desktop's user keeps variables for its own shells and services. The folder is root's, so that
/// the user cannot put a link in the place of the file; nothing that root runs reads the file.
pub const USER_VARIABLES: &str = "/var/lib/desktopd-user/environment";

/// The daemon's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Sockets and what else lives as long as this boot.
    pub run: PathBuf,
    /// What survives a restart.
    pub state: PathBuf,
    /// The units' log files.
    pub log: PathBuf,
    /// A folder of the daemon's own user to keep things in: its home, unless nothing can be written there.
    pub home: PathBuf,
    /// Whether the daemon has the machine to itself (it is root) and the desktop's usual folder is its to take.
    whole_machine: bool,
}

impl Places {
    /// The folders of `desktopd.toml`; for an ordinary user, who cannot write the usual ones, folders of their own.
    pub fn new(settings: &Settings, env: &Environment) -> Self {
        let usual = Settings::default();
        if Uid::effective().is_root() {
            return Self {
                run: settings.run_dir.clone(),
                state: settings.state_dir.clone(),
                log: settings.log_dir.clone(),
                home: "/root".into(),
                whole_machine: true,
            };
        }
        let uid = Uid::effective();
        let run = env.text("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
        let run = run
            .map_or_else(|| everybodys().join(format!("desktopd-{uid}")), |folder| folder.join("desktopd"));
        let home = env.text("HOME").map(PathBuf::from).filter(|home| writable(home));
        let home = home.unwrap_or_else(|| run.join("home"));
        let state = home.join(".local/state/desktopd");
        let pick =
            |set: &PathBuf, usual: &PathBuf, own: PathBuf| if set == usual { own } else { set.clone() };
        Self {
            run: pick(&settings.run_dir, &usual.run_dir, run),
            log: pick(&settings.log_dir, &usual.log_dir, state.join("log")),
            state: pick(&settings.state_dir, &usual.state_dir, state),
            home,
            whole_machine: false,
        }
    }

    /// The desktop user's `XDG_RUNTIME_DIR`. Beside somebody's running session it is one of our own.
    pub fn runtime(&self, uid: u32) -> PathBuf {
        if self.whole_machine { format!("/run/user/{uid}").into() } else { self.run.join("runtime") }
    }

    /// Where the desktop's user keeps variables, if that is a user of its own.
    pub fn user_variables(&self) -> Option<PathBuf> {
        self.whole_machine.then(|| USER_VARIABLES.into())
    }

    /// The socket that commands are taken on.
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("control.sock")
    }
}

/// A folder where any user can have one of their own. `/tmp` is cleaned by people and programs, and the sockets would go
/// with what else is there; on a root that cannot be written there is no other.
fn everybodys() -> &'static Path {
    Some(Path::new("/var/tmp")).filter(|folder| writable(folder)).unwrap_or(Path::new("/tmp"))
}

/// Whether this process may make files in a folder. A user whom nobody knows has `/` for a home.
fn writable(folder: &Path) -> bool {
    folder.is_dir() && access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}
