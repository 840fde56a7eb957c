//! The paths of the daemon's folders, and of the files and sockets in them.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, access};

use super::{Environment, Settings};

/// Where the desktop's user keeps variables for its own shells and services. The folder belongs to root, so that the
/// user cannot replace the file by a link; no program that root runs reads the file.
pub const USER_VARIABLES: &str = "/var/lib/desktopd-user/environment";

/// The daemon's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Sockets and other files that last until the next boot.
    pub run: PathBuf,
    /// Data that survives a restart.
    pub state: PathBuf,
    /// The units' log files.
    pub log: PathBuf,
    /// A folder for the daemon's own user: its home, or another folder if the home is not writable.
    pub home: PathBuf,
    /// Whether the daemon is root and may use the usual system folders for the desktop.
    whole_machine: bool,
}

impl Places {
    /// The folders of `desktopd.toml`. For an ordinary user, who cannot write the default folders, folders of that
    /// user.
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

    /// The desktop user's `XDG_RUNTIME_DIR`. If the daemon is not root, a separate folder, because the user may have a
    /// session with the usual one.
    pub fn runtime(&self, uid: u32) -> PathBuf {
        if self.whole_machine { format!("/run/user/{uid}").into() } else { self.run.join("runtime") }
    }

    /// The file in which the desktop's user keeps variables; `None` if the daemon is not root.
    pub fn user_variables(&self) -> Option<PathBuf> {
        self.whole_machine.then(|| USER_VARIABLES.into())
    }

    /// The socket that commands are taken on.
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("control.sock")
    }
}

/// A folder in which every user can create files. Users and programs clean `/tmp` and would remove the sockets; on a
/// read-only root there is no other folder.
fn everybodys() -> &'static Path {
    Some(Path::new("/var/tmp")).filter(|folder| writable(folder)).unwrap_or(Path::new("/tmp"))
}

/// Whether this process may create files in a folder. A user without an entry in `/etc/passwd` has `/` as home.
fn writable(folder: &Path) -> bool {
    folder.is_dir() && access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}
