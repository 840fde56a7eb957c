//! Commands of other systems that users and their scripts call: `reboot`, `poweroff`, `halt` and `shutdown` end
//! everything; `systemctl` and `service` control the services that the daemon supervises.
//!
//! All other calls are passed on as if desktopd did not exist: to a script in `/etc/init.d`, or to a program that the
//! user installed in place of `systemctl`. Only systemd's own `systemctl` is not called, because it would only say that
//! systemd does not run.

mod words;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Change, Status};
use super::client::Client;
use super::screen::Screen;
use super::{Failure, change, code, status};
use crate::config::{Config, own};
use crate::observe::{Snapshot, UnitState};
use crate::sys::launch::become_program;
use crate::sys::{print, read};
use words::{Action, Asked, End, Services};

/// How long the command waits for a service.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder of the services' scripts.
const SCRIPTS: &str = "/etc/init.d";

/// Exit codes of `systemctl` for a service that does not run, and for an unknown service.
const NOT_ACTIVE: i32 = 3;
const NO_SUCH_UNIT: i32 = 4;

/// Runs the command in `words`: the program's name and its arguments.
pub(super) async fn run(
    client: &Client,
    config: &Config,
    words: &[OsString],
    screen: Screen,
) -> Result<(), Failure> {
    let texts: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let Some((program, rest)) = texts.split_first() else {
        return Err(Failure::new(code::USAGE, "which command?"));
    };
    match words::read(program, rest) {
        Asked::Nothing => Ok(()),
        Asked::End(how) => end(client, program, how).await,
        Asked::Passed => Err(pass(config, program, &words[1..])),
        Asked::Refused(code, why) => match (*program, replacement(config, program)) {
            // The replacement knows itself what it supports.
            ("systemctl", Some(other)) => Err(become_other(&other, &words[1..])),
            _ => Err(Failure::new(code, why)),
        },
        Asked::Services(asked) => services(client, config, (program, &words[1..]), &asked, screen).await,
    }
}

async fn end(client: &Client, program: &str, how: End) -> Result<(), Failure> {
    client.shutdown().await.map_err(|failure| Failure {
        message: format!("{}; if you are not root: sudo {program}", failure.message),
        ..failure
    })?;
    let then = match how {
        End::Reboot => {
            "its restart policy decides whether it starts again (docker run --restart unless-stopped)"
        }
        End::Stop => "with the policy --restart=always it starts again, and `docker stop` keeps it down",
    };
    Ok(print::out(&format!(
        "stopping everything. Where desktopd is its main process the container ends, and {then}\n"
    ))?)
}

/// Requests for the daemon's services are carried out; all others are passed on.
async fn services(
    client: &Client,
    config: &Config,
    (program, words): (&str, &[OsString]),
    asked: &Services,
    screen: Screen,
) -> Result<(), Failure> {
    let snapshot = match client.status().await {
        Ok(snapshot) => snapshot,
        // Without a daemon there are no services of ours.
        Err(failure) if failure.code == code::NOT_RUNNING => Snapshot::default(),
        Err(failure) => return Err(failure),
    };
    let (ours, others): (Vec<_>, Vec<_>) =
        asked.names.iter().cloned().partition(|name| supervised(&snapshot, name));
    match others.first() {
        None => own_services(client, &snapshot, asked.action, ours, screen).await,
        Some(_) if !ours.is_empty() => {
            let (ours, others) = (ours.join(", "), others.join(", "));
            let why = format!("desktopd supervises {ours}, but not {others}: use separate commands");
            Err(Failure::of(why))
        }
        Some(name) if program == "service" => {
            if is_executable(&Path::new(SCRIPTS).join(name)) {
                return Err(pass(config, program, words));
            }
            Err(Failure::of(unknown(name)))
        }
        Some(name) => systemds(config, name, asked, words),
    }
}

/// Handles a service that `systemctl` was asked about and that is not ours.
fn systemds(config: &Config, name: &str, asked: &Services, words: &[OsString]) -> Result<(), Failure> {
    if let Some(other) = replacement(config, "systemctl") {
        return Err(become_other(&other, words));
    }
    let script = Path::new(SCRIPTS).join(name);
    if is_executable(&script) && asked.names.len() == 1 && asked.action != Action::IsActive {
        let words = [name, asked.word.as_str()].map(OsString::from);
        return Err(pass(config, "service", &words));
    }
    if asked.action == Action::IsActive {
        print::out("inactive\n")?;
        return Err(Failure::silent(NO_SUCH_UNIT));
    }
    Err(Failure::new(NO_SUCH_UNIT, unknown(name)))
}

fn unknown(name: &str) -> String {
    format!(
        "{name}: there is no systemd in this container, desktopd supervises no service of that name (`desktopd status` \
         shows which), and {SCRIPTS}/{name} does not exist"
    )
}

/// Whether the daemon has a service of that name that is in use here.
fn supervised(snapshot: &Snapshot, name: &str) -> bool {
    let unit = snapshot.unit(name);
    unit.is_some_and(|unit| unit.state != UnitState::Skipped)
        || (own::is_own(name) && !snapshot.units.is_empty())
}

async fn own_services(
    client: &Client,
    snapshot: &Snapshot,
    action: Action,
    names: Vec<String>,
    screen: Screen,
) -> Result<(), Failure> {
    match action {
        Action::Change(verb) => {
            let args = Change { names, wait: true, timeout: PATIENCE, json: false };
            change::change(client, verb, &args, false).await
        }
        Action::Status => {
            let running = names.iter().all(|name| is_active(snapshot, name));
            status::status(client, &Status { names, watch: false, all: false, json: false }, screen).await?;
            if running { Ok(()) } else { Err(Failure::silent(NOT_ACTIVE)) }
        }
        Action::IsActive => {
            for name in &names {
                print::out(if is_active(snapshot, name) { "active\n" } else { "inactive\n" })?;
            }
            // As with systemctl: one active service is enough.
            let any = names.iter().any(|name| is_active(snapshot, name));
            if any { Ok(()) } else { Err(Failure::silent(NOT_ACTIVE)) }
        }
    }
}

fn is_active(snapshot: &Snapshot, name: &str) -> bool {
    let running = |state| matches!(state, UnitState::Ready | UnitState::Done);
    own::is_own(name) || snapshot.unit(name).is_some_and(|unit| running(unit.state))
}

/// Runs the machine's own program of that name in place of this process. Returns only on failure.
fn pass(config: &Config, program: &str, words: &[OsString]) -> Failure {
    match others(config, program).next() {
        Some(other) => become_other(&other, words),
        None => Failure::new(code::NOT_FOUND, format!("{program}: not installed on this machine")),
    }
}

fn become_other(program: &Path, words: &[OsString]) -> Failure {
    let error = become_program(program, words, None);
    Failure::new(code::NOT_EXECUTABLE, format!("{}: {error}", program.display()))
}

/// A script that the user installed in place of systemd's program: systemd's own is not a script.
fn replacement(config: &Config, program: &str) -> Option<PathBuf> {
    others(config, program).find(|other| read::beginning(other, 2).is_ok_and(|head| head == *b"#!"))
}

/// The programs of that name in the folders of programs, except links to this program.
fn others(config: &Config, program: &str) -> impl Iterator<Item = PathBuf> {
    let own = fs::read_link("/proc/self/exe").ok();
    let path = config.env.text("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]);
    folders
        .filter(|folder| folder.starts_with('/') && Path::new(folder) != Path::new(OURS))
        .map(move |folder| Path::new(folder).join(program))
        .filter(move |file| is_executable(file) && fs::canonicalize(file).ok() != own)
}

/// The folder of our own small programs with these names.
const OURS: &str = "/usr/local/sbin";

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
