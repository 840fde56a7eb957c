//! Runs a script of the user: as which user, with which environment, and with which result.
//!
//! The script gets a session of its own, and its detached processes stay (see [`command::in_new_session`]). It gets
//! no input, and its output goes to the step's log at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Uid, User};

use super::command::{self, Running};
use super::script::Script;

/// The user who runs a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    name: String,
    /// User id and group id.
    pub(super) ids: (u32, u32),
    home: String,
    shell: String,
    /// Whether it is another user than that of this process.
    other: bool,
}

impl Person {
    /// The user of this process, with the environment that it has.
    pub(super) fn own() -> Self {
        let ids = (Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
        Self { name: String::new(), ids, home: String::new(), shell: String::new(), other: false }
    }

    /// Whether it is another user than this process's.
    pub(super) fn is_other(&self) -> bool {
        self.other
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
        Ok(Self {
            ids: (user.uid.as_raw(), user.gid.as_raw()),
            home: user.dir.to_string_lossy().into_owned(),
            shell: user.shell.to_string_lossy().into_owned(),
            name: user.name,
            other: true,
        })
    }
}

/// Runs `script`, whose file is `file`, in `folder`, and returns its exit code.
pub(super) async fn run(
    script: &Script,
    file: &Path,
    person: &Person,
    folder: &Path,
    limit: Option<Duration>,
) -> Result<i32, String> {
    let program = script.interpreter.first().map(String::as_str).unwrap_or_default();
    if !Path::new(program).exists() {
        return Err(format!("its first line wants {program}, which is not installed"));
    }
    let mut words: Vec<String> = Vec::new();
    if person.other {
        let (uid, gid) = person.ids;
        words.extend(["/usr/bin/setpriv", "--init-groups"].map(str::to_owned));
        words.extend([format!("--reuid={uid}"), format!("--regid={gid}"), "--".to_owned()]);
    }
    words.extend(script.interpreter.iter().cloned());
    let mut command = command::in_new_session(&words[0]);
    command.args(&words[1..]).arg(file);
    if person.other {
        let Person { name, home, shell, .. } = person;
        command.env("USER", name).env("LOGNAME", name).env("HOME", home).env("SHELL", shell);
    }
    // A folder on a volume that does not answer would block the script for ever; the facts have checked the folder
    // before.
    command.current_dir(if fs::metadata(folder).is_ok_and(|found| found.is_dir()) {
        folder
    } else {
        Path::new("/")
    });
    let mut running = Running::start(&mut command).map_err(|error| error.to_string())?;
    let ended = match limit {
        None => running.ended().await,
        Some(limit) => tokio::time::timeout(limit, running.ended())
            .await
            .map_err(|_| format!("it took longer than {limit:?} and was ended"))?,
    };
    let status = ended.map_err(|error| error.to_string())?;
    if !status.success() {
        eprintln!("{}: {}", file.display(), command::told(status));
    }
    Ok(command::code(status))
}
