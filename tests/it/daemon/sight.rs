//! The reported state of a desktop agrees with what people would see: in `health`, `status`, at `/desktopd/ready`, in
//! the metrics and on the port itself, whichever of its services is stopped, failed or frozen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::io::{Read, Write};
use std::net::TcpStream;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use serde_json::Value;

use crate::daemon::world::{PATIENCE, World, free_port, pid_of, until};

/// A stream's page server, and a server that sends its version first as VNC's does.
const SERVER: &str = r#"#!/usr/bin/env python3
import http.server, os, socket, sys, threading
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the stream")
    def log_message(self, *_):
        pass
def banner():
    s = socket.socket(socket.AF_UNIX)
    s.bind(os.environ["D"] + "/%s.sock" % sys.argv[2])
    s.listen()
    while True:
        c, _ = s.accept()
        try:
            c.sendall(b"RFB 003.008\n")
        except OSError:
            # A client that only probed the port has closed the connection.
            pass
        c.close()
threading.Thread(target=banner, daemon=True).start()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"#;

const TOKEN: &str = "Authorization: Bearer t0ken\r\n";
const PERSON: &str = "Authorization: Bearer t0ken\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n";

/// Sends a request: the answer's status code and its whole text.
fn ask(port: u16, request: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let rest = format!("Host: localhost:{port}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(format!("{request} HTTP/1.1\r\n{rest}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), answer)
}

fn json(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// `stream` shows `desk`; both need `screen`. A test can freeze each of them; a service that is killed is not
/// restarted.
struct Desktop {
    world: World,
    port: u16,
}

impl Desktop {
    fn new() -> Self {
        let mut world = World::new();
        world.script("server", SERVER);
        let door = free_port();
        for (name, more) in [
            ("screen", ""),
            ("desk", "needs = [\"screen\"]"),
            ("stream", "needs = [\"screen\"]\naliases = [\"selkies\"]"),
        ] {
            let port = free_port();
            let route = format!(
                "[route]\ntitle = \"Desktop\"\nlisten = \"{door}\"\nupstream = \"127.0.0.1:{port}\"\nshows = [\"desk\"]"
            );
            let socket = format!("path = \"@D/{name}.sock\"");
            world.service(
                name,
                &format!(
                    "command = [\"/bin/sh\", \"-c\", \"rm -f @D/{name}.sock; exec @D/server {port} {name}\"]\n\
                     restart = \"never\"\nstop-timeout = \"1s\"\n{more}\n\
                     ready = {{ kind = \"socket\", {socket} }}\n\
                     health = {{ kind = \"banner\", {socket}, expect = \"RFB \", period = \"1s\", retry = \"200ms\", \
                     timeout = \"500ms\", threshold = 2, action = \"none\" }}\n{}",
                    if name == "stream" { route.as_str() } else { "" }
                ),
            );
        }
        world.service("unused", "@polite\nautostart = false");
        world.env("WEB_USER", "ada").env("WEB_PASSWORD", "a-long-passw0rd").env("WEB_TOKEN", "t0ken").start();
        let desktop = Self { world, port: door };
        desktop.is_well();
        desktop
    }

    fn is_well(&self) {
        self.world.until("the desktop is ready", |status| status["ready"] == true);
        assert_eq!(self.world.tell(&["health"]), "healthy\n");
        let summary = self.world.status()["summary"].clone();
        assert_eq!(summary, "ready to use · 3 of 3 ready", "units that are not in use do not count");
        assert_eq!(ask(self.world.port(), "GET /desktopd/ready", "").0, 200);
        assert_eq!(ask(self.port, "GET /desktopd/ready", "").0, 200);
        let (status, page) = ask(self.port, "GET /", PERSON);
        assert!(status == 200 && page.contains("the stream"), "{page}");
    }

    /// Checks that every interface reports that people see nothing because of `unit`, and contains `words`.
    fn reports(&self, unit: &str, sight: &str, words: &str, headline: &str) {
        let what = format!("{unit} is {sight}");
        let status = self.world.until(&what, |status| status["routes"][1]["seen"]["sight"] == sight);
        let seen = &status["routes"][1]["seen"];
        assert_eq!((&seen["unit"], &status["ready"]), (&unit.into(), &false.into()), "{what}: {status:#}");
        assert!(seen["text"].as_str().unwrap().contains(words), "{what}: {seen}");
        let summary = format!("1 {sight}: {unit} · ");
        assert!(status["summary"].as_str().unwrap().contains(&summary), "{what}: {}", status["summary"]);
        let health = self.world.cli(&["health"]);
        assert!(health.code == 1 && health.out.contains(words), "{what}: {health:?}");
        let shown = self.world.page();
        let first = shown.lines().next().unwrap();
        assert!(first.contains(&summary), "{what}: {shown}");
        assert!(shown.contains("not ready: Desktop: ") && shown.contains(words), "{what}: {shown}");

        // Liveness is another question: the daemon is alive. A client without a login gets no details.
        for port in [self.world.port(), self.port] {
            assert_eq!(ask(port, "GET /desktopd/health", "").0, 200, "{what}");
            let (code, stranger) = ask(port, "GET /desktopd/ready", "");
            assert_eq!((code, json(&stranger)), (503, serde_json::json!({ "ready": false })), "{what}");
            let guess = "Authorization: Bearer guess\r\n";
            assert_eq!(
                json(&ask(port, "GET /desktopd/ready", guess).1),
                serde_json::json!({ "ready": false })
            );
            let (code, known) = ask(port, "GET /desktopd/ready", TOKEN);
            let known = json(&known);
            assert!(code == 503 && known["reason"].as_str().unwrap().contains(words), "{what}: {known}");
            assert_eq!(known["ways"][1]["state"], sight, "{what}: {known}");
        }
        let metrics = ask(self.world.port(), "GET /desktopd/metrics", TOKEN).1;
        let way = format!("desktopd_route_ready{{port=\"{}\",unit=\"stream\"}} 0\n", self.port);
        assert!(metrics.contains("\ndesktopd_ready 0\n") && metrics.contains(&way), "{what}: {metrics}");
        let (code, page) = ask(self.port, "GET /", PERSON);
        assert_eq!(code, 502, "{what}: {page}");
        assert!(page.contains(headline) && page.contains(words), "{what}: {page}");
        assert!(page.contains("Service portal</a> on port"), "the link to the portal: {page}");
    }

    fn signal(&self, unit: &str, signal: Signal) {
        kill(Pid::from_raw(pid_of(&self.world.unit(unit))), signal).unwrap();
    }
}

#[test]
fn a_stopped_service_is_shown_with_its_origin_and_a_button_starts_it() {
    let desktop = Desktop::new();
    let by = format!("was stopped by uid {}", Uid::effective());
    for unit in ["desk", "screen", "stream"] {
        desktop.world.tell(&["stop", "--wait", unit]);
        desktop.reports(unit, "stopped", &format!("{unit} {by}"), "Desktop is stopped");
        let health = desktop.world.cli(&["health", "--json"]).out;
        assert!(health.contains(&format!("{by}, at 20")), "{health}");
        let page = ask(desktop.port, "GET /", PERSON).1;
        assert!(page.contains(&format!("<button type=\"submit\">Start {unit}</button>")), "{page}");
        assert!(page.contains("since <time datetime=\"20") && !page.contains("opens it by itself"), "{page}");
        // A program, and an open page, reach the service as long as the service itself runs.
        let (code, answer) = ask(desktop.port, "GET /data", TOKEN);
        assert_eq!(code == 200, unit == "desk", "{answer}");
        let anyway = ask(desktop.port, "GET /?desktopd-anyway", PERSON).0;
        assert_eq!(anyway == 200, unit == "desk", "`desktopd-anyway` shows the service's page");

        let start = "POST /desktopd/wait/start";
        let foreign = format!("{TOKEN}Origin: http://elsewhere\r\n");
        for (headers, expected) in [("", 401), (foreign.as_str(), 403)] {
            assert_eq!(ask(desktop.port, start, headers).0, expected, "{headers}");
        }
        assert_eq!(desktop.world.unit(unit)["state"], "stopped", "the request without a login was refused");
        if unit == "stream" {
            // A form that is sent without the page's script leads back to the page.
            let (code, answer) = ask(desktop.port, start, PERSON);
            assert!(code == 303 && answer.contains("location: ../../\r\n"), "{answer}");
            desktop.is_well();
            desktop.world.tell(&["stop", "--wait", unit]);
        }
        let (code, answer) = ask(desktop.port, start, TOKEN);
        assert_eq!((code, &json(&answer)["units"][0]), (200, &unit.into()), "{answer}");
        desktop.is_well();
    }
    // A stop in the portal is reported with its origin as well.
    let body = "{\"names\":[\"desk\"]}";
    let headers =
        format!("{TOKEN}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(ask(desktop.world.port(), "POST /api/units/stop", &headers).0, 200);
    desktop.world.until_state("desk", "stopped");
    desktop.reports("desk", "stopped", "desk was stopped by ada (portal, from 127.0.0.1)", "is stopped");
}

#[test]
fn a_failed_service_is_reported_everywhere() {
    let desktop = Desktop::new();
    for unit in ["desk", "screen", "stream"] {
        desktop.signal(unit, Signal::SIGKILL);
        desktop.reports(unit, "failed", &format!("{unit} has failed: it ended with"), "Desktop has failed");
        let shown = desktop.world.page();
        assert!(shown.contains(&format!(": {unit} has failed: it ended with ")), "{shown}");
        let is_trouble = |line: &&str| line.starts_with("not ready: ") || line.starts_with("problem: ");
        let about = |line: &&str| line.contains(&format!("{unit} has failed: "));
        assert_eq!(shown.lines().filter(is_trouble).filter(about).count(), 1, "once: {shown}");
        assert!(shown.contains(&format!("\n    -> desktopd start {unit}")), "{shown}");
        assert_eq!(ask(desktop.port, "POST /desktopd/wait/start", TOKEN).0, 200);
        desktop.is_well();
    }
}

#[test]
fn a_frozen_service_is_reported_until_it_answers_again() {
    let desktop = Desktop::new();
    for unit in ["desk", "screen", "stream"] {
        desktop.signal(unit, Signal::SIGSTOP);
        let words = format!("{unit} is unhealthy: ");
        desktop.reports(unit, "unhealthy", &words, "Desktop does not answer");
        let page = ask(desktop.port, "GET /", PERSON).1;
        assert!(page.contains("opens it by itself"), "{page}");
        desktop.signal(unit, Signal::SIGCONT);
        desktop.is_well();
    }
}

#[test]
fn failures_and_mistakes_are_one_list_with_unknown_names() {
    let mut world = World::new();
    world.service(
        "step",
        "command = [\"/bin/sh\", \"-c\", \"exit 3\"]\ntype = \"oneshot\"\nrestart = \"never\"",
    );
    world.service("notebooks", "command = [\"false\"]\nrestart = \"never\"");
    let route = "[route]\nlisten = \"@P\"\nupstream = \"127.0.0.1:9\"\nshows = [\"notebook\", \"web\"]";
    world.service("web", &format!("@polite\n{}", route.replace("@P", &free_port().to_string())));
    world.service("unused", "@polite\n[[condition]]\nvariable = \"ENABLE_COTURN\"");
    world.start();
    let status = world.until("both have failed", |status| {
        status["summary"]
            .as_str()
            .is_some_and(|summary| summary.starts_with("2 failed: ") && summary.contains("1 of 3"))
    });
    let summary = status["summary"].as_str().unwrap();
    assert!(summary.contains("2 failed: ") && summary.contains("1 of 3 ready"), "{summary}");
    let problems: Vec<&str> =
        status["problems"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap()).collect();
    assert_eq!(
        problems[..2],
        ["notebooks has failed: it ended with exit code 1", "step has failed: it ended with exit code 3"]
    );
    let file = world.path("services/web.toml").display().to_string();
    let told = [
        format!(
            "{file}: route.shows: \"notebook\" is not the name of a service; did you mean \"notebooks\"?"
        ),
        format!("{file}: route.shows: \"web\" is this service itself; leave it out"),
    ];
    assert!(told.iter().all(|told| problems.contains(&told.as_str())), "{problems:#?}");
    let shown = world.page();
    let (wrong, rest) = shown.split_once("NAME ").unwrap();
    assert!(problems.iter().all(|problem| wrong.contains(&format!("problem: {problem}\n"))), "{shown}");
    assert!(rest.contains("not in use: unused (") && !rest.contains("skipped"), "{shown}");
}

#[test]
fn a_terminal_gets_lines_that_fit_and_no_reason_is_lost() {
    let mut world = World::new();
    world.service("failed", &format!("command = [\"${{{}}}\"]", "x".repeat(150)));
    world.env("HF_HOME", "x".repeat(200)).start();
    world.until_state("failed", "failed");
    for words in [["status"], ["env"]] {
        let whole = world.tell(&words);
        let size = Winsize { ws_row: 24, ws_col: 72, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let mut command = world.cli_command(&words);
        command.stdout(pty.slave);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut seen = Vec::new();
        // Reading from a pseudo-terminal whose other side was closed is an error, not an end of file.
        let _ = std::fs::File::from(pty.master).read_to_end(&mut seen);
        assert!(until("it has ended", || child.try_wait().unwrap()).success());
        let seen = String::from_utf8(seen).unwrap().replace("\r\n", "\n");
        let plain = seen.split("\u{1b}[").map(|part| part.split_once('m').map_or(part, |(_, text)| text));
        let plain: String =
            std::iter::once(seen.split('\u{1b}').next().unwrap()).chain(plain.skip(1)).collect();
        let table: Vec<&str> = plain.lines().skip_while(|line| !line.starts_with("NAME ")).collect();
        let table =
            table.iter().take_while(|line| !line.starts_with("not ") && !line.starts_with("display:"));
        let long: Vec<_> = table.filter(|line| line.chars().count() > 72).collect();
        assert!(long.is_empty(), "{words:?}: {long:#?}");
        if words == ["status"] {
            // The page for people fits everywhere; a long reason is wrapped where it comes first.
            for (text, most) in [(&plain, 72), (&whole, 100)] {
                assert!(text.lines().all(|line| line.chars().count() <= most), "{text}");
                let letters: String = text.split_whitespace().collect();
                assert!(letters.contains(&"x".repeat(150)), "{text}");
            }
            continue;
        }
        assert!(plain.contains('…') && !whole.contains('…'), "{words:?}: {plain}");
        assert!(whole.contains(&"x".repeat(150)), "{words:?}: {whole}");
    }
}
