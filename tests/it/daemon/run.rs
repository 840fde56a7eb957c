//! `desktopd run` and main services: the order of start and stop, and the exit code.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{World, is_root, pid_of, proc_status, skipped, until, variable};

/// The command runs as the test's user: another user need not exist.
fn world(services: &[(&str, &str)]) -> World {
    let mut world = World::of(services);
    if is_root() {
        world.env("USER_NAME", "root");
    }
    world
}

/// A shell that writes `up`, and runs `on_term` when it gets TERM.
fn patient(on_term: &str) -> String {
    format!("trap '{on_term}' TERM; echo up; while :; do sleep 0.02; done")
}

/// 64 exit codes in one world: each run starts with the state that the run before has left.
fn codes(from: i32) {
    let world = world(&[]);
    for code in from..from + 64 {
        let answer = world.cli(&["run", "--", "sh", "-c", &format!("exit {code}")]);
        assert_eq!(answer.code, code, "{answer:?}");
    }
    world.assert_nothing_left();
}

#[test]
fn the_exit_codes_0_to_63_are_the_commands() {
    codes(0);
}

#[test]
fn the_exit_codes_64_to_127_are_the_commands() {
    codes(64);
}

#[test]
fn the_exit_codes_128_to_191_are_the_commands() {
    codes(128);
}

#[test]
fn the_exit_codes_192_to_255_are_the_commands() {
    codes(192);
}

#[test]
fn a_signal_that_ended_the_command_gives_128_plus_its_number() {
    let world = world(&[]);
    for signal in [1, 2, 3, 6, 9, 10, 11, 12, 15, 34, 40, 64] {
        // A shell would handle some of these signals itself.
        let script = format!("import os; os.kill(os.getpid(), {signal})");
        let answer = world.cli(&["run", "--", "python3", "-c", &script]);
        assert_eq!(answer.code, 128 + signal, "{answer:?}");
    }
}

#[test]
fn a_command_runs_when_the_desktop_is_up_and_everything_ends_in_order_after_it() {
    let mut world = world(&[
        ("a", "@polite"),
        ("b", "@polite\nneeds = [\"a\"]\ncontain = true"),
        ("gives-up", "command = [\"false\"]\nready = { kind = \"fd\" }\nrestart-limit = 2"),
        ("lazy", "@polite\nautostart = false"),
    ]);
    world.run(&[
        "sh",
        "-c",
        "echo \"run up\" >> \"$D/order\"; echo 'it says ${HOME} $1'; exec \"$D/polite\" run 3>/dev/null",
    ]);
    world.spawn();
    world.until_written("order", "run up");
    world.until_state("run", "ready");
    assert_eq!(world.unit("gives-up")["state"], "failed");
    let (a, run) = (world.unit("a"), world.unit("run"));
    world.until_said("run | it says ${HOME} $1");
    assert_eq!(world.log("run"), "it says ${HOME} $1\n");
    assert_eq!(run["description"], "the command given to desktopd run");
    until("it listens", || (world.order().len() == 4).then_some(()));
    // A reload does not touch the command, and neither does the crash of a service.
    assert_eq!(world.tell(&["reload"]), "nothing changed\n");
    kill(Pid::from_raw(pid_of(&a)), Signal::SIGKILL).unwrap();
    world.until_replaced("a", &a);
    world.until_state("b", "ready");
    assert_eq!(world.unit("run")["pid"], run["pid"]);
    let before = world.order();
    kill(Pid::from_raw(pid_of(&run)), Signal::SIGTERM).unwrap();
    assert_eq!(world.ended().code(), Some(0));
    world.assert_nothing_left();
    assert_eq!(world.order()[before.len()..], ["run down", "b down", "a down"]);
    assert!(before.iter().take(2).all(|line| line != "run up"), "{before:?}");
    let console = world.read("console");
    assert!(console.contains("stopping: the main service has ended"), "{console}");
}

#[test]
fn a_reload_does_not_touch_the_command() {
    let mut world = world(&[("a", "@polite")]);
    let program = world.script("program", "#!/bin/sh\nexec sleep 1000\n");
    world.run(&[&program]);
    world.start();
    let run = world.until_state("run", "ready");
    let a = world.until_state("a", "ready");
    // The shell has read the file by now.
    until("it is the program", || (proc_status(pid_of(&run), "Name") == "sleep").then_some(()));
    std::fs::remove_file(&program).unwrap();
    let toml = world.read("desktopd.toml");
    world.write("desktopd.toml", &format!("{toml}[environment]\nNEW = \"new\"\n"));
    world.tell(&["reload"]);
    world.until_replaced("a", &a);
    assert_eq!(world.unit("run"), run);
    world.signal(Signal::SIGTERM);
    assert_eq!(world.ended().code(), Some(143));
}

#[test]
fn a_stop_from_outside_gives_the_code_with_which_the_command_ends() {
    for (on_term, code) in [("exit 0", 0), ("exit 9", 9), ("trap - TERM; kill $$", 143)] {
        let mut world = world(&[("a", "@polite")]);
        world.run(&["sh", "-c", &patient(on_term)]);
        world.start();
        until("it listens", || (world.log("run") == "up\n").then_some(()));
        world.signal(Signal::SIGTERM);
        assert_eq!(world.ended().code(), Some(code), "{on_term}");
        assert_eq!(world.order(), ["a up", "a down"]);
        world.assert_nothing_left();
    }
}

#[test]
fn a_command_that_ignores_the_stop_is_killed() {
    let mut world = world(&[]);
    world.run(&["sh", "-c", &patient("")]);
    world.start();
    until("it is deaf", || (world.log("run") == "up\n").then_some(()));
    let began = Instant::now();
    world.signal(Signal::SIGTERM);
    world.until("it is stopping", |status| status["phase"] == "stopping");
    world.signal(Signal::SIGTERM);
    assert_eq!(world.ended().code(), Some(137));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    world.assert_nothing_left();
}

#[test]
fn a_command_that_never_ran_is_a_failure() {
    let mut world = world(&[("slow", "command = [\"sleep\", \"1000\"]\nready = { kind = \"fd\" }")]);
    world.run(&["true"]);
    world.start();
    assert_eq!(world.until_state("run", "waiting")["reason"], "for slow (starting)");
    world.tell(&["shutdown"]);
    assert_eq!(world.ended().code(), Some(143));
    world.assert_nothing_left();
}

#[test]
fn a_command_that_cannot_run_is_refused_before_anything_starts() {
    let world = world(&[("a", "@polite")]);
    let plain = world.path("desktopd.toml").display().to_string();
    let missing = world.path("missing").display().to_string();
    for (program, code, told) in [
        (
            "no-such-program-here",
            127,
            "run: command: \"no-such-program-here\" is not installed (it is in none of ",
        ),
        (missing.as_str(), 127, "is not installed, or not executable"),
        (plain.as_str(), 126, "is not installed, or not executable"),
        ("/", 126, "is not installed, or not executable"),
    ] {
        let answer = world.cli(&["run", "--", program]);
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.err.starts_with("desktopd: ") && answer.err.contains(told), "{answer:?}");
    }
    assert_eq!(world.cli(&["run"]).code, 64);
    assert_eq!(world.order(), [""; 0]);
    let mut world = world;
    world.env("USER_NAME", "no-such-user-here");
    if is_root() {
        let answer = world.cli(&["run", "--", "true"]);
        assert_eq!(answer.code, 126, "{answer:?}");
        assert!(answer.err.contains("there is no user named 'no-such-user-here'"), "{answer:?}");
    }
}

#[test]
fn a_command_that_cannot_be_executed_ends_the_daemon_with_126_or_127() {
    let world = world(&[("a", "@polite")]);
    let no_interpreter = world.script("no-interpreter", "#!/no/such/interpreter\n");
    let no_program = world.script("no-program", "#!/etc/passwd\n");
    for (program, code, told) in [
        (
            no_interpreter.as_str(),
            127,
            "no-interpreter, or rather its interpreter: No such file or directory",
        ),
        (no_program.as_str(), 126, "no-program: Permission denied"),
    ] {
        let answer = world.cli(&["run", "--", program]);
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.out.contains("run is failed: exec /") && answer.out.contains(told), "{answer:?}");
    }
    assert_eq!(world.order(), ["a up", "a down", "a up", "a down"]);
    world.assert_nothing_left();
}

#[test]
fn a_command_has_the_desktops_user_and_environment_and_the_daemons_folder() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let mut world = World::of(&[]);
    let toml = world.read("desktopd.toml");
    world.write("desktopd.toml", &format!("{toml}[desktop-environment]\nDISPLAY = \"${{display}}\"\n"));
    world.env("USER_NAME", "nobody").env("DISPLAY", ":7").env("WEB_PASSWORD", "secret-password");
    world.wrapped_in(&["sh", "-c", "cd /usr/share && exec \"$@\"", "sh"]);
    world.run(&["sleep", "1000"]);
    world.start();
    let pid = pid_of(&world.until_state("run", "ready"));
    until("it is the program", || (proc_status(pid, "Name") == "sleep").then_some(()));
    assert!(proc_status(pid, "Uid").starts_with("65534"));
    assert_eq!(variable(pid, "DISPLAY"), Some(":7".into()));
    assert_eq!(variable(pid, "USER"), Some("nobody".into()));
    assert_eq!(variable(pid, "WEB_PASSWORD"), None);
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), std::path::Path::new("/usr/share"));
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(world.ended().code(), Some(137));
}

#[test]
fn a_main_service_ends_everything_with_its_code() {
    let mut world = World::of(&[
        (
            "app",
            "command = [\"/bin/sh\", \"-c\", \"while [ ! -e $$D/leave ]; do sleep 0.02; done; exit 42\"]\nmain = true\nneeds = [\"a\"]",
        ),
        ("a", "@polite"),
        ("b", "@polite\nneeds = [\"a\"]"),
    ]);
    world.start();
    let first = world.until_state("app", "ready");
    world.until_state("b", "ready");
    // A requested stop or restart of the main service does not end the daemon.
    world.tell(&["restart", "--wait", "app"]);
    world.until_replaced("app", &first);
    world.tell(&["stop", "--wait", "app"]);
    world.tell(&["start", "--wait", "app"]);
    world.write("leave", "");
    assert_eq!(world.ended().code(), Some(42));
    assert_eq!(world.order(), ["a up", "b up", "b down", "a down"]);
    world.assert_nothing_left();
}

#[test]
fn a_main_service_returns_when_its_file_says_so() {
    let mut world = World::of(&[(
        "app",
        "command = [\"/bin/sh\", \"-c\", \"echo again; exit 5\"]\nmain = true\nrestart = \"on-failure\"\nrestart-limit = 3",
    )]);
    world.spawn();
    assert_eq!(world.ended().code(), Some(5));
    assert_eq!(world.read("log/app.log").lines().count(), 3);
}

#[test]
fn two_main_services_are_a_mistake_of_both_and_a_command_takes_their_place() {
    let mut world =
        world(&[("one", "@polite\nmain = true"), ("two", "@polite\nmain = true"), ("other", "@polite")]);
    world.start();
    world.until_state("other", "ready");
    let file = |name: &str| world.path(&format!("services/{name}.toml")).display().to_string();
    for (name, another) in [("one", "two"), ("two", "one")] {
        assert_eq!(
            world.unit(name)["reason"],
            format!(
                "{}: main: true, as in {}; only one service can be the main one",
                file(name),
                file(another)
            )
        );
    }
    world.end();
    world.run(&["sh", "-c", "exit 3"]);
    world.spawn();
    assert_eq!(world.ended().code(), Some(3));
    let order = world.order();
    assert!(order.contains(&"one up".to_owned()) && order.contains(&"two down".to_owned()), "{order:?}");
    world.assert_nothing_left();
}
