//! `desktopd doctor`: with and without a daemon, as another user, with what hangs, and its bundle.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::drivers::with_nvml;
use crate::daemon::world::{Answer, World, is_root, skipped, works};

/// How long the command may take where everything needs its whole time, on a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(12);

/// The checks in an answer, whose exit code has to say whether one of them is a problem.
fn checks(answer: &Answer) -> Vec<Value> {
    let checks: Vec<Value> =
        serde_json::from_str(&answer.out).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    let problems = checks.iter().filter(|check| check["result"] == "problem").count();
    assert_eq!(answer.code, i32::from(problems > 0), "{answer:?}");
    for check in &checks {
        assert_eq!(check.as_object().unwrap().len(), 4, "{check}");
        assert!(check["check"].is_string() && check["what"].is_string(), "{check}");
        assert_eq!(check["remedy"].is_null(), check["result"] == "ok", "{check}");
    }
    checks
}

/// Result and sentence of one check.
fn find(checks: &[Value], name: &str) -> (String, String) {
    let check = checks.iter().find(|check| check["check"] == name);
    let check = check.unwrap_or_else(|| panic!("{name}: {checks:#?}"));
    (check["result"].as_str().unwrap().to_owned(), check["what"].as_str().unwrap().to_owned())
}

/// What is in a bundle.
fn unpacked(packed: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let name = entry.path().unwrap().strip_prefix("desktopd-bundle").unwrap().display().to_string();
        files.insert(name, text);
    }
    files
}

#[test]
fn without_a_daemon_the_machine_is_checked() {
    let world = World::new();
    let found = checks(&world.cli(&["doctor", "--json"]));
    let (result, what) = find(&found, "desktopd");
    assert_eq!(result, "unknown");
    assert!(what.contains("does not run here"), "{what}");
    assert!(find(&found, "ports").1.contains(&world.port().to_string()));
    for name in ["shared memory", "memory", "processes", "disk /", "workspace", "display", "drawing"] {
        find(&found, name);
    }
    // A program on the portal's port.
    let _other = TcpListener::bind(("0.0.0.0", world.port())).unwrap();
    let found = checks(&world.cli(&["doctor", "--json"]));
    assert_eq!(find(&found, &format!("port {}", world.port())).0, "problem");
    // As a text: the worst first, the count last.
    let answer = world.cli(&["doctor"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.out.starts_with("problem  "), "{}", answer.out);
    let last = answer.out.lines().last().unwrap();
    assert!(last.contains(" problem") && last.ends_with(" ok"), "{last}");
}

#[test]
fn running_daemon_says_which_services_failed() {
    let mut world = World::of(&[
        ("good", "@polite"),
        ("bad", "command = [\"false\"]\nrestart = \"never\"\n"),
        ("wrong", "command = [\"true\"]\ncolour = 1\n"),
    ]);
    world.start();
    world.until_state("bad", "failed");
    world.until_state("good", "ready");
    let answer = world.cli(&["doctor", "--json"]);
    let found = checks(&answer);
    assert_eq!(find(&found, "desktopd").0, "ok");
    let (result, what) = find(&found, "service bad");
    assert_eq!(result, "problem");
    assert!(what.contains("bad has failed") && what.contains("exit code 1"), "{what}");
    let mistake = found.iter().any(|check| check["check"] == "configuration" && check["result"] == "problem");
    assert!(mistake && answer.out.contains("colour"), "{found:#?}");
    assert!(!found.iter().any(|check| check["check"] == "service good"));
    world.end();
}

#[test]
fn library_and_daemon_that_hang_cost_seconds() {
    let mut world = with_nvml(&["-DHANG_INIT"]);
    world.service("good", "@polite");
    world.start();
    world.until_state("good", "ready");
    world.signal(Signal::SIGSTOP);
    let began = Instant::now();
    let answer = world.cli(&["doctor", "--json"]);
    let took = began.elapsed();
    world.signal(Signal::SIGCONT);
    let (result, what) = find(&checks(&answer), "desktopd");
    assert_eq!(result, "problem");
    assert!(what.contains("does not answer"), "{what}");
    assert!(took < LATE, "{took:?}");
    world.end();
}

#[test]
fn user_who_may_not_ask_the_daemon_is_shown_what_cannot_be_seen() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let mut world = World::of(&[("good", "@polite")]);
    world.start();
    world.until_state("good", "ready");
    // The user may have no access to the folder of the original.
    let copy = world.path("desktopd");
    fs::copy(env!("CARGO_BIN_EXE_desktopd"), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let known = world.cli_command(&["doctor", "--json"]);
    let mut command = Command::new(copy);
    let set = known.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.args(known.get_args()).env_clear().envs(set).uid(65534).gid(65534);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let answer =
        Answer { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) };
    let found = checks(&answer);
    assert_eq!(find(&found, "desktopd").0, "unknown", "{found:#?}");
    assert_eq!(find(&found, "services").0, "unknown");
    world.end();
}

/// The secrets of the test, by the names of their variables.
const SECRETS: [(&str, &str); 3] = [
    ("WEB_PASSWORD", "correct horse battery"),
    ("WEB_TOKEN", "0123456789abcdef-token"),
    ("DEMO_API_KEY", "sk-demo-ABCDEFGHIJKLMNOP"),
];

/// A variable whose value is an address with a password, and that password.
const ADDRESS: (&str, &str) = ("DATABASE_URL", "postgres://ada:lovelace-1815@db/x");
const OF_ADDRESS: &str = "lovelace-1815";

/// Secrets that no variable has, each in a form that gives the secret away.
const FORMS: [&str; 7] = [
    "GET /login?token=form-1-abcdef&next=/",
    "Authorization: Bearer form-2-abcdef",
    "turnserver --static-auth-secret form-3-abcdef --user ada:form-3-ghijkl",
    "{\"password\": \"form-4-abcdef\"}",
    "redis://:form-5-abcdef@cache https://form-5-ghijkl@host/x",
    "password: form-6-abcdef",
    "set-cookie: sid=form-7-abcdef; Path=/",
];

/// No file of the bundle may have a secret, in plain text or encoded.
fn assert_no_secret(files: &BTreeMap<String, String>) {
    use base64::Engine;
    for (name, text) in files {
        for (variable, secret) in SECRETS {
            let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
            let escaped = secret.replace(' ', "%20");
            for form in [secret, &encoded, &escaped] {
                assert!(!text.contains(form), "{name} has {variable} as {form}: {text}");
            }
        }
        assert!(!text.contains(OF_ADDRESS), "{name} has the password of an address: {text}");
        assert!(!text.contains("form-"), "{name}: {text}");
    }
}

/// A world with secrets in the environment, in a service file, in its output and in a URL.
fn with_secrets() -> World {
    let mut world = World::new();
    for (name, value) in SECRETS {
        world.env(name, value);
    }
    let all: Vec<&str> = SECRETS.iter().map(|(_, secret)| *secret).collect();
    let all = all.join(" ");
    world.env(ADDRESS.0, ADDRESS.1);
    let echo = format!("echo 'here: {all}'; echo https://ada:url-pass-word@host/; exec sleep 1000");
    // The last parts of the command are those of a program that is called with a secret.
    let service = format!(
        "command = [\"sh\", \"-c\", \"{echo}\", \"--password\", \"form-0-abcdef\", \"--secret=form-0-ghijkl\"]\n\
         environment = {{ PLAIN = \"{all}\", MYSQL_PWD = \"form-0-mnopqr\" }}\n"
    );
    world.service("talks", &service);
    world
}

#[test]
fn bundle_of_a_running_daemon_has_everything_and_no_secret() {
    let mut world = with_secrets();
    // Given to `init` alone: the command does not have it.
    world.argument("OTHER_TOKEN=only-for-init-0123456789");
    world.start();
    world.until_state("talks", "ready");
    world.until_written("log/talks.log", "here");
    let file = world.path("bundle.tar.gz");
    let answer = world.cli(&["doctor", "--bundle", file.to_str().unwrap()]);
    assert!(answer.out.ends_with("bundle.tar.gz is written; read it before you send it\n"), "{answer:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let files = unpacked(&fs::read(&file).unwrap());
    for (name, text) in [
        ("doctor.json", "\"check\""),
        ("probe.json", "\"gpus\""),
        ("plan.json", "\"talks\""),
        ("status.json", "\"talks\""),
        ("events.json", "\"talks\""),
        ("timeline.json", "\"talks\""),
        ("environment.json", "WEB_PASSWORD"),
        ("versions.txt", concat!("desktopd ", env!("CARGO_PKG_VERSION"))),
        ("machine.txt", "== /proc/mounts\n"),
        ("logs/talks.log", "here: "),
        ("logs/desktopd.log", ""),
    ] {
        let found = files.get(name).unwrap_or_else(|| panic!("{name} is not in {:?}", files.keys()));
        assert!(found.contains(text), "{name}: {found}");
    }
    assert!(files["logs/talks.log"].contains("https://******@host/"), "{}", files["logs/talks.log"]);
    assert_no_secret(&files);
    for name in ["plan.json", "doctor.json", "probe.json", "status.json", "events.json", "environment.json"] {
        serde_json::from_str::<Value>(&files[name]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(!files.values().any(|text| text.contains("only-for-init")));
    world.end();
}

#[test]
fn bundle_without_a_daemon_has_no_secret_and_is_whole_or_absent() {
    let world = with_secrets();
    let all: Vec<&str> = SECRETS.iter().map(|(_, secret)| *secret).collect();
    fs::create_dir(world.path("log")).unwrap();
    // Written by a program that masks nothing.
    world.write("log/old.log", &format!("2026 {}\n", all.join(" ")));
    world.write("log/forms.log", &format!("{}\nconnected with {OF_ADDRESS}\n", FORMS.join("\n")));
    let output = world.cli_command(&["doctor", "--bundle", "-"]).output().unwrap();
    let files = unpacked(&output.stdout);
    assert!(files["status.txt"].contains("does not run here"), "{files:?}");
    assert!(files["logs/old.log"].starts_with("2026 ******"), "{files:?}");
    assert!(files["logs/forms.log"].ends_with("connected with ******\n"), "{}", files["logs/forms.log"]);
    assert_no_secret(&files);
    let answer = world.cli(&["doctor", "--bundle", "/proc/no/such/bundle"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("name a file in a folder that you can write"), "{answer:?}");
    let both = world.cli(&["doctor", "--json", "--bundle", "-"]);
    assert_eq!(both.code, 64, "{both:?}");
}

#[test]
fn bundle_on_a_full_disk_is_absent_and_the_message_names_the_disk() {
    if !works(&["unshare", "--mount"]) {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("full")).unwrap();
    let known = world.cli_command(&["doctor", "--bundle", world.path("full/bundle").to_str().unwrap()]);
    let script = "mount -t tmpfs -o size=4k none \"$0\"; head -c 9000 /dev/zero > \"$0/all\" 2> /dev/null; \
                  \"$@\"; code=$?; ls \"$0\"; exit $code";
    let mut command = Command::new("unshare");
    let set = known.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(set).args(["--mount", "sh", "-c", script]).arg(world.path("full"));
    let output = command.arg(known.get_program()).args(known.get_args()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("No space left on device") && err.contains("a disk with space"), "{err}");
    assert_eq!(out, "all\n", "only what was there before is there");
}
