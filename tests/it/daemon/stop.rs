//! Stops: every process of a unit ends within its time limit, whatever it does against that.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{World, children, find, is_alive, pid_of, proc_status, until};

/// A process that leaves session and parent behind and ignores TERM, and a process that does not ignore it.
const ESCAPING: &str = r#"#!/bin/sh
# $1: how the main process goes on
setsid sh -c 'trap "" TERM; echo $$ >> "$D/escaped"; while :; do sleep 0.05; done' &
setsid sh -c '(sleep 1000 & echo $! >> "$D/escaped") &' &
while [ "$(wc -l < "$D/escaped" 2>/dev/null || echo 0)" -lt 2 ]; do sleep 0.01; done
echo main >> "$D/up"
[ "$1" = stay ] || exit 0
trap 'exit 0' TERM
while :; do sleep 0.05; done
"#;

fn escaped(world: &World) -> Vec<i32> {
    world.read("escaped").lines().map(|line| line.trim().parse().unwrap()).collect()
}

#[test]
fn nothing_escapes_from_a_contained_unit_that_is_stopped() {
    let world = World::new();
    world.script("escaping", ESCAPING);
    world.service("contained", "command = [\"@D/escaping\", \"stay\"]\ncontain = true");
    let mut world = world;
    world.start();
    world.until_written("up", "main");
    let (main, escaped) = (pid_of(&world.unit("contained")), escaped(&world));
    assert!(escaped.iter().all(|pid| is_alive(*pid)), "{escaped:?}");
    let began = Instant::now();
    world.tell(&["stop", "contained"]);
    world.until_state("contained", "stopped");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(!is_alive(main));
    assert!(!escaped.iter().any(|pid| is_alive(*pid)), "{escaped:?}");
}

#[test]
fn nothing_escapes_from_a_contained_unit_that_ends_or_is_killed() {
    let mut world = World::new();
    world.script("escaping", ESCAPING);
    world.service("contained", "command = [\"@D/escaping\", \"end\"]\ncontain = true\nrestart = \"never\"");
    world.start();
    world.until_state("contained", "stopped");
    let left = escaped(&world);
    assert_eq!(left.len(), 2);
    assert!(!left.iter().any(|pid| is_alive(*pid)), "{left:?}");

    world.write("escaped", "");
    world.service("other", "@polite");
    let mut world = world;
    world.end();
    world.service("contained", "command = [\"@D/escaping\", \"stay\"]\ncontain = true\nrestart = \"never\"");
    world.write("up", "");
    world.start();
    world.until_written("up", "main");
    let left = escaped(&world);
    kill(Pid::from_raw(pid_of(&world.unit("contained"))), Signal::SIGKILL).unwrap();
    assert_eq!(world.until_state("contained", "failed")["reason"], "it ended with signal SIGKILL");
    assert!(!left.iter().any(|pid| is_alive(*pid)), "{left:?}");
}

#[test]
fn a_unit_that_is_not_contained_leaves_nothing_of_its_group() {
    let mut world = World::new();
    world.script(
        "group",
        "#!/bin/sh\n(trap '' TERM; echo member > \"$D/member\"; while :; do sleep 0.05; done) &\n\
         echo $! > \"$D/pid\"\nwhile [ ! -e \"$D/member\" ]; do sleep 0.01; done\n\
         [ \"$1\" = stay ] && while :; do sleep 0.05; done\nexit 0\n",
    );
    world.service("stays", "command = [\"@D/group\", \"stay\"]\nstop-timeout = \"300ms\"");
    world.start();
    let member = || -> i32 { world.until_written("pid", "\n").trim().parse().unwrap() };
    let first = member();
    world.until_written("member", "member");
    world.tell(&["stop", "stays"]);
    world.until_state("stays", "stopped");
    assert!(!is_alive(first));

    std::fs::remove_file(world.path("pid")).unwrap();
    std::fs::remove_file(world.path("member")).unwrap();
    world.end();
    world.service("stays", "command = [\"@D/group\", \"end\"]\nrestart = \"never\"");
    world.start();
    world.until_state("stays", "stopped");
    let second: i32 = world.read("pid").trim().parse().unwrap();
    assert!(!is_alive(second));
}

#[test]
fn a_unit_that_ignores_term_is_killed_after_its_stop_timeout() {
    let world = World::running(&[
        (
            "deaf",
            "command = [\"/bin/sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 0.05; done\"]\nstop-timeout = \"300ms\"",
        ),
        (
            "guarded",
            "command = [\"/bin/sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 0.05; done\"]\nstop-timeout = \"300ms\"\ncontain = true",
        ),
        ("frozen", "command = [\"sleep\", \"1000\"]\nstop-timeout = \"5s\""),
    ]);
    world.until_up();
    until("they are deaf", || (world.log("deaf") + &world.log("guarded") == "up\nup\n").then_some(()));
    let pids = ["deaf", "guarded", "frozen"].map(|name| pid_of(&world.unit(name)));
    kill(Pid::from_raw(pids[2]), Signal::SIGSTOP).unwrap();
    let began = Instant::now();
    world.tell(&["stop", "deaf", "guarded", "frozen"]);
    for name in ["deaf", "guarded", "frozen"] {
        world.until_state(name, "stopped");
    }
    let took = began.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert!(!pids.into_iter().any(is_alive));
}

/// A child in a session of its own that holds the output open and goes on to print.
const HOLDING: &str = r#"#!/bin/sh
setsid sh -c 'echo $$ > "$D/holder-$1"; while :; do echo "still here"; sleep 0.05; done' sh "$1" &
while [ ! -s "$D/holder-$1" ]; do sleep 0.01; done
trap 'exit 0' TERM
while :; do sleep 0.05; done
"#;

#[test]
fn a_process_that_holds_the_output_does_not_delay_the_stop() {
    let mut world = World::new();
    world.script("holding", HOLDING);
    world.service("loose", "command = [\"@D/holding\", \"loose\"]");
    world.service("contained", "command = [\"@D/holding\", \"contained\"]\ncontain = true");
    world.start();
    let holders = ["loose", "contained"]
        .map(|name| -> i32 { world.until_written(&format!("holder-{name}"), "\n").trim().parse().unwrap() });
    let before = world.until_up();
    let began = Instant::now();
    world.tell(&["stop", "loose", "contained"]);
    for name in ["loose", "contained"] {
        world.until_state(name, "stopped");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(holders.map(is_alive), [true, false], "a unit without containment may leave processes");
    // Its output is still read: otherwise it would block on a full pipe.
    let lines = || world.log("loose").lines().count();
    let heard = lines();
    until("it is still heard", || (lines() > heard).then_some(()));
    world.tell(&["start", "loose"]);
    world.until_replaced("loose", &find(&before, "loose"));
    world.end();
    assert!(!is_alive(holders[0]));
}

/// A child that is frozen: a member of the group, or in a session of its own.
const FREEZING: &str = r#"#!/bin/sh
$2 sh -c 'echo $$ > "$D/frozen-$1"; kill -STOP $$; sleep 1000' sh "$1" &
trap 'exit 0' TERM
while :; do sleep 0.05; done
"#;

#[test]
fn frozen_processes_are_killed_too() {
    let mut world = World::new();
    world.script("freezing", FREEZING);
    world.service("member", "command = [\"@D/freezing\", \"member\", \"\"]");
    world.service("escaped", "command = [\"@D/freezing\", \"escaped\", \"setsid\"]\ncontain = true");
    world.service("guarded", "@polite\ncontain = true\nstop-timeout = \"1s\"");
    world.start();
    world.until_up();
    let mut frozen: Vec<i32> = ["member", "escaped"]
        .iter()
        .map(|name| world.until_written(&format!("frozen-{name}"), "\n").trim().parse().unwrap())
        .collect();
    // Guards can be frozen as well: this freezes all of them, and one unit is enough to see the result.
    let (below, _) = children(world.pid());
    let mains: Vec<i32> = ["member", "escaped", "guarded"].map(|name| pid_of(&world.unit(name))).to_vec();
    let guards: Vec<i32> = below.into_iter().filter(|pid| !mains.contains(pid)).collect();
    assert_eq!(guards.len(), 2, "{guards:?}");
    for guard in &guards {
        kill(Pid::from_raw(*guard), Signal::SIGSTOP).unwrap();
    }
    for pid in frozen.iter().chain(&guards) {
        until("it is frozen", || proc_status(*pid, "State").starts_with('T').then_some(()));
    }
    let began = Instant::now();
    world.tell(&["stop", "member", "escaped", "guarded"]);
    for name in ["member", "escaped", "guarded"] {
        world.until_state(name, "stopped");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    frozen.extend(guards.iter().chain(&mains));
    assert!(!frozen.iter().any(|pid| is_alive(*pid)), "{frozen:?}");
    world.end();
}

#[test]
fn the_stop_command_comes_before_the_signal_and_does_not_outlive_the_unit() {
    let world = World::of(&[
        (
            "gentle",
            "command = [\"/bin/sh\", \"-c\", \"trap 'echo signalled >> $$D/gentle; exit' TERM; while [ ! -e $$D/leave ]; do sleep 0.02; done; echo left >> $$D/gentle\"]\nstop-command = [\"touch\", \"@D/leave\"]",
        ),
        (
            "refused",
            "command = [\"/bin/sh\", \"-c\", \"trap 'echo signalled >> $$D/refused; exit' TERM; while :; do sleep 0.02; done\"]\nstop-command = [\"false\"]",
        ),
        (
            "hanging",
            "command = [\"/bin/sh\", \"-c\", \"trap 'echo signalled >> $$D/hanging; exit' TERM; while :; do sleep 0.02; done\"]\nstop-command = [\"sleep\", \"1234\"]\nstop-timeout = \"300ms\"",
        ),
    ]);
    let mut world = world;
    world.start();
    world.until_up();
    // Otherwise the shell gets the signal before it has set its trap.
    std::thread::sleep(Duration::from_millis(300));
    world.tell(&["stop", "gentle", "refused", "hanging"]);
    for name in ["gentle", "refused", "hanging"] {
        world.until_state(name, "stopped");
    }
    assert_eq!(world.read("gentle"), "left\n");
    assert_eq!(world.read("refused"), "signalled\n");
    assert_eq!(world.read("hanging"), "signalled\n");
    until("the hanging command is gone", || (world.everything().len() == 1).then_some(()));
}

#[test]
fn term_and_int_end_everything_with_code_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut world =
            World::running(&[("a", "@polite"), ("b", "@polite\nneeds = [\"a\"]\ncontain = true")]);
        world.until_up();
        world.until_written("order", "b up");
        let began = Instant::now();
        world.signal(signal);
        assert_eq!(world.ended().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(3), "{signal}: {:?}", began.elapsed());
        assert_eq!(world.order(), ["a up", "b up", "b down", "a down"]);
        world.assert_nothing_left();
        let name = signal.as_str().trim_start_matches("SIG");
        let console = world.read("console");
        assert!(console.contains(&format!("stopping: got signal {name}")), "{console}");
        assert!(console.trim_end().ends_with("everything has stopped"), "{console}");
    }
}

#[test]
fn a_second_term_kills_at_once() {
    let mut world = World::running(&[(
        "deaf",
        "command = [\"/bin/sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 0.05; done\"]\nstop-timeout = \"60s\"",
    )]);
    until("it is deaf", || (world.log("deaf") == "up\n").then_some(()));
    let began = Instant::now();
    world.signal(Signal::SIGTERM);
    world.until("it is stopping", |status| status["phase"] == "stopping");
    world.signal(Signal::SIGTERM);
    assert_eq!(world.ended().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    world.assert_nothing_left();
}

#[test]
fn a_unit_whose_guard_is_killed_does_not_run_twice() {
    let world = World::running(&[("guarded", "@polite\ncontain = true")]);
    let before = world.until_state("guarded", "ready");
    let main = pid_of(&before);
    let (guards, _) = children(world.pid());
    assert_eq!(guards.len(), 1);
    kill(Pid::from_raw(guards[0]), Signal::SIGKILL).unwrap();
    world.until_replaced("guarded", &before);
    assert!(!is_alive(main));
    world.until_said("guarded is starting: its guard ended with signal SIGKILL");
}

#[test]
fn a_guard_ends_its_unit_when_the_daemon_is_killed() {
    let mut world = World::running(&[("guarded", "@polite\ncontain = true")]);
    world.until_state("guarded", "ready");
    world.signal(Signal::SIGKILL);
    world.ended();
    until("nothing is left", || world.everything().is_empty().then_some(()));
    assert_eq!(world.order(), ["guarded up", "guarded down"]);
}

#[test]
fn a_unit_that_is_killed_again_and_again_never_runs_twice() {
    let world = World::new();
    let script = "#!/bin/sh\n[ -d \"$D/lock-$1\" ] && kill -0 \"$(cat \"$D/lock-$1/pid\")\" 2>/dev/null && echo \"$1\" >> \"$D/twice\"\n\
                  mkdir -p \"$D/lock-$1\"\necho $$ > \"$D/lock-$1/pid\"\nexec sleep 1000\n";
    world.script("single", script);
    let names: Vec<String> = (0..6).map(|number| format!("single-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let contain = number % 2 == 0;
        world.service(
            name,
            &format!("command = [\"@D/single\", \"{name}\"]\nrestart-limit = \"none\"\ncontain = {contain}"),
        );
    }
    let mut world = world;
    world.start();
    let mut before = world.until_up();
    for lap in 0..2 {
        for name in &names {
            kill(Pid::from_raw(pid_of(&find(&before, name))), Signal::SIGKILL).unwrap();
        }
        for name in &names {
            world.until_replaced(name, &find(&before, name));
        }
        before = world.until_up();
        assert!(names.iter().all(|name| find(&before, name)["restarts"] == lap + 1), "{before:#}");
    }
    assert_eq!(world.read("twice"), "");
    until("one process each", || (world.everything().len() == 1 + names.len()).then_some(()));
}

#[test]
fn escaped_processes_do_not_outlive_the_daemon() {
    let mut world = World::new();
    world.script("escaping", ESCAPING);
    world.service("loose", "command = [\"@D/escaping\", \"stay\"]");
    world.start();
    world.until_written("up", "main");
    let escaped = escaped(&world);
    world.tell(&["stop", "loose"]);
    world.until_state("loose", "stopped");
    assert!(escaped.iter().all(|pid| is_alive(*pid)), "a unit that is not contained may leave some behind");
    let began = Instant::now();
    world.end();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
