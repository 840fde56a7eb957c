//! Login credentials: changed while the real program runs, and kept or replaced when the daemon starts again.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::Value;

use crate::daemon::world::{World, until};

/// Whether user and password are accepted.
fn gets_in(world: &World, user: &str, password: &str) -> bool {
    let shown = STANDARD.encode(format!("{user}:{password}"));
    let answer = world.http(&format!("GET /api/status HTTP/1.1\r\nAuthorization: Basic {shown}\r\n"));
    let status = answer.split(' ').nth(1).unwrap();
    assert!(["200", "401"].contains(&status), "{answer}");
    status == "200"
}

/// Logs in and returns the session cookie as a client sends it.
fn cookie(world: &World, user: &str, password: &str) -> String {
    let form = format!("user={user}&password={password}");
    let length = form.len();
    let host = "Host: localhost\r\nConnection: close\r\n";
    // `http_raw`, not `http`: a body follows the head, so the test writes the end of the head itself.
    let head = format!("POST /desktopd/login HTTP/1.1\r\nContent-Length: {length}\r\n{host}\r\n{form}");
    let answer = world.http_raw(&head);
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect(&answer);
    line.split(';').next().unwrap().to_owned()
}

fn session_is_good(world: &World, cookie: &str) -> bool {
    world.http(&format!("GET /api/status HTTP/1.1\r\nCookie: {cookie}\r\n")).starts_with("HTTP/1.1 200")
}

fn shown(world: &World) -> Value {
    serde_json::from_str(&world.tell(&["credentials", "--json"])).unwrap()
}

#[test]
fn credentials_change_at_once_and_hold_until_the_environment_changes() {
    let mut world = World::of(&[("fine", "@polite")]);
    world.env("WEB_USER", "first").env("WEB_PASSWORD", "given-at-start").env("WEB_TOKEN", "the-t0ken");
    world.start();
    assert!(gets_in(&world, "first", "given-at-start"));
    let before = cookie(&world, "first", "given-at-start");
    assert!(session_is_good(&world, &before));

    let said = world.tell(&["set-web-credentials", "ada", "ch0sen one"]);
    assert!(said.contains("user 'ada'") && !said.contains("ch0sen"), "{said}");
    assert!(gets_in(&world, "ada", "ch0sen one") && !gets_in(&world, "first", "given-at-start"));
    assert!(!session_is_good(&world, &before), "a stolen cookie is worth nothing");
    let credentials = shown(&world);
    assert_eq!((&credentials["user"], &credentials["password"]), (&"ada".into(), &Value::Null));
    assert_eq!((&credentials["chosen"], &credentials["token"]), (&true.into(), &"the-t0ken".into()));
    assert!(world.tell(&["credentials"]).contains("password: (set with set-web-credentials)"));
    let after = cookie(&world, "ada", "ch0sen+one");

    world.end();
    world.start();
    assert!(gets_in(&world, "ada", "ch0sen one") && !gets_in(&world, "first", "given-at-start"));
    assert!(session_is_good(&world, &after) && !session_is_good(&world, &before));

    // By the name of the older images' script, with the password from a pipe.
    let answer = world.cli_named("set-web-credentials.sh", &["bob"], "pi:ped $x\n");
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(gets_in(&world, "bob", "pi:ped $x") && !session_is_good(&world, &after));

    world.end();
    world.env("WEB_PASSWORD", "given-anew");
    world.start();
    world.until_said("the credentials set with set-web-credentials are older than those of the environment");
    assert!(gets_in(&world, "first", "given-anew") && !gets_in(&world, "bob", "pi:ped $x"));
    assert_eq!(shown(&world)["password"], "given-anew");

    let console = world.read("console");
    for secret in
        ["given-at-start", "ch0sen", "pi:ped", "given-anew", "the-t0ken", before.split('=').nth(1).unwrap()]
    {
        assert!(!console.contains(secret), "{secret}");
    }
    world.end();
    let files = std::fs::read_dir(world.path("state")).unwrap().flatten();
    for file in files.map(|entry| entry.path()) {
        let kept = String::from_utf8_lossy(&std::fs::read(&file).unwrap_or_default()).into_owned();
        for secret in ["given", "ch0sen", "pi:ped", "the-t0ken"] {
            assert!(!kept.contains(secret), "{}: {secret}", file.display());
        }
    }
}

#[test]
fn a_logout_survives_a_restart() {
    let mut world = World::of(&[("fine", "@polite")]);
    world.env("WEB_PASSWORD", "given");
    world.start();
    let (one, two) = (cookie(&world, "user", "given"), cookie(&world, "user", "given"));
    let out = format!(
        "POST /desktopd/logout HTTP/1.1\r\nCookie: {one}\r\nOrigin: http://localhost\r\nContent-Length: 0\r\n"
    );
    let answer = world.http(&out);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    world.until_up();
    // The credentials were on disk before the answer came, so SIGKILL loses nothing.
    world.crash();
    world.start();
    assert!(!session_is_good(&world, &one) && session_is_good(&world, &two));
}

#[test]
fn invalid_users_and_passwords_are_refused_with_a_reason() {
    let mut world = World::of(&[("fine", "@polite")]);
    world.env("WEB_PASSWORD", "given");
    world.start();
    let long = "x".repeat(73);
    for (user, password, told) in [
        ("a:b", "fine", "the user name holds a colon"),
        ("", "fine", "the user name is empty"),
        ("a\nb", "fine", "the user name holds a control character"),
        ("ada", "", "the password is empty"),
        ("ada", &long, "the password has 73 bytes"),
        ("ada", "two\nlines", "more than one line"),
    ] {
        let answer = world.cli_named("set-web-credentials", &[user], password);
        assert_eq!(answer.code, 64, "{user:?}: {answer:?}");
        assert!(answer.err.contains(told), "{user:?}: {answer:?}");
        // The control socket refuses the same values as the command.
        let body = serde_json::json!({ "user": user, "password": password }).to_string();
        let (status, answer) = world.post("/api/credentials", &body);
        assert!(status == 422 && answer["error"].as_str().unwrap().contains(told), "{status} {answer}");
        if user == "ada" && !password.is_empty() {
            let hashed = world.cli_named("hash-password.sh", &[], password);
            assert!(hashed.code == 64 && hashed.err.contains(told), "{hashed:?}");
        }
    }
    let body = r#"{"user":"ada","password":["s3cret-in-a-mistake"]}"#;
    let (status, answer) = world.post("/api/credentials", body);
    assert!(status == 422 && !answer.to_string().contains("s3cret"), "{status} {answer}");
    assert!(gets_in(&world, "user", "given"));
}

/// A pseudo-terminal, and a command that asks for a password on it.
struct Typing {
    master: File,
    slave: OwnedFd,
    command: Child,
    prompts: BufReader<std::process::ChildStderr>,
}

impl Typing {
    fn new(world: &World, words: &[&str]) -> Self {
        let pty = openpty(None, None).unwrap();
        let slave = pty.slave.try_clone().unwrap();
        let mut command = world.cli_with(words, Stdio::from(pty.slave));
        let prompts = BufReader::new(command.stderr.take().unwrap());
        Self { master: File::from(pty.master), slave, command, prompts }
    }

    /// Waits for this prompt.
    fn asked(&mut self, prompt: &str) {
        let mut found = vec![0; prompt.len()];
        self.prompts.read_exact(&mut found).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), prompt);
    }

    fn shows(&self) -> bool {
        tcgetattr(&self.slave).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits until echo is off, then types.
    fn types(&mut self, text: &str) {
        until("nothing is shown", || (!self.shows()).then_some(()));
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end: the exit code, the output, and the rest of the prompts. Echo must be on again.
    fn end(mut self) -> (i32, String, String) {
        let mut said = String::new();
        self.prompts.read_to_string(&mut said).unwrap();
        let output = self.command.wait_with_output().unwrap();
        assert!(tcgetattr(&self.slave).unwrap().local_flags.contains(LocalFlags::ECHO));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), printed, said)
    }
}

#[test]
fn a_password_is_typed_twice_without_echo() {
    let world = World::new();
    let words = ["hash-password", "--cost", "4"];
    let mut typing = Typing::new(&world, &words);
    assert!(typing.slave.is_terminal());
    typing.asked("Password: ");
    typing.types("s3cret ü\n");
    typing.asked("\nOnce more: ");
    typing.types("s3cret ü\n");
    let (code, hash, _) = typing.end();
    assert_eq!(code, 0);
    assert!(bcrypt::verify("s3cret ü", hash.trim()).unwrap());

    let mut typing = Typing::new(&world, &words);
    typing.asked("Password: ");
    typing.types("one\n");
    typing.asked("\nOnce more: ");
    typing.types("other\n");
    let (code, hash, said) = typing.end();
    assert_eq!((code, &*hash), (1, ""));
    assert!(said.contains("the two passwords differ"), "{said}");

    // A user who interrupts the prompt gets a terminal with echo.
    let mut typing = Typing::new(&world, &words);
    typing.asked("Password: ");
    until("nothing is shown", || (!typing.shows()).then_some(()));
    let pid = nix::unistd::Pid::from_raw(typing.command.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let (code, hash, said) = typing.end();
    assert_eq!((code, &*hash), (1, ""));
    assert!(said.contains("cancelled"), "{said}");
}

#[test]
fn a_printed_hash_works_in_the_variable() {
    let mut world = World::of(&[("fine", "@polite")]);
    let answer = world.cli_named("hash-password.sh", &["-r", "4"], "pa$$ word\n");
    assert!(answer.code == 0 && answer.out.starts_with("$2b$04$"), "{answer:?}");
    let by_argument = world.tell(&["hash-password", "-p", "pa$$ word", "--cost", "5"]);
    assert!(by_argument.starts_with("$2b$05$"), "{by_argument}");
    world.env("WEB_PASSWORD_HASH", answer.out.trim()).env("WEB_USER", "ada");
    world.start();
    assert!(gets_in(&world, "ada", "pa$$ word") && !gets_in(&world, "ada", answer.out.trim()));
}

#[test]
fn excluded_ports_are_open_with_a_warning_and_mistakes_open_nothing() {
    let mut world = World::of(&[("fine", "@polite")]);
    let port = world.port().to_string();
    world.env("AUTH_EXCLUDE", format!("{port}, 6200"));
    world.start();
    world.until_said(&format!("AUTH_EXCLUDE: port {port}, 6200 of this machine"));
    assert!(world.http("GET /api/status HTTP/1.1\r\n").starts_with("HTTP/1.1 200"));
    world.end();
    world.env("AUTH_EXCLUDE", format!("{port},many"));
    world.start();
    assert!(world.http("GET /api/status HTTP/1.1\r\n").starts_with("HTTP/1.1 401"));
    let problems = world.status()["problems"].to_string();
    assert!(problems.contains("AUTH_EXCLUDE: ") && problems.contains("many"), "{problems}");
}
