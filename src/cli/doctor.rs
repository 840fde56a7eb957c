//! `desktopd doctor`: what works on this machine and what does not, each with its remedy.
//!
//! The checks are pure functions of what was found: the probe with what was drawn, the plan, the daemon's state if it
//! answers, and the machine's resources. Finding these has a time limit everywhere: NVML and EGL are asked in child
//! processes, folders in threads that are left behind, the daemon with a timeout. Without a daemon, or without the
//! permission to ask it, the checks say what cannot be seen.

mod bundle;
mod check;
mod compute;
mod desktop;
mod found;
mod gather;
mod gpus;
mod resources;
mod scrub;

use std::path::Path;

use crate::facts;
use crate::observe::UnitState;
use crate::plan;
use crate::sys;
use crate::sys::print;

use super::client::Client;
use super::{Failure, Screen, code, render};
use check::{Check, Outcome};
use desktop::Daemon;
pub use found::Found;

/// Runs the command.
pub async fn doctor(found: &Found, json: bool, bundle: Option<&Path>) -> Result<(), Failure> {
    let screen = Screen::of(&found.config.env);
    let to_output = bundle == Some(Path::new("-"));
    if to_output && screen.terminal {
        return Err(Failure::new(
            code::USAGE,
            "standard output is a terminal: name a file, or end with > FILE",
        ));
    }
    let client = Client::new(&found.config);
    let daemon = found::ask_daemon(&client, &found.config).await;
    let checks = checks(found, &daemon);
    let written = match bundle {
        Some(file) => {
            let packed = gather::bundle(found, &client, &daemon, &checks).await;
            Some((file, packed.map_err(|error| Failure::of(format!("making the bundle: {error}")))?))
        }
        None => None,
    };
    match written {
        Some((_, packed)) if to_output => {
            print::data(&packed)?;
            print::error(&format!("desktopd: {}", count(&checks)));
        }
        Some((file, packed)) => {
            bundle::write(file, &packed)?;
            let text = text(&checks, screen);
            print::out(&format!("{text}{} is written; read it before you send it\n", file.display()))?;
        }
        None => render::print(json, &checks, || text(&checks, screen))?,
    }
    let healthy = checks.iter().all(|check| check.result != Outcome::Problem);
    if healthy { Ok(()) } else { Err(Failure::silent(code::FAILED)) }
}

/// All checks, the worst first.
fn checks(found: &Found, daemon: &Daemon) -> Vec<Check> {
    let Found { config, facts, plan: planned, gpus, resources } = found;
    let mut checks = desktop::checks(daemon, planned, config.env.opens_no_port(), facts::port_taken);
    let shown = daemon.snapshot().map(|snapshot| snapshot.display.as_str()).unwrap_or_default();
    checks.extend(gpus::checks(gpus, &planned.display, shown, found.wanted()));
    checks.push(gpus::encoder(gpus, &planned.encoder));
    let limit = plan::threads(facts);
    checks.extend(compute::checks(gpus, config.env.vars.disable_forward_compat, limit.as_ref()));
    checks.extend(resources::checks(resources, &facts.workspace));
    checks.extend(threads(sys::threads_work()));
    checks.sort_by_key(|check| check.result);
    checks
}

/// Only where threads cannot be started: a machine on which they can needs no line.
fn threads(works: Result<(), String>) -> Option<Check> {
    let why = works.err()?;
    let otherwise = "docker run --security-opt seccomp=unconfined …, or a newer Docker";
    Some(Check::of_reason("threads", Outcome::Problem, &why, otherwise))
}

/// Aligned lines, each remedy below its check, and the count.
fn text(checks: &[Check], screen: Screen) -> String {
    let result = "problem".len();
    let name = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let state = match check.result {
            Outcome::Problem => UnitState::Failed,
            Outcome::Warning => UnitState::Backoff,
            Outcome::Unknown => UnitState::Stopped,
            Outcome::Ok => UnitState::Ready,
        };
        let outcome = screen.paint(state, &format!("{:result$}", check.result.name()));
        let Check { what, remedy, .. } = check;
        let end = remedy.as_ref().map(|remedy| format!("{:result$}  {:name$}  -> {remedy}\n", "", ""));
        text.extend([format!("{outcome}  {:name$}  {what}\n", check.name), end.unwrap_or_default()]);
    }
    text + &count(checks) + "\n"
}

fn count(checks: &[Check]) -> String {
    let of = |outcome| checks.iter().filter(|check| check.result == outcome).count();
    let some = |count: usize, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, {}, {} unknown, {} ok",
        some(of(Outcome::Problem), "problem"),
        some(of(Outcome::Warning), "warning"),
        of(Outcome::Unknown),
        of(Outcome::Ok)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_aligned_and_ends_with_the_count() {
        let checks = [
            Check::bad("disk /", Outcome::Problem, "it is full", "du"),
            Check::bad("shared memory", Outcome::Warning, "too small", "--shm-size=1g"),
            Check::ok("GPU", "it draws"),
        ];
        assert_eq!(
            text(&checks, Screen::PLAIN),
            "problem  disk /         it is full\n\
             \x20                       -> du\n\
             warning  shared memory  too small\n\
             \x20                       -> --shm-size=1g\n\
             ok       GPU            it draws\n\
             1 problem, 1 warning, 0 unknown, 1 ok\n"
        );
    }

    #[test]
    fn forbidden_threads_are_a_problem() {
        assert_eq!(threads(Ok(())), None);
        assert_eq!(threads(Err("no thread".into())).unwrap().result, Outcome::Problem);
    }
}
