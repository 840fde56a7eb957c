//! The command line: commands that people type, and output and exit codes that scripts rely on.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::daemon::world::{World, find, is_root, pid_of, skipped, until};

#[test]
fn services_are_started_stopped_and_restarted_by_name_and_alias() {
    let world = World::running(&[
        ("desktop", "@polite\naliases = [\"kde\", \"plasma\"]\ndescription = \"the desktop\""),
        ("lazy", "@polite\nautostart = false"),
    ]);
    world.until_state("desktop", "ready");
    world.until_written("order", "desktop up");
    assert_eq!(world.unit("lazy")["state"], "stopped");
    assert_eq!(world.tell(&["stop", "kde"]), "stop: desktop\n");
    world.until_state("desktop", "stopped");
    assert_eq!(world.tell(&["start", "plasma", "lazy"]), "start: desktop, lazy\n");
    let before = world.until_state("desktop", "ready");
    world.until_state("lazy", "ready");
    let answer: serde_json::Value = serde_json::from_str(&world.tell(&["restart", "kde", "--json"])).unwrap();
    assert_eq!(answer["units"][0], "desktop");
    let after = world.until_replaced("desktop", &before);
    assert_eq!(after["restarts"], 0);
    // Starting a running service changes nothing.
    world.tell(&["start", "desktop"]);
    assert_eq!(world.unit("desktop")["pid"], after["pid"]);
    let table = world.tell(&["status"]);
    assert!(table.starts_with("ready to use · 2 of 2 ready\nNAME"), "{table}");
    let row = table.lines().find(|line| line.starts_with("desktop")).unwrap();
    assert!(row.contains("ready") && row.contains(&pid_of(&after).to_string()), "{row}");
    let json: serde_json::Value = serde_json::from_str(&world.tell(&["status", "--json"])).unwrap();
    assert_eq!(find(&json, "desktop")["aliases"], serde_json::json!(["kde", "plasma"]));
    assert_eq!(world.cli(&["health"]).code, 0);
}

#[test]
fn a_wrong_name_gets_a_suggestion_and_changes_nothing() {
    let world = World::running(&[("desktop", "@polite\naliases = [\"kde\"]")]);
    let before = world.until_state("desktop", "ready");
    for verb in ["start", "stop", "restart"] {
        let answer = world.cli(&[verb, "kde", "desktob"]);
        assert_eq!(answer.code, 1, "{answer:?}");
        let expected = format!(
            "desktopd: no service is named 'desktob'; did you mean 'desktop'? desktopd {verb} desktop\n"
        );
        assert_eq!(answer.err, expected);
        assert_eq!(answer.out, "");
    }
    let answer = world.cli(&["logs", "desktob"]);
    assert_eq!((answer.code, answer.err.contains("did you mean 'desktop'?")), (1, true), "{answer:?}");
    assert_eq!(world.unit("desktop")["pid"], before["pid"]);
    for words in [&["stop"][..], &["no-such-command"], &["status", "--no-such-option"]] {
        assert_eq!(world.cli(words).code, 64, "{words:?}");
    }
    assert_eq!(world.cli(&["--help"]).code, 0);
}

#[test]
fn without_a_daemon_commands_say_so() {
    let world = World::new();
    for words in [&["status"][..], &["stop", "x"], &["logs"], &["health"]] {
        let answer = world.cli(words);
        assert_eq!(answer.code, 3, "{words:?}: {answer:?}");
        assert!(answer.err.contains("the daemon does not run here"), "{answer:?}");
    }
}

#[test]
fn logs_are_shown_followed_and_kept() {
    let world = World::running(&[(
        "talker",
        "aliases = [\"t\"]\ncommand = [\"/bin/sh\", \"-c\", \"echo one; echo two >&2; printf 'caf\\\\303\\\\251 \\\\377\\\\n'; while [ ! -e $$D/go ]; do sleep 0.02; done; printf 'three\\nunfinished'; exec sleep 1000\"]",
    )]);
    world.until_said("talker | two");
    until("three lines", || (world.log("talker").lines().count() == 3).then_some(()));
    assert_eq!(world.log("talker"), "one\ntwo\ncafé \u{fffd}\n");
    let shown = world.tell(&["logs", "t", "-n", "2"]);
    let texts: Vec<&str> = shown.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(texts, ["two", "café \u{fffd}"]);
    let mut follower = world.cli_beside(&["logs", "-f", "talker", "-n", "1"]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with(" café \u{fffd}"));
    world.write("go", "");
    assert!(lines.next().unwrap().unwrap().ends_with(" three"));
    world.tell(&["stop", "talker"]);
    // A last line without a newline is shown when its writer has ended.
    assert!(lines.next().unwrap().unwrap().ends_with(" unfinished"));
    follower.kill().unwrap();
    follower.wait().unwrap();
    let file = world.until_written("log/talker.log", "unfinished\n");
    assert_eq!(file.lines().count(), 5, "{file}");
    let all = world.tell(&["logs"]);
    assert!(
        all.contains(" desktopd | ") && all.contains(" talker   | one"),
        "all logs are the default: {all}"
    );
}

#[test]
fn a_second_daemon_leaves_the_first_alone() {
    let mut world = World::running(&[("service", "@polite")]);
    let before = world.until_state("service", "ready");
    let second = world.cli(&["init"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("desktopd already runs here"), "{second:?}");
    assert_eq!(world.unit("service")["pid"], before["pid"]);
    assert_eq!(world.tell(&["stop", "service"]), "stop: service\n");
    world.end();
}

#[test]
fn the_socket_of_a_dead_daemon_is_taken_over() {
    let mut world = World::of(&[("service", "@polite")]);
    fs::create_dir(world.path("run")).unwrap();
    drop(UnixListener::bind(world.path("run/control.sock")).unwrap());
    world.start();
    let first = pid_of(&world.until_state("service", "ready"));
    // SIGKILL: the daemon cannot clean up.
    world.signal(Signal::SIGKILL);
    assert_eq!(world.ended().code(), None);
    world.start();
    let second = pid_of(&world.until_state("service", "ready"));
    assert_ne!(first, second);
    // The killed daemon's processes have no owner any more; the test kills them itself.
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(first), Signal::SIGKILL).unwrap();
}

#[test]
fn a_run_folder_of_another_user_is_refused() {
    if !is_root() {
        return skipped("only root can make a folder of another user");
    }
    let mut world = World::new();
    fs::create_dir(world.path("run")).unwrap();
    nix::unistd::chown(&world.path("run"), Some(65534.into()), None).unwrap();
    world.spawn();
    assert_eq!(world.ended().code(), Some(1));
    world.until_said("it belongs to user 65534, not to the user that desktopd runs as");
}

#[test]
fn other_users_may_read_but_not_change() {
    if !is_root() {
        return skipped("only root can ask as another user");
    }
    let mut world = World::of(&[("service", "@polite")]);
    world.as_user(65534);
    world.start();
    let pid = pid_of(&world.until_state("service", "ready"));
    // The socket's mode keeps other users out altogether.
    let stranger = Command::new("setpriv")
        .args(["--reuid=12345", "--regid=12345", "--clear-groups"])
        .arg(world.path("desktopd"))
        .args(["--config".as_ref(), world.path("").as_os_str(), "status".as_ref()])
        .output()
        .unwrap();
    assert_eq!(stranger.status.code(), Some(3), "{stranger:?}");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("Permission denied"), "{stranger:?}");
    assert_eq!(pid_of(&world.unit("service")), pid);
}

#[test]
fn a_flood_of_output_does_not_delay_commands() {
    let mut world = World::of(&[
        (
            "flood",
            "command = [\"/bin/sh\", \"-c\", \"exec yes 'a line of a flood that does not end by itself'\"]",
        ),
        ("quiet", "@polite"),
    ]);
    fs::write(world.path("desktopd.toml"), {
        let old = world.read("desktopd.toml");
        format!("{old}[logs]\nfile-size = \"64KiB\"\nfiles = 1\n")
    })
    .unwrap();
    world.start();
    world.until_up();
    until("it is flooded", || world.path("log/flood.log.1").exists().then_some(()));
    let began = std::time::Instant::now();
    world.tell(&["restart", "quiet"]);
    world.until_up();
    world.tell(&["stop", "flood"]);
    world.until_state("flood", "stopped");
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    // Output from before the stop may still be in the pipe, and the log may be rotated meanwhile.
    let size = |name: &str| fs::metadata(world.path(name)).map_or(0, |found| found.len());
    assert!(size("log/flood.log") <= 64 << 10 && size("log/flood.log.1") <= 64 << 10);
    assert!(!world.path("log/flood.log.2").exists());
    // The console file grew very large; nothing of it is needed.
    File::create(world.path("console")).unwrap();
}
