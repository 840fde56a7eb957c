//! The outputs of commands for programs and for people: every JSON is what the API answers, and the page that is drawn
//! again after each change.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use desktopd::observe::{Event, RouteStatus, Snapshot, Timeline, UnitStatus};
use desktopd::portal::Credentials;
use desktopd::portal::api::Units;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::daemon::world::{World, until};

fn parsed<T: DeserializeOwned>(world: &World, words: &str) -> T {
    let words: Vec<&str> = words.split(' ').chain(["-o", "json"]).collect();
    let answer = world.cli(&words);
    serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {answer:?}"))
}

#[test]
fn every_output_for_programs_can_be_parsed_as_what_the_api_answers() {
    let mut world =
        World::of(&[("kde", "@polite\naliases = [\"plasma\"]"), ("lazy", "@polite\nautostart = false")]);
    world.env("WEB_TOKEN", "a-token").start();
    world.until_up();
    let snapshot: Snapshot = parsed(&world, "status");
    assert_eq!(snapshot, serde_json::from_value(world.status()).unwrap());
    let units: Vec<UnitStatus> = parsed(&world, "ps");
    assert_eq!(units, snapshot.units);
    let details: Vec<UnitStatus> = parsed(&world, "status plasma");
    assert_eq!(details[0].name, "kde");
    let ways: Vec<RouteStatus> = parsed(&world, "url");
    assert_eq!(ways, snapshot.routes);
    assert_eq!(ways[0].address, ways[0].links[0].url);
    let ways: Vec<RouteStatus> = parsed(&world, "url portal --token");
    assert!(ways[0].address.ends_with("?token=a%2Dtoken"), "{ways:?}");
    let _: Timeline = parsed(&world, "timeline");
    let credentials: Credentials = parsed(&world, "credentials");
    assert_eq!(credentials.token, "a-token");
    let started: Units = parsed(&world, "start lazy");
    assert_eq!(started.units, ["lazy"]);
    for (words, field) in [
        ("plan", "/units"),
        ("probe", "/gpus"),
        ("version", "/version"),
        ("env WEB_USER", "/0/name"),
        ("health", "/healthy"),
        ("doctor", "/0/result"),
        ("reload", "/added"),
        ("restart --wait kde", "/0/name"),
        ("stop lazy", "/units/0"),
    ] {
        let json: Value = parsed(&world, words);
        assert!(json.pointer(field).is_some(), "{words}: no {field} in {json:#}");
    }
    for words in ["events", "logs kde", "logs --all"] {
        let answer = world.tell(&[&words.split(' ').collect::<Vec<_>>()[..], &["-o", "json"]].concat());
        for line in answer.lines() {
            let json: Value = serde_json::from_str(line).unwrap();
            assert!(json.is_object(), "{words}: {line}");
            if words == "events" {
                let _: Event = serde_json::from_str(line).unwrap();
            }
        }
    }
}

#[test]
fn a_token_is_shown_only_to_those_who_may_see_credentials() {
    let mut world = World::of(&[("kde", "@polite")]);
    world.env("WEB_TOKEN", "a-token").start();
    let plain = world.tell(&["url"]);
    assert!(plain.contains("http://") && !plain.contains("token"), "{plain}");
    let shown = world.tell(&["url", "portal", "--token"]);
    assert!(shown.lines().all(|line| line.ends_with("?token=a%2Dtoken")), "{shown}");
    let code = world.tell(&["url", "portal", "--qr"]);
    let rows: Vec<&str> = code.lines().filter(|line| line.contains(['█', '▀', '▄'])).collect();
    assert!(
        rows.len() > 14 && rows.iter().all(|row| row.chars().count() == rows[0].chars().count()),
        "{code}"
    );
    if crate::daemon::world::is_root() {
        // Another user of the control socket's group may read states, and nothing secret.
        let stranger = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=0", "--clear-groups", "--"])
            .arg(env!("CARGO_BIN_EXE_desktopd"))
            .arg("--config")
            .arg(world.path(""))
            .args(["url", "--token"])
            .output();
        let stranger = stranger.unwrap();
        assert!(!stranger.status.success(), "{stranger:?}");
        assert!(!String::from_utf8_lossy(&stranger.stdout).contains("a-token"), "{stranger:?}");
    }
}

#[test]
fn a_watched_status_is_printed_again_after_a_change_and_only_then() {
    let world = World::running(&[("kde", "@polite")]);
    world.until_up();
    let mut watcher = world.cli_beside(&["status", "--watch"]);
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("---- "));
    assert!(lines.any(|line| line.starts_with("kde") && line.contains("ready")));
    world.tell(&["stop", "--wait", "kde"]);
    assert!(lines.any(|line| line.starts_with("---- ")), "a new block");
    assert!(lines.any(|line| line.starts_with("kde") && line.contains("stopped")));
    kill(Pid::from_raw(watcher.id().cast_signed()), Signal::SIGTERM).unwrap();
    watcher.wait().unwrap();
    let mut json = world.cli_beside(&["status", "--watch", "-o", "json"]);
    let line = BufReader::new(json.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let _: Snapshot = serde_json::from_str(&line).unwrap();
    json.kill().unwrap();
    json.wait().unwrap();
}

/// What a terminal has got so far.
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn of(mut terminal: File) -> Self {
        let seen = Self(Arc::default());
        let all = Arc::clone(&seen.0);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // Reading from a pseudo-terminal whose other side was closed is an error.
            while let Ok(length @ 1..) = terminal.read(&mut piece) {
                all.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        seen
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    fn until(&self, what: &str) {
        until(what, || self.text().contains(what).then_some(()));
    }
}

#[test]
fn a_terminal_is_redrawn_at_a_change_and_a_new_size_and_left_as_it_was() {
    let world = World::running(&[("kde", "@polite"), ("a-service-with-a-long-name", "@polite")]);
    world.until_up();
    for quit in ["q", "Ctrl-C"] {
        world.tell(&["start", "--wait", "kde"]);
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let before = rustix::termios::tcgetattr(&pty.slave).unwrap();
        let keep = pty.slave.try_clone().unwrap();
        let mut command = world.cli_command(&["status", "--watch"]);
        command.stdin(Stdio::from(pty.slave.try_clone().unwrap())).stdout(pty.slave);
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut terminal = File::from(pty.master);
        let seen = Seen::of(terminal.try_clone().unwrap());
        seen.until("\u{1b}[?1049h");
        seen.until("q ends");
        let changed = rustix::termios::tcgetattr(&keep).unwrap();
        assert!(!changed.local_modes.contains(rustix::termios::LocalModes::ECHO), "keys are not shown");
        world.tell(&["stop", "--wait", "kde"]);
        seen.until("stopped");
        // A new size: the kernel tells the process only if the terminal is its own, so the signal is sent here.
        let narrow = rustix::termios::Winsize { ws_row: 24, ws_col: 30, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&keep, narrow).unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let drawn = seen.text().len();
        kill(pid, Signal::SIGWINCH).unwrap();
        until("it is drawn again", || {
            (seen.text().len() > drawn && seen.text()[drawn..].contains("q ends")).then_some(())
        });
        let last = seen.text();
        let last = last.rsplit("\u{1b}[H").next().unwrap().to_owned();
        for line in last.split("\u{1b}[K") {
            let line = line.trim_matches(['\r', '\n']).replace("\u{1b}[J", "");
            let line: String = line
                .split("\u{1b}[")
                .enumerate()
                .map(
                    |(at, part)| {
                        if at == 0 { part } else { part.split_once('m').map_or(part, |(_, rest)| rest) }
                    },
                )
                .collect();
            assert!(line.chars().count() <= 30, "{line:?}");
        }
        match quit {
            "q" => terminal.write_all(b"q").unwrap(),
            _ => kill(pid, Signal::SIGINT).unwrap(),
        }
        assert!(until("it has ended", || child.try_wait().unwrap()).success(), "{quit}");
        let after = rustix::termios::tcgetattr(&keep).unwrap();
        assert_eq!(after.local_modes, before.local_modes, "{quit}");
        seen.until("\u{1b}[?25h\u{1b}[?1049l");
    }
}
