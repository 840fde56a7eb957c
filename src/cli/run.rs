//! `desktopd run` beside a running daemon: this process becomes the program, as a program of the desktop. So the program
//! has the terminal, the signals and the exit code without anything in between.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::config::Config;
use crate::config::env::{Environment, OF_SHELL, OF_UNIT, Raw, is_one_of, working_folder};
use crate::facts::Programs;
use crate::observe::{Snapshot, UnitState};
use crate::plan::{X_SERVER, folders_of_programs};
use crate::sys::launch::{self, Orders};
use crate::sys::print;

use super::client::Client;
use super::{Failure, code};

/// How long to wait for an X server that is starting.
const LIMIT: Duration = Duration::from_secs(60);

/// The X server, as far as a program that needs one is concerned.
enum XServer {
    Ready,
    /// It may still get ready by itself.
    Coming,
    /// Why there is none.
    Missing(String),
}

/// Whether a daemon runs here, for this user or another one. No runtime may exist yet: a process that becomes the daemon
/// closes all descriptors first.
pub fn is_beside(config: &Config) -> bool {
    Client::new(config).is_there()
}

/// What the desktop gives to its programs, once its X server is ready or will not get ready by itself.
pub async fn session(config: &Config) -> Result<Orders, Failure> {
    let client = Client::new(config);
    let waited = tokio::time::timeout(LIMIT, x_server(&client)).await;
    let late = || Ok(XServer::Missing(format!("{X_SERVER} is not ready within {LIMIT:?}")));
    if let XServer::Missing(why) = waited.unwrap_or_else(|_| late())? {
        print::error(&format!("desktopd: warning: {why}; the program starts without an X server"));
    }
    client.get("/api/session").await
}

/// Waits until the X server is ready or will not get ready by itself.
async fn x_server(client: &Client) -> Result<XServer, Failure> {
    let mut stream = client.stream("/api/status/stream").await?;
    while let Some((_, data)) = stream.next().await? {
        let Ok(snapshot) = serde_json::from_str::<Snapshot>(&data) else { continue };
        match found(&snapshot) {
            XServer::Coming => {}
            result => return Ok(result),
        }
    }
    Err(Failure::new(code::NOT_RUNNING, "the daemon has ended"))
}

fn found(snapshot: &Snapshot) -> XServer {
    let Some(unit) = snapshot.unit(X_SERVER) else {
        // Without any unit, the daemon has no plan yet.
        let planned = !snapshot.units.is_empty();
        let why = || format!("no service is the X server here (display: {})", snapshot.display);
        return if planned { XServer::Missing(why()) } else { XServer::Coming };
    };
    let colon = if unit.reason.is_empty() { "" } else { ": " };
    match unit.state {
        UnitState::Ready => XServer::Ready,
        UnitState::Stopped | UnitState::Failed | UnitState::Skipped => {
            XServer::Missing(format!("{} is {}{colon}{}", unit.name, unit.state.name(), unit.reason))
        }
        _ => XServer::Coming,
    }
}

/// Becomes the program, as the desktop's user and with the desktop's environment. Returns only if that fails.
pub fn become_command(mut orders: Orders, command: &[String]) -> Failure {
    let own = nix::unistd::geteuid().as_raw();
    match &orders.identity {
        Some(identity) if identity.uid == own => orders.identity = None,
        Some(_) if own != 0 => {
            let why = "only root and the desktop's user can start programs in the desktop";
            return Failure { for_root: true, ..Failure::new(code::NOT_EXECUTABLE, why) };
        }
        _ => {}
    }
    // Problems of the users' files are in the logs of the services, which read the same files.
    orders.quiet = true;
    let given = Environment::inherited();
    let (path, before) = (given.get(OsStr::new("PATH")).cloned(), std::mem::take(&mut orders.argv));
    let fixed = orders.env_files.as_ref().map(|files| files.fixed.as_slice()).unwrap_or_default();
    orders.env = merged(given, std::mem::take(&mut orders.env), fixed);
    let mut env = match launch::join(&orders) {
        Ok(env) => env,
        Err(error) => return Failure::new(code::NOT_EXECUTABLE, error),
    };
    let folders = env.get(OsStr::new("PATH")).and_then(|path| path.to_str()).unwrap_or_default();
    let folders = folders_of_programs(path.as_ref(), folders);
    let [name, arguments @ ..] = command else { return Failure::new(code::USAGE, "no program is named") };
    let programs = Programs::probe(&folders, [name.as_str()]);
    let program = match programs.get(name) {
        Ok(program) => program.to_owned(),
        Err(reason) if programs.is_useless(name) => return Failure::new(code::NOT_EXECUTABLE, reason),
        Err(reason) => return Failure::new(code::NOT_FOUND, reason),
    };
    env.insert("PATH".into(), folders.into());
    if working_folder().is_none() {
        // A home that cannot be entered is no reason against the program.
        let _ = nix::unistd::chdir(&orders.cwd);
    }
    let words = before.iter().map(OsString::from).chain([program.into()]);
    let words: Vec<OsString> = words.chain(arguments.iter().map(OsString::from)).collect();
    let error = launch::become_program(words[0].as_ref(), &words[1..], Some(&env));
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => code::NOT_FOUND,
        _ => code::NOT_EXECUTABLE,
    };
    Failure::new(code, format!("{}{}: {error}", launch::EXEC, words[0].display()))
}

/// The environment of the desktop, and those of the given variables that the desktop does not have. The container's own
/// variables may be older than those of the desktop, so the desktop's win. `fixed` are the variables that the plan sets or
/// leaves out, whatever the container says.
fn merged(given: Raw, desktop: Raw, fixed: &[String]) -> Raw {
    let more = given.into_iter().filter(|(name, _)| {
        let of_plan = fixed.iter().any(|fixed| name == fixed.as_str()) && !is_one_of(name, &[&OF_SHELL]);
        !of_plan && !is_one_of(name, &[&OF_UNIT])
    });
    more.chain(desktop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_desktops_variables_win_and_those_that_it_leaves_out_are_not_passed_on() {
        let raw = |pairs: &[(&str, &str)]| -> Raw {
            pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
        };
        let given = raw(&[
            ("DISPLAY", ":9"),
            ("MINE", "1"),
            ("NOTIFY_SOCKET", "/x"),
            ("LANG", "C"),
            ("TERM", "xterm"),
            ("VGL_DISPLAY", "egl"),
            ("WEB_PASSWORD", "secret-password"),
        ]);
        let desktop = raw(&[("DISPLAY", ":0"), ("LANG", "de_DE.UTF-8")]);
        let fixed = ["DISPLAY", "TERM", "VGL_DISPLAY", "WEB_PASSWORD"].map(str::to_owned);
        let expected = raw(&[("DISPLAY", ":0"), ("LANG", "de_DE.UTF-8"), ("MINE", "1"), ("TERM", "xterm")]);
        assert_eq!(merged(given, desktop, &fixed), expected);
    }
}
