//! Exit codes and signals of services, and signals to the daemon itself: the same as PID 1, beside another init, and
//! below a shell.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{World, find, is_alive, pid_of, skipped, until, works};

const NAMESPACE: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Init programs that images use.
const INITS: [&str; 5] = [
    "/usr/bin/docker-init",
    "/usr/libexec/docker/docker-init",
    "/usr/bin/tini",
    "/usr/bin/dumb-init",
    "/usr/bin/catatonit",
];

/// How the daemon was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Pid1,
    BesideInit,
    BelowShell,
}

impl Way {
    /// The command line before the program; `None` where this way does not work.
    fn words(self) -> Option<Vec<&'static str>> {
        match self {
            Self::Pid1 => works(&NAMESPACE).then(|| NAMESPACE.to_vec()),
            Self::BesideInit => {
                let Some(init) = INITS.into_iter().find(|init| Path::new(init).exists()) else {
                    skipped("none of the usual inits is installed");
                    return None;
                };
                let words = [&NAMESPACE[..], &[init, "--"]].concat();
                works(&words).then_some(words)
            }
            Self::BelowShell => Some(vec!["sh", "-c", "\"$@\"; exit $?", "sh"]),
        }
    }
}

/// Ends with `code N` or by `signal N`.
const END: &str =
    "#!/bin/sh\nulimit -c 0\ncase $1 in code) exit \"$2\" ;; *) kill \"-$2\" $$; sleep 5; exit 99 ;; esac\n";

/// Signals that do not end a process: ignored by default, or for job control.
const NO_END: [i32; 8] = [
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGSTOP,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGURG,
    libc::SIGWINCH,
];

/// The name of a signal as reasons show it.
fn name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.as_str().to_owned())
}

fn every_end_is_reported(way: Way) {
    let Some(words) = way.words() else { return };
    let mut world = World::new();
    world.script("end", END);
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for code in 0..=255 {
        expected.insert(format!("code-{code}"), format!("it ended with exit code {code}"));
    }
    // Signals 32 and 33 are the C library's: when they are ignored, child processes inherit that, and a program cannot
    // change it.
    for signal in (1..=64).filter(|signal| !NO_END.contains(signal) && ![32, 33].contains(signal)) {
        expected.insert(format!("signal-{signal}"), format!("it ended with signal {}", name(signal)));
    }
    assert_eq!(expected["signal-11"], "it ended with signal SIGSEGV");
    for name in expected.keys() {
        let (how, number) = name.split_once('-').unwrap();
        let contain = number.ends_with('7');
        let command = format!("command = [\"@D/end\", \"{how}\", \"{number}\"]");
        world.service(name, &format!("{command}\nrestart = \"never\"\ncontain = {contain}"));
    }
    world.wrapped_in(&words);
    world.start();
    let is_over = |unit: &serde_json::Value| unit["state"] == "failed" || unit["state"] == "stopped";
    // Hundreds of processes take long on a busy machine: the time limit applies to each part of them.
    let mut status = serde_json::Value::Null;
    for part in 1..=6 {
        status = world.until("the next ones have ended", |status| {
            let units = status["units"].as_array().map(Vec::as_slice).unwrap_or_default();
            let over = units.iter().filter(|unit| is_over(unit)).count();
            over >= expected.len() * part / 6
        });
    }
    let mut wrong = String::new();
    for (name, reason) in &expected {
        let unit = find(&status, name);
        let state = if name == "code-0" { "stopped" } else { "failed" };
        if unit["reason"] != **reason || unit["state"] != state {
            let _ = writeln!(wrong, "{name}: {} ({})", unit["reason"], unit["state"]);
        }
    }
    assert!(wrong.is_empty(), "{way:?}:\n{wrong}");
    stop(&mut world, libc::SIGTERM);
}

/// Sends the daemon a signal that should end it, and checks that it stops cleanly.
fn stop(world: &mut World, signal: i32) {
    send(world.inner_pid(), &[signal]);
    assert_eq!(world.ended().code(), Some(0), "signal {signal}");
    world.assert_nothing_left();
}

/// Not with `nix`, which does not know real-time signals.
fn send(pid: i32, signals: &[i32]) {
    for signal in signals {
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).output().unwrap();
        assert!(sent.status.success(), "{signal}: {sent:?}");
    }
}

fn signals_to_the_daemon(way: Way) {
    let Some(words) = way.words() else { return };
    let mut world = World::of(&[("stays", "@polite"), ("guarded", "@polite\ncontain = true")]);
    // With `DEBUG` the daemon also logs that nothing changed.
    world.env("DEBUG", "true");
    world.wrapped_in(&words);
    world.start();
    let before = world.until_up();
    let daemon = world.inner_pid();
    let stops = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGRTMIN() + 3];
    let faults =
        [libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS];
    let harmless = |signal: &i32| {
        // The C library keeps signals 32 and 33 for itself: a program cannot catch them. They end even a PID 1, namely
        // while its first thread starts another thread and has all signals blocked.
        let caught = ![libc::SIGKILL, libc::SIGSTOP, libc::SIGHUP, 32, 33].contains(signal);
        caught && !stops.contains(signal) && (way == Way::Pid1 || !faults.contains(signal))
    };
    let harmless: Vec<i32> = (1..=64).filter(harmless).collect();
    assert!(harmless.len() > 45, "{harmless:?}");
    for _ in 0..3 {
        send(daemon, &harmless);
    }
    assert!(is_alive(daemon), "{way:?}: the daemon has ended: {:?}", world.ended());
    for name in ["stays", "guarded"] {
        assert_eq!(find(&world.status(), name), find(&before, name), "{way:?}");
    }
    // The daemon still notices the end of its children and still reads the configuration (after the signal, or because
    // the file watch noticed the change first).
    world.service("new", "@polite");
    kill(Pid::from_raw(daemon), Signal::SIGHUP).unwrap();
    world.until_said("got signal HUP: ");
    world.until_state("new", "ready");
    world.tell(&["restart", "stays"]);
    let stays = world.until_replaced("stays", &find(&before, "stays"));
    assert!(pid_of(&stays) > 0);
    stop(&mut world, stops[0]);
    for signal in &stops[1..] {
        world.write("order", "");
        world.start();
        world.until_up();
        until("all three are up", || (world.order().len() == 3).then_some(()));
        stop(&mut world, *signal);
        assert_eq!(world.order().len(), 6, "{:?}", world.order());
    }
}

#[test]
fn every_exit_is_reported_by_pid_1() {
    every_end_is_reported(Way::Pid1);
}

#[test]
fn every_exit_is_reported_beside_another_init() {
    every_end_is_reported(Way::BesideInit);
}

#[test]
fn every_exit_is_reported_below_a_shell() {
    every_end_is_reported(Way::BelowShell);
}

#[test]
fn signals_have_their_effect_as_pid_1() {
    signals_to_the_daemon(Way::Pid1);
}

#[test]
fn signals_have_their_effect_beside_another_init() {
    signals_to_the_daemon(Way::BesideInit);
}

#[test]
fn signals_have_their_effect_below_a_shell() {
    signals_to_the_daemon(Way::BelowShell);
}
