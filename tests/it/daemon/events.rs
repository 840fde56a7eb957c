//! Events, the boot chart, and waiting for a request's result, with the real program.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::daemon::world::{World, pid_of};

const BROKEN: &str = "command = [\"/bin/sh\", \"-c\", \"echo broken; exit 3\"]\nready = { kind = \"tcp\", address = \"127.0.0.1:1\" }\nautostart = false\nrestart-limit = 1";

#[test]
fn a_boot_is_recorded_as_events_and_drawn_as_a_chart() {
    let world = World::running(&[
        ("first", "command = [\"/bin/sleep\", \"0.2\"]\ntype = \"oneshot\""),
        ("second", "@polite\nneeds = [\"first\"]"),
        ("lazy", "@polite\nautostart = false"),
    ]);
    world.until_up();
    let lines = world.tell(&["events", "--json"]);
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().map(|event| event["seq"].as_u64().unwrap()).eq(1..=events.len() as u64), "{lines}");
    let steps = |unit: &str| -> Vec<String> {
        let of = events.iter().filter(|event| event["unit"] == unit);
        of.map(|event| event["to"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(steps("first"), ["waiting", "starting", "done"]);
    assert_eq!(steps("second"), ["waiting", "starting", "ready"]);
    assert_eq!(steps("lazy"), ["stopped"]);
    assert_eq!(events.last().unwrap()["kind"], "up", "{lines}");
    let timeline: Value = serde_json::from_str(&world.tell(&["timeline", "--json"])).unwrap();
    let path: Vec<&str> =
        timeline["critical"].as_array().unwrap().iter().map(|link| link["unit"].as_str().unwrap()).collect();
    assert_eq!(path, ["desktopd", "first", "second"]);
    let chart = world.tell(&["timeline"]);
    assert!(chart.starts_with("everything was up after ") && chart.contains("* second "), "{chart}");
    assert!(!chart.contains('\u{1b}'), "a pipe gets no colours: {chart}");
    assert!(world.tell(&["timeline", "--svg"]).starts_with("<svg "));
    let detail = world.tell(&["status", "sec*"]);
    assert!(detail.starts_with("second: ready for ") && detail.contains("first (done)"), "{detail}");
}

#[test]
fn events_are_followed_with_their_reasons_and_processes() {
    let world = World::running(&[("service", "@polite")]);
    let pid = pid_of(&world.until_state("service", "ready"));
    let mut follower = world.cli_beside(&["events", "-f", "-n", "1", "--json"]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let first = lines.next().unwrap()["seq"].as_u64().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    // The restart is immediate: polling the status would miss these short states.
    let events: Vec<Value> = lines.by_ref().take_while(|event| event["to"] != "ready").collect();
    let seqs = events.iter().map(|event| event["seq"].as_u64().unwrap());
    assert!(seqs.eq(first + 1..=first + events.len() as u64), "{events:?}");
    let gone = events.iter().find(|event| event["from"] == "ready").unwrap();
    assert_eq!((&gone["to"], &gone["reason"]), (&"waiting".into(), &"it ended with signal SIGKILL".into()));
    assert_eq!(gone["pid"], pid);
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn waiting_ends_with_the_result_or_when_none_is_possible() {
    let world = World::running(&[
        ("good", "@polite"),
        ("needy", "@polite\nneeds = [\"broken\"]\nautostart = false"),
        ("never", "command = [\"/bin/sleep\", \"1000\"]\nready = { kind = \"fd\" }\nautostart = false"),
        ("broken", BROKEN),
    ]);
    let before = world.until_state("good", "ready");
    assert_eq!(world.tell(&["restart", "--wait", "good"]), "good is ready\n");
    assert_ne!(world.unit("good")["pid"], before["pid"]);
    assert_eq!(
        world.tell(&["stop", "--wait", "go*"]),
        format!("good is stopped: uid {} asked for it\n", nix::unistd::Uid::effective())
    );
    assert_eq!(world.unit("good")["state"], "stopped");
    let failed = world.cli(&["start", "--wait", "good", "broken"]);
    assert_eq!((failed.code, failed.out.as_str()), (1, "good is ready\n"), "{failed:?}");
    assert!(failed.err.contains("broken is failed: it ended with exit code 3"), "{failed:?}");
    let blocked = world.cli(&["start", "--wait", "needy"]);
    assert_eq!(blocked.code, 1, "{blocked:?}");
    let late = world.cli(&["start", "--wait", "--timeout", "200ms", "never"]);
    assert_eq!((late.code, late.err.contains("not done within 200ms")), (1, true), "{late:?}");
    let unknown = world.cli(&["start", "--wait", "x*"]);
    assert_eq!((unknown.code, unknown.err.contains("matches 'x*'")), (1, true), "{unknown:?}");
}

#[test]
fn a_command_can_shut_the_daemon_down() {
    let mut world = World::running(&[("service", "@polite")]);
    world.until_state("service", "ready");
    world.tell(&["shutdown"]);
    assert_eq!(world.ended().code(), Some(0));
    assert_eq!(world.order(), ["service up", "service down"]);
    world.assert_nothing_left();
}

#[test]
fn logs_begin_at_a_time_and_variables_are_shown_without_a_daemon() {
    let mut world =
        World::of(&[("talker", "command = [\"/bin/sh\", \"-c\", \"echo one; exec sleep 1000\"]")]);
    world.env("WEB_PASSWORD", "correct horse").env("SIZEW", "800");
    let table = world.tell(&["env"]);
    assert!(table.contains("environment, as SIZEW") && !table.contains("correct horse"), "{table}");
    assert!(world.tell(&["completions", "bash"]).contains("timeline"));
    world.start();
    world.until_said("talker | one");
    assert_eq!(world.tell(&["logs", "talker", "--since", "1h"]).lines().count(), 1);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(world.tell(&["logs", "talker", "--since", "10ms"]), "");
}
