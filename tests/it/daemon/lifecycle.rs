//! The life cycle of units: start order, kinds of readiness, crashes, restarts, and giving up.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{World, find, free_port, is_alive, pid_of, until};

#[test]
fn units_start_in_order_and_stop_in_reverse() {
    let mut world = World::running(&[
        ("desktop", "@polite\nneeds = [\"screen\"]"),
        ("screen", "@polite\nneeds = [\"bus\", \"prepare\"]"),
        ("bus", "@polite"),
        ("prepare", "command = [\"/bin/sh\", \"-c\", \"echo prepared >> $$D/order\"]\ntype = \"oneshot\""),
    ]);
    world.until_up();
    world.until_written("order", "desktop up");
    let order = world.order();
    let place = |line: &str| {
        order.iter().position(|found| found == line).unwrap_or_else(|| panic!("{line}: {order:?}"))
    };
    assert!(place("prepared") < place("screen up") && place("bus up") < place("screen up"), "{order:?}");
    assert!(place("screen up") < place("desktop up"), "{order:?}");
    assert_eq!(world.unit("prepare")["state"], "done");
    world.end();
    let order = world.order();
    let downs: Vec<_> = order.iter().filter(|line| line.ends_with("down")).collect();
    assert_eq!(downs, ["desktop down", "screen down", "bus down"]);
}

/// A program that becomes ready when the file `go` appears; its argument is the kind of readiness.
const READY: &str = r#"#!/usr/bin/env python3
import http.server, os, socket, sys, time
how = sys.argv[1]
go = os.environ["D"] + "/go"
def wait():
    while not os.path.exists(go):
        time.sleep(0.01)
if how == "notify":
    assert "NOTIFY_SOCKET" in os.environ
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(os.environ["NOTIFY_SOCKET"])
    s.send(b"STATUS=nearly")
    wait()
    s.send(b"STATUS=there\nREADY=1\n")
else:
    assert "NOTIFY_SOCKET" not in os.environ
if how == "fd":
    fd = int(sys.argv[2])
    os.write(fd, b"no line yet")
    wait()
    os.write(fd, b"\n")
elif how == "socket":
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(sys.argv[2])
    wait()
    s.listen()
elif how == "tcp":
    s = socket.socket()
    s.bind(("127.0.0.1", int(sys.argv[2])))
    wait()
    s.listen()
elif how == "http":
    class H(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204 if os.path.exists(go) else 503)
            self.end_headers()
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), H).serve_forever()
elif how == "file":
    wait()
    open(sys.argv[2], "w").close()
elif how == "log":
    print("not listening yet", flush=True)
    wait()
    print("listening on port 7", flush=True)
time.sleep(1000)
"#;

#[test]
fn each_kind_of_readiness_is_detected_and_not_too_early() {
    let (tcp, http) = (free_port(), free_port());
    let mut world = World::new();
    world.script("ready", READY);
    let kinds: [(&str, String, String); 9] = [
        ("notify", String::new(), String::new()),
        ("fd", ", \"${ready-fd}\"".into(), String::new()),
        ("socket", ", \"@D/socket\"".into(), ", path = \"@D/socket\"".into()),
        ("tcp", format!(", \"{tcp}\""), format!(", address = \"127.0.0.1:{tcp}\"")),
        ("http", format!(", \"{http}\""), format!(", url = \"http://127.0.0.1:{http}/health\"")),
        ("file", ", \"@D/file\"".into(), ", path = \"@D/file\"".into()),
        ("log", String::new(), ", pattern = \"^listening on port [0-9]+$\"".into()),
        ("exec", String::new(), ", command = [\"test\", \"-e\", \"@D/go\"]".into()),
        ("started", String::new(), String::new()),
    ];
    for (kind, argument, details) in &kinds {
        let text = format!(
            "command = [\"@D/ready\", \"{kind}\"{argument}]\nready = {{ kind = \"{kind}\"{details} }}"
        );
        world.service(kind, &text);
    }
    world.start();
    world.until_state("started", "ready");
    // All programs have had the time to start, and to be mistaken for ready.
    until("the socket exists", || world.path("socket").exists().then_some(()));
    for _ in 0..10 {
        let status = world.status();
        for (kind, ..) in &kinds[..8] {
            assert_eq!(find(&status, kind)["state"], "starting", "{kind}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    world.write("go", "");
    world.until_up();
}

#[test]
fn a_unit_with_a_readiness_delay_counts_as_ready_after_it() {
    let world = World::running(&[
        ("silent", "command = [\"sleep\", \"1000\"]\nready = { kind = \"delay\", time = \"300ms\" }"),
        ("behind", "@polite\nneeds = [\"silent\"]"),
    ]);
    world.until_up();
    let began = world.status()["started_at"].as_i64().unwrap();
    assert!(world.unit("silent")["since"].as_i64().unwrap() - began >= 300);
}

#[test]
fn not_ready_in_time_is_a_failure_with_a_reason() {
    let world = World::running(&[(
        "slow",
        "command = [\"sleep\", \"1000\"]\nready = { kind = \"fd\" }\nstart-timeout = \"200ms\"\nrestart-limit = 1",
    )]);
    let slow = world.until_state("slow", "failed");
    // On a busy machine the program may not even have started.
    let reason = slow["reason"].as_str().unwrap();
    assert!(reason.starts_with("it was not ready within 200ms: "), "{reason}");
}

#[test]
fn a_killed_unit_is_restarted_at_once() {
    let world = World::running(&[("service", "@polite"), ("user-of-it", "@polite\nneeds = [\"service\"]")]);
    world.until_up();
    world.until_written("order", "user-of-it up");
    let before = world.unit("service");
    let began = Instant::now();
    kill(Pid::from_raw(pid_of(&before)), Signal::SIGKILL).unwrap();
    let after = world.until_replaced("service", &before);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(after["restarts"], 1);
    world.until_said("service is starting: it ended with signal SIGKILL");
    let up = world.until_up();
    assert_eq!(find(&up, "user-of-it")["restarts"], 0);
    until("both have started twice", || (world.order().len() == 5).then_some(()));
    assert_eq!(
        world.order(),
        ["service up", "user-of-it up", "user-of-it down", "service up", "user-of-it up"]
    );
}

#[test]
fn a_crash_loop_ends_with_a_reason_and_a_start_resets_it() {
    let world = World::running(&[
        ("loop", "command = [\"/bin/sh\", \"-c\", \"echo last words; exit 7\"]\nrestart-limit = 3"),
        ("needy", "@polite\nneeds = [\"loop\"]"),
        ("fine", "@polite"),
    ]);
    let unit = world.until_state("loop", "failed");
    assert_eq!(unit["reason"], "it ended with exit code 7, 3 times");
    assert_eq!(unit["restarts"], 2);
    assert_eq!(world.log("loop"), "last words\n".repeat(3));
    assert_eq!(world.unit("fine")["state"], "ready");
    // A service that never was ready long enough was ready for a moment: a unit that needs it has been up as well.
    until("the dependent waits", || {
        let needy = world.unit("needy");
        (needy["state"] == "waiting" && needy["reason"] == "for loop (failed)").then_some(())
    });
    world.tell(&["start", "loop"]);
    world.until("it fails again", |status| {
        let unit = find(status, "loop");
        unit["restarts"] == 4 && unit["state"] == "failed"
    });
}

#[test]
fn exits_of_all_kinds_are_reported_with_their_reason() {
    let world = World::running(&[
        ("code", "command = [\"/bin/sh\", \"-c\", \"exit 255\"]\nrestart = \"never\""),
        ("real-time", "command = [\"/bin/sh\", \"-c\", \"kill -40 $$$$\"]\nrestart = \"never\""),
        ("well", "command = [\"true\"]\nrestart = \"on-failure\""),
    ]);
    assert_eq!(world.until_state("code", "failed")["reason"], "it ended with exit code 255");
    assert_eq!(world.until_state("real-time", "failed")["reason"], "it ended with signal 40");
    assert_eq!(world.until_state("well", "stopped")["reason"], "it ended with exit code 0");
}

#[test]
fn a_failed_exec_names_the_file_and_the_error() {
    let mut world = World::new();
    world.service("no-folder", "command = [\"true\"]\ndirectory = \"/no/such/folder\"\nrestart-limit = 1");
    world.service("no-program", "command = [\"no-such-program-here\"]");
    world.service("no-file", "command = [\"@D/missing\"]");
    world.script("bad-interpreter", "#!/no/such/interpreter\n");
    world.service("bad-interpreter", "command = [\"@D/bad-interpreter\"]\nrestart-limit = 1\ncontain = true");
    world.service("needy", "@polite\nneeds = [\"no-program\"]");
    world.service("fine", "@polite");
    world.start();
    let reason =
        |name: &str, state: &str| world.until_state(name, state)["reason"].as_str().unwrap().to_owned();
    assert_eq!(
        reason("no-folder", "failed"),
        "changing to the folder /no/such/folder: No such file or directory"
    );
    let interpreter = world.path("bad-interpreter").display().to_string();
    assert_eq!(
        reason("bad-interpreter", "failed"),
        format!("exec {interpreter}, or rather its interpreter: No such file or directory")
    );
    let skipped = reason("no-program", "skipped");
    let file = world.path("services/no-program.toml").display().to_string();
    assert!(
        skipped.starts_with(&format!("{file}: command: \"no-such-program-here\" is not installed")),
        "{skipped}"
    );
    assert!(reason("no-file", "skipped").contains("/missing\" is not installed, or not executable"));
    assert_eq!(reason("needy", "skipped"), "it needs no-program, which is skipped");
    world.until_state("fine", "ready");
    assert_eq!(world.cli(&["start", "no-program"]).code, 1);
}

#[test]
fn a_restart_also_restarts_dependents_and_followers() {
    let world = World::running(&[
        ("screen", "@polite"),
        ("desktop", "@polite\nneeds = [\"screen\"]"),
        ("stream", "@polite\nfollows = [\"screen\"]"),
        ("other", "@polite"),
        (
            "access",
            "command = [\"/bin/sh\", \"-c\", \"echo access >> $$D/order\"]\ntype = \"oneshot\"\nneeds = [\"screen\"]\nfollows = [\"screen\"]",
        ),
    ]);
    world.until_up();
    until("all are up", || (world.order().len() == 5).then_some(()));
    let other = world.unit("other");
    world.tell(&["restart", "screen"]);
    until("all are back", || (world.order().len() == 12).then_some(()));
    let order = world.order();
    let after = &order[5..];
    let place = |line: &str| {
        after.iter().position(|found| found == line).unwrap_or_else(|| panic!("{line}: {order:?}"))
    };
    assert!(place("desktop down") < place("screen down"), "{order:?}");
    assert!(place("screen down") < place("screen up"), "{order:?}");
    assert!(place("screen up") < place("desktop up"), "{order:?}");
    assert!(place("screen up") < place("stream down"), "{order:?}");
    assert!(place("stream down") < place("stream up"), "{order:?}");
    assert!(place("screen up") < place("access"), "{order:?}");
    let up = world.until_up();
    assert_eq!(find(&up, "other")["pid"], other["pid"]);
    assert!(
        ["screen", "desktop", "stream", "access"].iter().all(|name| find(&up, name)["restarts"] == 0),
        "{up}"
    );
}

#[test]
fn a_stop_during_start_and_during_back_off_is_final() {
    let world = World::running(&[
        ("starting", "command = [\"sleep\", \"1000\"]\nready = { kind = \"fd\" }"),
        ("contained", "command = [\"sleep\", \"1000\"]\nready = { kind = \"fd\" }\ncontain = true"),
        ("failing", "command = [\"false\"]\nrestart-limit = \"none\""),
        ("waiting", "@polite\nneeds = [\"starting\"]"),
    ]);
    world.until_state("failing", "backoff");
    let pids = ["starting", "contained"].map(|name| {
        pid_of(&until("it has a process", || Some(world.unit(name)).filter(|unit| unit["pid"].is_number())))
    });
    let began = Instant::now();
    world.tell(&["stop", "starting", "contained", "failing", "waiting"]);
    let asked = format!("uid {} asked for it", nix::unistd::Uid::effective());
    for name in ["starting", "contained", "failing", "waiting"] {
        assert_eq!(world.until_state(name, "stopped")["reason"], asked.as_str(), "{name}");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(!pids.into_iter().any(is_alive));
    assert_eq!(world.status()["up"], true);
}

/// The stop may come at any moment of a start: the process may not have executed the service's program yet.
#[test]
fn a_stop_right_after_a_start_is_not_lost() {
    let world = World::running(&[
        ("plain", "@polite\nautostart = false"),
        ("contained", "@polite\nautostart = false\ncontain = true"),
    ]);
    for _ in 0..5 {
        world.tell(&["start", "plain", "contained"]);
        let began = Instant::now();
        world.tell(&["stop", "plain", "contained"]);
        world.until_state("plain", "stopped");
        world.until_state("contained", "stopped");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
}
