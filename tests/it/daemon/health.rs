//! Health checks: every kind of check, the reports about unhealthy units, and the processes that checks leave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::daemon::world::{World, free_port, is_alive, pid_of, skipped, until};

/// A web server that answers 503 while the file `sick` exists.
const SERVER: &str = r#"#!/usr/bin/env python3
import http.server, os, sys
sick = os.environ["D"] + "/sick"
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists(sick) else 204)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"#;

/// The handshake of an X server: it refuses clients with another key than the file `key` has, and all clients when
/// there is no such file.
const X_SERVER: &str = r#"#!/usr/bin/env python3
import os, socket, struct, sys
path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.bind(path)
s.listen()
def exactly(c, n):
    data = b""
    while len(data) < n:
        more = c.recv(n - len(data))
        if not more:
            break
        data += more
    return data
while True:
    c, _ = s.accept()
    head = exactly(c, 12)
    if len(head) == 12:
        _, major, _, name, key = struct.unpack("<BxHHHHxx", head)
        padded = lambda n: exactly(c, (n + 3) & ~3)[:n]
        name, key = padded(name), padded(key)
        try:
            wanted = open(os.environ["D"] + "/key", "rb").read()
        except FileNotFoundError:
            wanted = None
        if major == 11 and name == b"MIT-MAGIC-COOKIE-1" and key == wanted:
            c.sendall(struct.pack("<BxHHH", 1, 11, 0, 0))
        else:
            why = b"No protocol specified\n"
            c.sendall(struct.pack("<BBHHH", 0, len(why), 11, 0, (len(why) + 3) // 4) + why + b"\0\0")
    c.close()
"#;

fn events(world: &World, unit: &str) -> Vec<Value> {
    let lines = world.tell(&["events", "--json", "-n", "1000"]);
    let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["unit"] == unit).collect()
}

#[test]
fn an_unhealthy_unit_stays_ready_and_says_so_everywhere_until_it_is_healthy_again() {
    let (port, door) = (free_port(), free_port());
    let mut world = World::new();
    world.script("server", SERVER);
    let url = format!("http://127.0.0.1:{port}/health");
    world.service(
        "web",
        &format!(
            "command = [\"@D/server\", \"{port}\"]\nready = {{ kind = \"http\", url = \"{url}\" }}\n\
             health = {{ kind = \"http\", url = \"{url}\", period = \"500ms\", action = \"none\" }}\n\
             [route]\nlisten = \"{door}\"\nupstream = \"127.0.0.1:{port}\""
        ),
    );
    world.service("plain", "@polite");
    world.start();
    world.until_up();
    let before = world.unit("web");
    assert_eq!((&before["health"], &world.unit("plain")["health"]), (&"healthy".into(), &Value::Null));
    assert_eq!(world.cli(&["health"]).code, 0);
    world.write("sick", "");
    let sick =
        until("it is unhealthy", || Some(world.unit("web")).filter(|web| web["health"] == "unhealthy"));
    let reason = format!("unhealthy: {url}: status 503 Service Unavailable");
    assert_eq!((&sick["state"], &sick["reason"]), (&"ready".into(), &reason.as_str().into()));
    let health = world.cli(&["health"]);
    assert_eq!((health.code, health.out.contains(&reason)), (1, true), "{health:?}");
    assert!(world.tell(&["status", "web"]).contains(&reason));
    world.until_said(&format!("web is ready: {reason}"));
    fs::remove_file(world.path("sick")).unwrap();
    let well = until("it is healthy", || Some(world.unit("web")).filter(|web| web["health"] == "healthy"));
    assert_eq!((&well["pid"], &well["reason"], &well["restarts"]), (&before["pid"], &"".into(), &0.into()));
    let told: Vec<(String, String)> = events(&world, "web")
        .iter()
        .filter(|event| event["from"] == "ready")
        .map(|event| (event["health"].to_string(), event["reason"].as_str().unwrap().to_owned()))
        .collect();
    let expected =
        [("\"unhealthy\"".to_owned(), reason), ("\"healthy\"".to_owned(), "healthy again".to_owned())];
    assert_eq!(told, expected);
}

#[test]
fn an_unhealthy_unit_is_restarted_and_at_last_given_up() {
    let world = World::running(&[
        (
            "frail",
            "@polite\nrestart-limit = 2\nhealth = { kind = \"exec\", command = [\"test\", \"!\", \"-e\", \"@D/sick\"], period = \"1s\", threshold = 2 }",
        ),
        ("needy", "@polite\nneeds = [\"frail\"]"),
    ]);
    world.until_up();
    world.write("sick", "");
    let failed = world.until_state("frail", "failed");
    let reason =
        format!("unhealthy: /usr/bin/test ! -e {}: exit code 1, 2 times", world.path("sick").display());
    assert_eq!((failed["reason"].as_str(), &failed["restarts"]), (Some(reason.as_str()), &1.into()));
    assert_eq!(failed["health"], Value::Null);
    let needy =
        until("the dependent waits", || Some(world.unit("needy")).filter(|unit| unit["state"] == "waiting"));
    assert_eq!(needy["reason"], "for frail (failed)");
    fs::remove_file(world.path("sick")).unwrap();
    world.tell(&["start", "--wait", "frail", "needy"]);
    assert_eq!(world.until_state("frail", "ready")["health"], "healthy");
}

#[test]
fn a_check_that_hangs_is_ended_with_all_that_it_started_and_there_is_one_at_a_time() {
    let world = World::new();
    // Writes `overlap` when a process of an earlier check still exists.
    world.script(
        "hang",
        "#!/bin/sh\nfor pid in $(cat \"$D/checks\" 2>/dev/null); do\n  kill -0 $pid 2>/dev/null && echo $pid >> \"$D/overlap\"\ndone\n\
         sleep 1000 &\necho $$ $! >> \"$D/checks\"\nwait\n",
    );
    let mut world = world;
    world.service(
        "service",
        "@polite\nhealth = { kind = \"exec\", command = [\"@D/hang\"], period = \"500ms\", timeout = \"300ms\", action = \"none\" }",
    );
    world.start();
    let unhealthy =
        until("it is unhealthy", || Some(world.unit("service")).filter(|unit| unit["health"] == "unhealthy"));
    assert!(unhealthy["reason"].as_str().unwrap().ends_with("/hang: no answer within 300ms"), "{unhealthy}");
    let checks = || -> Vec<Vec<i32>> {
        let text = world.read("checks");
        text.lines().map(|line| line.split(' ').map(|pid| pid.parse().unwrap()).collect()).collect()
    };
    let count = checks().len();
    let last = until("another check", || checks().get(count).filter(|pids| pids.len() == 2).cloned());
    // A stop in the middle of a check ends the check together with its unit.
    world.tell(&["stop", "--wait", "service"]);
    until("the check has ended", || (!last.iter().any(|pid| is_alive(*pid))).then_some(()));
    assert_eq!(world.read("overlap"), "");
    let alive: Vec<i32> = checks().concat().into_iter().filter(|pid| is_alive(*pid)).collect();
    assert!(alive.is_empty(), "{alive:?}");
}

/// A display number that no other process uses, and its socket's folder for as long as the test runs.
/// A free number of a display of this machine.
pub struct Display {
    number: u32,
    made: bool,
}

const SOCKETS: &str = "/tmp/.X11-unix";

impl Display {
    pub fn new() -> Option<Self> {
        let made = fs::create_dir(SOCKETS).is_ok();
        if made {
            fs::set_permissions(SOCKETS, PermissionsExt::from_mode(0o1777)).unwrap();
        }
        let number = 20_000 + u32::from(free_port());
        Path::new(SOCKETS).is_dir().then_some(Self { number, made })
    }

    pub fn number(&self) -> u32 {
        self.number
    }

    fn socket(&self) -> PathBuf {
        Path::new(SOCKETS).join(format!("X{}", self.number))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        if self.made {
            // Another test may have put a socket there meanwhile.
            let _ = fs::remove_dir(SOCKETS);
        }
    }
}

/// One record of an `Xauthority` file: the key for every display.
pub fn authority(key: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xff];
    for field in [b"", b"", &b"MIT-MAGIC-COOKIE-1"[..], key] {
        bytes.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
        bytes.extend(field);
    }
    bytes
}

#[test]
fn an_x_server_is_ready_when_it_accepts_and_unhealthy_when_frozen() {
    let Some(display) = Display::new() else { return skipped("there is no /tmp/.X11-unix") };
    let mut world = World::new();
    world.script("x", X_SERVER);
    let (number, socket) = (display.number, display.socket().display().to_string());
    let x11 = format!("kind = \"x11\", display = \":{number}\", xauthority = \"@D/authority\"");
    world.service(
        "screen",
        &format!(
            "command = [\"@D/x\", \"{socket}\"]\nready = {{ {x11} }}\nstop-timeout = \"1s\"\n\
             health = {{ {x11}, period = \"1s\" }}"
        ),
    );
    world.service(
        "refused",
        &format!(
            "command = [\"sleep\", \"1000\"]\nneeds = [\"screen\"]\nready = {{ kind = \"x11\", display = \":{number}\", xauthority = \"@D/none\" }}\nstart-timeout = \"2s\"\nrestart = \"never\""
        ),
    );
    fs::write(world.path("authority"), authority(b"sesame")).unwrap();
    world.start();
    // The socket accepts connections, which is not enough for readiness.
    until("the socket exists", || display.socket().exists().then_some(()));
    for _ in 0..10 {
        assert_eq!(world.unit("screen")["state"], "starting");
        std::thread::sleep(Duration::from_millis(10));
    }
    world.write("key", "sesame");
    let before = world.until_state("screen", "ready");
    let refused = world.until_state("refused", "failed");
    assert_eq!(
        refused["reason"].as_str().unwrap(),
        format!(
            "it was not ready within 2s: display :{number}: the server refused: No protocol specified (without a key: {}: No such file or directory)",
            world.path("none").display()
        )
    );
    kill(Pid::from_raw(pid_of(&before)), Signal::SIGSTOP).unwrap();
    let after = world.until_replaced("screen", &before);
    assert_eq!(after["restarts"], 1);
    let why = format!("unhealthy: display :{number}: no answer within 1s");
    assert!(events(&world, "screen").iter().any(|event| event["reason"] == why.as_str()));
    // The folder may be removed only after its contents.
    world.end();
}

#[test]
fn a_real_x_server_accepts_only_its_key() {
    let (Some(display), true) = (Display::new(), Command::new("Xvfb").arg("-help").output().is_ok()) else {
        return skipped("Xvfb is not installed");
    };
    let mut world = World::new();
    let number = display.number;
    for name in ["authority", "other"] {
        fs::write(world.path(name), authority(format!("{name:.<16}").as_bytes())).unwrap();
    }
    let ready =
        |file: &str| format!("{{ kind = \"x11\", display = \":{number}\", xauthority = \"@D/{file}\" }}");
    world.service(
        "screen",
        &format!(
            "command = [\"Xvfb\", \":{number}\", \"-auth\", \"@D/authority\", \"-nolisten\", \"tcp\", \"-noreset\"]\nready = {}",
            ready("authority")
        ),
    );
    world.service(
        "stranger",
        &format!(
            "command = [\"sleep\", \"1000\"]\nneeds = [\"screen\"]\nready = {}\nstart-timeout = \"2s\"\nrestart = \"never\"",
            ready("other")
        ),
    );
    world.start();
    world.until_state("screen", "ready");
    let reason = world.until_state("stranger", "failed")["reason"].to_string();
    assert!(reason.contains("the server refused: "), "{reason}");
    world.end();
}

#[test]
fn the_last_failed_check_is_the_reason_for_not_ready() {
    let port = free_port();
    let mut world = World::new();
    let slow = |ready: &str| {
        format!(
            "command = [\"sleep\", \"1000\"]\nstart-timeout = \"2s\"\nrestart = \"never\"\nready = {{ {ready} }}"
        )
    };
    for (name, ready) in [
        ("http", format!("kind = \"http\", url = \"http://127.0.0.1:{port}/api/health\"")),
        ("tcp", format!("kind = \"tcp\", address = \"127.0.0.1:{port}\"")),
        ("socket", "kind = \"socket\", path = \"/no/such/socket\"".into()),
        ("file", "kind = \"file\", path = \"/no/such/file\"".into()),
        ("exec", "kind = \"exec\", command = [\"false\"]".into()),
        ("hangs", "kind = \"exec\", command = [\"sleep\", \"7\"]".into()),
        ("log", "kind = \"log\", pattern = \"up$\"".into()),
        ("fd", "kind = \"fd\"".into()),
        ("delay", "kind = \"delay\", time = \"1m\"".into()),
    ] {
        world.service(name, &slow(&ready));
    }
    world.service("notify", &slow("kind = \"notify\"").replace("[\"sleep\", \"1000\"]", "[\"@D/nearly\"]"));
    world.script(
        "nearly",
        "#!/usr/bin/env python3\nimport os, socket, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         s.sendto(b'STATUS=loading \\x1b[1mfonts', os.environ['NOTIFY_SOCKET'])\ntime.sleep(1000)\n",
    );
    world.start();
    for (name, told) in [
        ("http", format!("2s: http://127.0.0.1:{port}/api/health: Connection refused")),
        ("tcp", format!("2s: 127.0.0.1:{port}: Connection refused")),
        ("socket", "2s: /no/such/socket: No such file or directory".into()),
        ("file", "2s: /no/such/file: there is no such file".into()),
        ("exec", "/false: exit code 1".into()),
        ("hangs", "/sleep 7: it has not ended".into()),
        ("log", "2s: no line of its output matched \"up$\"".into()),
        ("fd", "2s: no newline came on descriptor 3".into()),
        ("delay", "2s: it counts as ready only after 60s".into()),
        ("notify", "2s: no READY=1 came; it said \"loading [1mfonts\"".into()),
    ] {
        let reason = world.until_state(name, "failed")["reason"].as_str().unwrap().to_owned();
        assert!(
            reason.starts_with("it was not ready within ") && reason.ends_with(&told),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_units_status_text_is_shown_to_all_users() {
    let mut world = World::new();
    world.script(
        "talker",
        "#!/usr/bin/env python3\nimport os, socket, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         s.connect(os.environ['NOTIFY_SOCKET'])\ns.send(b'READY=1\\nSTATUS=serving hunter-secret')\n\
         s.send(b'RELOADING=1\\nMAINPID=1\\nERRNO=2\\nWATCHDOG=1')\n\
         while not os.path.exists(os.environ['D'] + '/go'): time.sleep(0.01)\n\
         s.send(b'STATUS=later\\nSTOPPING=1')\ntime.sleep(1000)\n",
    );
    world.service("talker", "command = [\"@D/talker\"]\nready = { kind = \"notify\" }");
    world.env("WEB_PASSWORD", "hunter-secret");
    world.start();
    let says =
        |text: &str| until(text, || Some(world.unit("talker")).filter(|unit| unit["status_text"] == text));
    let before = says("serving ******");
    assert!(world.tell(&["status", "talker"]).contains("  says:      serving ******\n"));
    world.write("go", "");
    let after = says("later");
    assert_eq!((&after["state"], &after["pid"]), (&"ready".into(), &before["pid"]));
    world.tell(&["stop", "--wait", "talker"]);
    // The event that `--wait` waits for comes before the snapshot is updated.
    assert_eq!(world.until_state("talker", "stopped")["status_text"], "");
    assert!(!world.path("run/notify/talker").exists());
}

#[test]
fn the_last_lines_of_a_failed_service_are_shown_with_its_reason() {
    let world = World::running(&[(
        "broken",
        "command = [\"/bin/sh\", \"-c\", \"i=0; while [ $$i -lt 30 ]; do i=$$((i+1)); echo line $$i; done; exit 3\"]\nrestart = \"never\"",
    )]);
    world.until_state("broken", "failed");
    world.until_written("log/broken.log", "line 30");
    let text = world.tell(&["status", "broken"]);
    assert!(text.contains("reason:    it ended with exit code 3\n"), "{text}");
    let shown: Vec<&str> = text.lines().filter(|line| line.contains("Z  line ")).collect();
    assert_eq!(
        (shown.len(), shown[0].ends_with("  line 11"), shown[19].ends_with("  line 30")),
        (20, true, true)
    );
    let json: Value = serde_json::from_str(&world.tell(&["status", "--json", "broken"])).unwrap();
    let unit = &json[0];
    assert_eq!((&unit["state"], unit["log"].as_array().unwrap().len()), (&"failed".into(), 20), "{json}");
    assert_eq!(unit["log"][19]["text"], "line 30");
}
