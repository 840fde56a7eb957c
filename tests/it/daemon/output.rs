//! Output of services: its display in `docker logs`, control sequences, progress bars, and readers that close the pipe.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use crate::daemon::world::{World, is_root, skipped, until};

/// A service that prints the file `say` whenever that changes.
const SAYS: &str = "#!/usr/bin/env python3\nimport os, sys, time\nlast = b''\nwhile True:\n  try:\n    \
    said = open(os.environ['D'] + '/say', 'rb').read()\n  except OSError:\n    said = b''\n  \
    if said != last:\n    os.write(1, said)\n  last = said\n  time.sleep(0.02)\n";

fn talking(file: &str) -> World {
    let world = World::of(&[("talker", &format!("command = [\"@D/says\"]\n{file}"))]);
    world.script("says", SAYS);
    world
}

#[test]
fn control_sequences_are_escaped() {
    let mut world = talking("");
    world.start();
    world.until_up();
    let wicked = "\x1b[31mred\x1b[0m \x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x1b[2J\u{9b}2J\x08\u{202e}\nfake\rdesktopd | all is well\nlast\n";
    world.replace("say", wicked);
    world.until_said("talker | last");
    let shown = world.tell(&["logs", "talker"]);
    let file = world.until_written("log/talker.log", "last");
    for (place, text) in [("console", world.read("console")), ("logs", shown), ("file", file)] {
        let line = text.lines().find(|line| line.contains("\x1b[31mred")).unwrap();
        assert!(
            line.contains(
                "\x1b[31mred\x1b[0m \\x1b]52;c;ZXZpbA==\\x07\\x1b]0;title\\x07\\u{9b}2J\\x08\\u{202e}"
            ),
            "{place}: {line:?}"
        );
        let wrong =
            |c: char| c.is_control() && c != '\n' && c != '\x1b' || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(wrong), "{place}: {text:?}");
        // A row that is written over keeps the service's name in front.
        let forged = text.lines().find(|line| line.contains("all is well")).unwrap();
        assert!(place != "console" || forged.starts_with("talker | "), "{place}: {forged:?}");
        assert!(!text.contains("fake"), "{place}: of a row the last state is kept");
    }
    // Command-line arguments are untrusted text as well.
    let answer = world.cli(&["start", "\x1b]0;title\x07"]);
    assert!(answer.err.contains("\\x1b]0;title\\x07") && !answer.err.contains('\x1b'), "{answer:?}");
    world.end();
}

#[test]
fn a_progress_bar_is_one_row_that_moves() {
    let mut world = talking("");
    world.start();
    world.until_up();
    world.replace("say", "begin\n10 %\r");
    until("the row is shown", || world.log("talker").ends_with("begin\n10 %\n").then_some(()));
    world.replace("say", "50 %\r");
    until("the row has moved", || world.log("talker").ends_with("begin\n50 %\n").then_some(()));
    let json = world.tell(&["logs", "talker", "--json"]);
    assert!(json.lines().last().unwrap().contains("\"open\":true"), "{json}");
    world.replace("say", "100 %\ndone\n");
    world.until_written("log/talker.log", "done");
    let kept: Vec<String> = world.read("log/talker.log").lines().map(|line| line[25..].to_owned()).collect();
    assert_eq!(kept, ["begin", "100 %", "done"]);
    assert_eq!(world.log("talker"), "begin\n100 %\ndone\n");
    assert!(!world.read("console").contains("50 %"));
    world.end();
}

#[test]
fn a_secret_is_masked_in_encodings_and_where_it_is_cut() {
    let mut world = talking("secrets = [\"WEB_PASSWORD\"]");
    world.env("WEB_PASSWORD", "correct horse/battery");
    world.start();
    world.until_up();
    let long = "x".repeat(16 * 1024 - 8);
    let said = format!(
        "1 correct%20horse%2Fbattery\n2 correct+horse%2Fbattery\n3 dXNlcjpjb3JyZWN0IGhvcnNlL2JhdHRlcnk=\n\
         4 Y29ycmVjdCBob3JzZS9iYXR0ZXJ5\n5 636f727265637420686f7273652f62617474657279\n{long} correct horse/battery\n6 correct ho"
    );
    world.replace("say", &said);
    // The output pauses in the middle of the secret.
    until("the row is shown", || world.log("talker").ends_with("6 \n").then_some(()));
    world.replace("say", "rse/battery\nlast\n");
    world.until_written("log/talker.log", "last");
    for text in [world.log("talker"), world.read("console"), world.read("log/talker.log")] {
        let kept = text.replace(&"x".repeat(1000), "");
        for part in ["horse", "rse", "battery", "aG9yc2", "hvcnNl", "Zvcn", "686f72", "correct"] {
            assert!(!text.contains(part), "{part}: {kept}");
        }
        assert!(text.contains("6 ******") && text.contains("1 ******"), "{kept}");
    }
    world.end();
}

#[test]
fn output_of_a_quiet_service_is_shown_when_it_fails() {
    let quiet = "command = [\"/bin/sh\", \"-c\", \"echo a word; test -e @D/go && { echo the reason; exit 3; }; exec sleep 1000\"]\n\
                 log-to-stdout = false\nrestart = \"never\"";
    for (wanted, at_first, at_last) in
        [(None, false, true), (Some("all"), true, true), (Some("none"), false, false)]
    {
        let mut world = World::of(&[
            ("quiet", quiet),
            ("loud", "command = [\"/bin/sh\", \"-c\", \"echo loud word; exec sleep 1000\"]"),
        ]);
        if let Some(wanted) = wanted {
            world.env("LOG_TO_STDOUT", wanted);
        }
        world.start();
        world.until_up();
        until("both have printed their lines", || {
            (world.log("quiet") == "a word\n" && world.log("loud") == "loud word\n").then_some(())
        });
        world.until_written("log/quiet.log", "a word");
        let console = world.read("console");
        assert_eq!(console.contains("quiet | a word"), at_first, "{wanted:?}: {console}");
        assert_eq!(console.contains("quiet is ready"), at_first, "{wanted:?}: {console}");
        assert_eq!(console.contains("loud | loud word"), wanted != Some("none"), "{wanted:?}: {console}");
        world.write("go", "");
        world.tell(&["restart", "quiet"]);
        world.until_state("quiet", "failed");
        world.until_written("log/desktopd.log", "quiet is failed");
        if at_last {
            world.until_said("quiet | the reason");
            world.until_said("error: quiet is failed");
        }
        world.end();
        assert_eq!(world.read("console").contains("the reason"), at_last, "{wanted:?}");
        assert!(wanted != Some("none") || world.read("console").is_empty(), "{}", world.read("console"));
    }
}

#[test]
fn the_log_says_where_to_log_in() {
    let mut world = World::of(&[("fine", "@polite")]);
    world.env("WEB_USER", "ada").env("WEB_PASSWORD", "correct horse");
    world.start();
    world.until_up();
    world.until_said("---- User: ada. To see the password: ");
    let console = world.read("console");
    let lines: Vec<&str> = console.lines().collect();
    let at =
        lines.iter().position(|line| line.contains("---- The desktop is up. Open in a browser:")).unwrap();
    assert!(lines[at + 1].contains(&format!("http://localhost:{}/", world.port())), "{console}");
    assert!(lines[at + 2].contains("desktopd credentials"), "{console}");
    assert_eq!(lines.len(), at + 3, "nothing is printed after it: {console}");
    assert!(!console.contains("correct horse"));
    world.tell(&["restart", "fine"]);
    world.until_up();
    world.end();
    assert_eq!(world.read("console").matches("Open in a browser").count(), 1, "it is said once");
}

#[test]
fn the_last_line_of_all_logs_is_a_single_line() {
    let mut world = talking("");
    world.service("other", "command = [\"/bin/sh\", \"-c\", \"echo one; echo two; exec sleep 1000\"]");
    world.start();
    world.until_up();
    world.replace("say", "a\nb\nc\nd\n");
    until("it has printed its lines", || world.log("talker").ends_with("d\n").then_some(()));
    for (count, words) in [(1, &["-n", "1"][..]), (3, &["--tail", "3"])] {
        let shown = world.tell(&[&["logs", "--all"], words].concat());
        assert_eq!(shown.lines().count(), count, "{shown}");
        assert!(shown.ends_with("| d\n"), "{shown}");
    }
    world.end();
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let world = World::running(&[("fine", "@polite")]);
    world.until_up();
    for words in [
        &["plan", "--json"][..],
        &["plan"],
        &["status"],
        &["status", "--json"],
        &["logs"],
        &["logs", "--all"],
        &["logs", "-f"],
        &["events"],
        &["events", "-f"],
        &["timeline"],
        &["timeline", "--svg"],
        &["env"],
        &["env", "--json"],
        &["credentials"],
        &["health"],
        &["completions", "bash"],
        &["--help"],
        &["no-such-command"],
    ] {
        let mut child = world.cli_with(words, Stdio::null());
        // Both pipes are closed before anything is printed: nothing can be written.
        drop(child.stdout.take());
        let mut said = String::new();
        if words == ["no-such-command"] {
            drop(child.stderr.take());
        } else {
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        }
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 64)), "{words:?}: {code:?} {said}");
        assert_eq!(said, "", "{words:?}");
    }
}

#[test]
fn without_root_the_message_says_what_would_work() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let world = World::running(&[("fine", "@polite")]);
    world.until_up();
    let program = world.path("desktopd").display().to_string();
    fs::copy(env!("CARGO_BIN_EXE_desktopd"), &program).unwrap();
    let config = world.path("").display().to_string();
    let words = [
        "setpriv",
        "--reuid=4321",
        "--regid=4321",
        "--clear-groups",
        &program,
        "--config",
        &config,
        "stop",
        "fi*",
    ];
    let output = std::process::Command::new(words[0]).args(&words[1..]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("this needs root or the desktop's user"), "{told}");
    assert!(told.contains("stop 'fi*', or from outside: docker exec CONTAINER desktopd"), "{told}");
}
