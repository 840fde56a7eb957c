//! The chain of displays while the daemon runs: an X server that does not work is replaced by the next kind, with the
//! desktop, and people see why.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::daemon::jobs::{DESKTOP, SHELL};
use crate::daemon::world::{World, find, free_port, is_alive, is_root, pid_of, skipped, until, works};

/// An X server on a GPU, with a socket as descriptor 3. The file `mode` says how it behaves.
const XORG: &str = r#"#!/bin/sh
echo Xorg >> "$D/starts"
echo $$ > "$D/server"
case "$(cat "$D/mode")" in
fail)
    printf '(EE) \nFatal server error:\n(EE) no screens found(EE) \n(EE) \nPlease consult the support\n' >&2
    exit 1;;
hang)
    exec sleep 1000;;
dies)
    echo >&4
    exec 4>&-
    sleep 0.3
    echo '(EE) GPU has fallen off the bus' >&2
    kill -SEGV $$;;
*)
    exec "$D/polite" xorg 3>&4 4>&-;;
esac
"#;

const XVFB: &str = r#"#!/bin/sh
echo Xvfb >> "$D/starts"
echo $$ > "$D/server"
exec "$D/polite" xvfb 3>&4 4>&-
"#;

/// A desktop that starts only on the X server that `draws` names, if there is such a file, and not before `hold` is gone.
/// As a client's first connection does, it waits for a server that is still starting.
const DESK: &str = r#"#!/bin/sh
while [ -e "$D/hold" ]; do sleep 0.02; done
until kill -0 "$(cat "$D/server")" 2> "$D/unanswered"; do sleep 0.01; done
if [ -f "$D/draws" ] && [ "$(tail -n 1 "$D/starts")" != "$(cat "$D/draws")" ]; then
    echo "no OpenGL context" >&2
    exit 1
fi
exec "$D/polite" desk
"#;

pub const FELL: &str = "Xvfb with llvmpipe on :0 (Xorg ended with exit code 1: no screens found)";

/// Two X servers, a desktop and a stream of it; `mode` is how Xorg behaves, which is asked for.
pub fn world(mode: &str) -> World {
    let mut world = World::new();
    fs::create_dir(world.path("bin")).unwrap();
    world.script("bin/Xorg", XORG);
    world.script("bin/Xvfb", XVFB);
    world.script("bin/desk", DESK);
    world.write("mode", mode);
    let server =
        "provides = [\"x-server\"]\nready = { kind = \"fd\" }\nstop-timeout = \"1s\"\nstart-timeout = \"1s\"";
    for (name, program) in [("xorg", "Xorg"), ("xvfb", "Xvfb")] {
        let condition = format!("condition = [{{ display = \"{name}\" }}]");
        let socket = "[[listen]]\npath = \"@D/socket\"";
        world.service(name, &format!("command = [\"{program}\"]\n{server}\n{condition}\n{socket}"));
    }
    world.service(
        "desk",
        "command = [\"desk\"]\nready = { kind = \"fd\" }\nneeds = [\"x-server\"]\nrestart-limit = 2\nrestart-delay = \"10ms\"",
    );
    let (listen, upstream) = (free_port(), free_port());
    let route = format!(
        "[route]\ntitle = \"Desktop\"\nlisten = \"{listen}\"\nupstream = \"127.0.0.1:{upstream}\"\nshows = [\"desk\"]"
    );
    world.service("stream", &format!("@polite\nneeds = [\"x-server\"]\nfollows = [\"x-server\"]\n{route}"));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", path).env("DESKTOPD_DISPLAY", "xorg");
    world
}

/// Waits until the display is this one and everything is up.
pub fn until_display(world: &World, display: &str) -> Value {
    world.until(&format!("everything is up on {display}"), |status| {
        status["display"] == display && status["up"] == true
    })
}

pub fn starts(world: &World, program: &str) -> usize {
    world.read("starts").lines().filter(|line| *line == program).count()
}

/// The lines of `order` after the last `line`, sorted within each of the groups of these sizes.
fn order_after(world: &World, line: &str, groups: &[usize]) -> Vec<String> {
    let order = world.order();
    let begin = order.iter().rposition(|known| known == line).map_or(0, |at| at + 1);
    let mut rest = order[begin..].to_vec();
    let mut at = 0;
    for size in groups {
        let end = (at + size).min(rest.len());
        rest[at..end].sort();
        at = end;
    }
    rest
}

pub fn problems(status: &Value) -> Vec<String> {
    let problems = status["problems"].as_array().cloned().unwrap_or_default();
    problems.iter().map(|problem| problem.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_server_that_does_not_come_up_is_replaced_and_people_see_why() {
    for (mode, why) in [
        ("fail", "Xorg ended with exit code 1: no screens found"),
        ("hang", "Xorg was not ready within 1s: no newline came on descriptor 4"),
    ] {
        let mut world = world(mode);
        world.start();
        let status = until_display(&world, &format!("Xvfb with llvmpipe on :0 ({why})"));
        assert_eq!(
            problems(&status),
            [format!(
                "DESKTOPD_DISPLAY=xorg: {why}; the display is Xvfb with llvmpipe on :0; \
                 `desktopd restart x-server` tries again"
            )]
        );
        let found = ["xorg", "xvfb", "desk", "stream"].map(|name| find(&status, name)["state"].clone());
        assert_eq!(found, ["skipped", "ready", "ready", "ready"], "{mode}");
        assert_eq!(status["ready"], true, "{mode}: {status:#}");
        world.until_said(&format!("warning: display: {why}; the display is now Xvfb with llvmpipe on :0"));
        let shown = world.page();
        let line = format!(
            "\ndisplay: The CPU draws on :0 (llvmpipe), although DESKTOPD_DISPLAY=xorg asks for Xorg: {why}; \
             `desktopd restart x-server` tries again\n"
        );
        assert!(shown.contains(&line), "{shown}");
        let events = world.tell(&["events"]);
        let event = format!("  the display is Xvfb with llvmpipe on :0: {why}\n");
        assert_eq!(events.matches(&event).count(), 1, "{events}");
        // It is started again until the next plan is there, and never after that.
        let count = starts(&world, "Xorg");
        assert!(count <= 2, "{count} starts");
        // As long as another unit needs to end and to come up.
        world.tell(&["restart", "--wait", "stream"]);
        assert_eq!((starts(&world, "Xorg"), starts(&world, "Xvfb")), (count, 1), "{mode}");
    }
}

#[test]
fn a_server_that_dies_twice_is_replaced_with_its_dependents_in_order_and_jobs_live_on() {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return skipped("there is no `script`, which makes a terminal");
    }
    let mut world = world("dies");
    world.script("desktop", DESKTOP);
    world.script("shell", SHELL);
    world.service(
        "terminal",
        "command = [\"@D/desktop\"]\nready = { kind = \"fd\" }\nneeds = [\"x-server\"]\ncontain = true",
    );
    world.write("mode", "works");
    world.start();
    world.until_up();
    until("the jobs run", || (world.read("jobs").lines().count() == 5).then_some(()));
    let jobs: Vec<i32> =
        world.read("jobs").lines().map(|line| line.split_once(' ').unwrap().1.parse().unwrap()).collect();
    // Once is no reason to change the display.
    world.write("mode", "dies");
    kill(Pid::from_raw(pid_of(&world.unit("xorg"))), Signal::SIGKILL).unwrap();
    let why =
        "Xorg ended with signal SIGSEGV, for the second time within a minute: GPU has fallen off the bus";
    until_display(&world, &format!("Xvfb with llvmpipe on :0 ({why})"));
    // It may be started again until the next plan is there.
    let count = starts(&world, "Xorg");
    assert!((2..=3).contains(&count), "{count} starts");
    let alive = jobs.iter().filter(|job| is_alive(**job)).count();
    assert_eq!(alive, jobs.len(), "detached jobs");
    let order = order_after(&world, "xorg up", &[]);
    let at = |line: &str| order.iter().rposition(|known| known == line);
    assert!(at("desk down") < at("xvfb up") && at("stream down") < at("xvfb up"), "{order:?}");
    assert!(at("desk down") < at("desk up") && at("stream down") < at("stream up"), "{order:?}");
}

#[test]
fn a_desktop_that_gives_up_on_a_server_that_works_changes_the_display_and_is_started_again() {
    let mut world = world("works");
    world.write("draws", "Xvfb");
    world.start();
    let why = "desk ended with exit code 1, 2 times, on Xorg: no OpenGL context";
    let status = until_display(&world, &format!("Xvfb with llvmpipe on :0 (Xorg: {why})"));
    assert_eq!(find(&status, "desk")["state"], "ready");
    // On the last display, a desktop that gives up is a failed service and nothing else.
    world.write("draws", "none");
    kill(Pid::from_raw(pid_of(&world.unit("desk"))), Signal::SIGKILL).unwrap();
    world.until_state("desk", "failed");
    world.tell(&["restart", "--wait", "stream"]);
    world.tell(&["reload"]);
    assert_eq!(world.unit("xvfb")["state"], "ready");
    assert_eq!(starts(&world, "Xvfb"), 1);
}

#[test]
fn a_restart_of_the_server_tries_again_from_the_top() {
    let mut world = world("fail");
    world.start();
    until_display(&world, FELL);
    // A reload keeps what is known.
    let (before, count) = (world.unit("xvfb"), starts(&world, "Xorg"));
    world.service("other", "@polite");
    world.tell(&["reload"]);
    world.until_state("other", "ready");
    assert_eq!(until_display(&world, FELL)["display_failed"].as_array().map(Vec::len), Some(1));
    assert_eq!((&world.unit("xvfb")["pid"], starts(&world, "Xorg")), (&before["pid"], count));
    // So does a restart of another service.
    world.tell(&["restart", "--wait", "stream"]);
    assert_eq!(world.status()["display"], FELL);

    // It fails again: down again.
    world.tell(&["restart", "x-server"]);
    until("another start of Xorg", || (starts(&world, "Xorg") > count).then_some(()));
    until_display(&world, FELL);
    world.until_said("a restart of the X server was requested: changed: ");

    // Now it works: the dependents end first, then the server; each starts once.
    world.write("mode", "works");
    let count = starts(&world, "Xorg");
    world.write("order", "");
    let (status, answer) = world.post("/api/units/restart", r#"{"names": ["x-server"]}"#);
    assert_eq!((status, &answer["units"][0]), (200, &"xorg".into()));
    let status = until_display(&world, "Xorg with the GPU's driver on :0");
    assert_eq!(problems(&status), [""; 0]);
    assert_eq!(
        order_after(&world, "", &[2, 1, 3]),
        ["desk down", "stream down", "xvfb down", "desk up", "stream up", "xorg up"]
    );
    assert_eq!(starts(&world, "Xorg"), count + 1);
    // Nothing has failed any more, so a restart is only a restart.
    let before = world.unit("xorg");
    world.tell(&["restart", "x-server"]);
    world.until_replaced("xorg", &before);
    let status = until_display(&world, "Xorg with the GPU's driver on :0");
    assert_eq!(status["display_failed"], serde_json::json!([]));
}

#[test]
fn a_server_that_a_user_stops_is_not_replaced() {
    let mut world = world("hang");
    world.service("xorg", &fs::read_to_string(world.path("services/xorg.toml")).unwrap().replace("1s", "9s"));
    world.start();
    world.until_state("xorg", "starting");
    world.tell(&["stop", "x-server"]);
    world.until_state("xorg", "stopped");
    world.write("mode", "works");
    for verb in ["start", "restart"] {
        world.tell(&[verb, "--wait", "x-server"]);
        until_display(&world, "Xorg with the GPU's driver on :0");
    }
    kill(Pid::from_raw(pid_of(&world.unit("xorg"))), Signal::SIGKILL).unwrap();
    world.tell(&["restart", "--wait", "x-server"]);
    until_display(&world, "Xorg with the GPU's driver on :0");
    world.end();
    assert_eq!(starts(&world, "Xvfb"), 0);
}

#[test]
fn a_mistake_in_a_file_does_not_keep_a_display_that_failed() {
    let mut world = world("works");
    world.start();
    until_display(&world, "Xorg with the GPU's driver on :0");
    world.write("services/stream.toml", "command = 7");
    world.until_said("error: the configuration changed, but nothing was changed: ");
    world.write("mode", "fail");
    kill(Pid::from_raw(pid_of(&world.unit("xorg"))), Signal::SIGKILL).unwrap();
    until_display(&world, FELL);
    world.until_said("error: the last configuration without a mistake is used: ");
    assert_eq!(world.unit("stream")["state"], "ready");
}

#[test]
fn a_server_without_a_successor_is_started_again() {
    let mut world = world("fail");
    fs::remove_file(world.path("bin/Xvfb")).unwrap();
    let path = world.path("bin").display().to_string();
    for tool in ["cat", "sleep", "printf", "grep", "tail"] {
        // A real Xvfb must not be found beside them.
        let found = ["/usr/bin", "/bin"].map(|folder| format!("{folder}/{tool}"));
        let file = found.iter().find(|file| std::path::Path::new(file).exists()).unwrap();
        std::os::unix::fs::symlink(file, world.path(&format!("bin/{tool}"))).unwrap();
    }
    world.env("PATH", path);
    world.start();
    world.until_said(
        "error: display: Xorg ended with exit code 1: no screens found; no other display is possible",
    );
    world.write("mode", "works");
    until_display(&world, "Xorg with the GPU's driver on :0");
}

/// A machine with a GPU's nodes: the daemon has a `/dev` of its own.
#[test]
fn a_node_that_vanishes_is_a_problem_until_it_is_back() {
    if !is_root() || !works(&["unshare", "--mount"]) {
        return skipped("only root can make another /dev");
    }
    let mut world = world("works");
    let script = r#"
        mkdir "$D/dev" && mount -t tmpfs none "$D/dev" && cp -ax /dev/null /dev/zero /dev/random /dev/urandom "$D/dev"
        mkdir "$D/dev/dri" && touch "$D/dev/dri/card0" "$D/dev/nvidia0" && mount --bind "$D/dev" /dev
        exec "$@""#;
    world.wrapped_in(&["unshare", "--mount", "sh", "-c", script, "sh"]);
    world.start();
    world.until_up();
    let node = format!("/proc/{}/root/dev/nvidia0", world.inner_pid());
    fs::remove_file(&node).unwrap();
    let lost =
        "NVIDIA GPU (/dev/nvidia0) is lost: the device node /dev/nvidia0 has vanished: restart the container";
    world.until("the problem is shown", |status| problems(status).iter().any(|problem| problem == lost));
    world.until_said(&format!("error: {lost}"));
    fs::write(&node, "").unwrap();
    world.until("the problem is over", |status| problems(status).is_empty());
}

/// The version of the driver is that of a file, which the daemon sees in `/proc/driver/nvidia`.
#[test]
fn what_failed_is_left_out_at_the_next_start_with_the_same_driver() {
    if !is_root() || !works(&["unshare", "--mount"]) || !std::path::Path::new("/proc/driver").exists() {
        return skipped("only root can make another /proc/driver");
    }
    let mut world = world("fail");
    fs::create_dir_all(world.path("driver/nvidia")).unwrap();
    let driver = |world: &World, version: &str| {
        let banner = format!(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Apr  8 12:41:17 UTC 2025"
        );
        world.write("driver/nvidia/version", &format!("{banner}\nGCC version:  gcc version 12.2.0\n"));
    };
    driver(&world, "550.163.01");
    let script = "mount --bind \"$D/driver\" /proc/driver && exec \"$@\"";
    world.wrapped_in(&["unshare", "--mount", "sh", "-c", script, "sh"]);
    world.start();
    until_display(&world, FELL);
    world.until_written("state/display-failures", "nvidia 550.163.01");
    world.end();

    // Without a wish, it is not tried again.
    let count = starts(&world, "Xorg");
    world.env("DESKTOPD_DISPLAY", "auto").start();
    let status = world.until_up();
    let shown = status["display"].as_str().unwrap();
    assert!(
        shown.starts_with("Xvfb with llvmpipe on :0 (Xorg: failed on this driver version on 2"),
        "{shown}"
    );
    assert!(shown.ends_with(
        ": Xorg ended with exit code 1: no screens found; `desktopd restart x-server` tries again)"
    ));
    world.until_said(
        "warning: the display is Xvfb with llvmpipe on :0: Xorg: failed on this driver version on 2",
    );
    assert_eq!(starts(&world, "Xorg"), count);
    world.end();

    // Another version is another chance.
    driver(&world, "570.86.15");
    world.start();
    assert_eq!(world.until_up()["display"], "Xvfb with llvmpipe on :0");
    world.end();

    // A wish is tried at each start.
    driver(&world, "550.163.01");
    world.env("DESKTOPD_DISPLAY", "xorg").start();
    until_display(&world, FELL);
    assert!(starts(&world, "Xorg") > count);

    // A restart by a user forgets it.
    world.write("mode", "works");
    world.tell(&["restart", "x-server"]);
    until_display(&world, "Xorg with the GPU's driver on :0");
    until("the file is gone", || (!world.path("state/display-failures").exists()).then_some(()));

    // A desktop that does not start is a reason once it has started on another display.
    world.write("draws", "Xvfb");
    world.tell(&["restart", "x-server"]);
    world.until_written("state/display-failures", "desk ended with exit code 1, 2 times, on Xorg");
    assert_eq!(world.until_up()["units"].as_array().map(Vec::len), Some(4));
}
