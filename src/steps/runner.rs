//! Runs a script of the user: as which user, with which environment, and with which result.
//!
//! The script gets a session of its own, and its detached processes stay (see [`command::in_new_session`]). It gets
//! no input, and its output goes to the step's log at once.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User};

use super::command::{self, Running};
use super::fetch::{Limits, Source};
use super::script::{self, Script};

/// The user who runs a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// User id and group id.
    pub(super) ids: (u32, u32),
    /// If it is another user than that of this process.
    other: Option<User>,
}

impl Person {
    /// The user of this process, with the environment that it has.
    pub(super) fn own() -> Self {
        Self { ids: (Uid::effective().as_raw(), Gid::effective().as_raw()), other: None }
    }

    /// Whether it is another user than this process's.
    pub(super) fn is_other(&self) -> bool {
        self.other.is_some()
    }

    /// The user with this name or uid.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let by_number = || name.parse().map_or(Ok(None), |uid| User::from_uid(Uid::from_raw(uid)));
        let found = match User::from_name(name) {
            Ok(None) => by_number(),
            found => found,
        };
        let user = found.map_err(|error| error.to_string())?;
        let user = user.ok_or_else(|| format!("there is no user \"{name}\" in /etc/passwd"))?;
        if user.uid == Uid::effective() {
            return Ok(Self::own());
        }
        if !Uid::effective().is_root() {
            return Err(format!("only root can run something as {name}, and desktopd is not root"));
        }
        Ok(Self { ids: (user.uid.as_raw(), user.gid.as_raw()), other: Some(user) })
    }
}

/// A script to get and to run.
pub(super) struct Job<'a> {
    /// Where it is.
    pub(super) source: &'a Source,
    /// The limits of its download.
    pub(super) limits: &'a Limits,
    /// Where it is written if it cannot be run in its place.
    pub(super) copy: PathBuf,
    /// Who runs it.
    pub(super) person: &'a Person,
    /// The folder in which it runs.
    pub(super) folder: &'a Path,
}

impl Job<'_> {
    /// Runs the script, and returns its exit code. `label` is the beginning of messages. `keep` sees the script before
    /// it runs; if the script is elsewhere now, it says where.
    pub(super) fn perform(
        &self,
        label: &str,
        keep: impl FnOnce(&Script) -> Option<Source>,
    ) -> Result<i32, String> {
        let shown = self.source.shown();
        println!("{shown}");
        let told = |error: String| format!("{label}{shown}: {error}");
        command::until_told(async {
            let script = Script::get(self.source, self.limits).await.map_err(told)?;
            let source = keep(&script).unwrap_or_else(|| self.source.clone());
            let file = script::place(&script, &source, &self.copy, self.person.ids)?;
            run(&script, &file, self.person, self.folder).await.map_err(told)
        })
    }
}

/// Runs `script`, whose file is `file`, in `folder`, and returns its exit code.
async fn run(script: &Script, file: &Path, person: &Person, folder: &Path) -> Result<i32, String> {
    let program = script.interpreter.first().map(String::as_str).unwrap_or_default();
    if !Path::new(program).exists() {
        return Err(format!("its first line wants {program}, which is not installed"));
    }
    let mut command = match &person.other {
        None => command::in_new_session(program),
        Some(User { name, dir, shell, .. }) => {
            let (uid, gid) = person.ids;
            let mut command = command::in_new_session("/usr/bin/setpriv");
            command.arg("--init-groups").args([format!("--reuid={uid}"), format!("--regid={gid}")]);
            command.args(["--", program]);
            command.env("USER", name).env("LOGNAME", name).env("HOME", dir).env("SHELL", shell);
            command
        }
    };
    command.args(&script.interpreter[1..]).arg(file);
    // A folder on a volume that does not answer would block the script for ever; the facts have checked the folder
    // before.
    let there = fs::metadata(folder).is_ok_and(|found| found.is_dir());
    command.current_dir(if there { folder } else { Path::new("/") });
    let status = Running::start(&mut command)?.ended().await?;
    if !status.success() {
        eprintln!("{}: {}", file.display(), command::told(status));
    }
    Ok(command::code(status))
}
