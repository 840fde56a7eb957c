//! Requests with an effect on more than the named unit: restarts of partners, the daemon's own names, and stops that
//! begin with a command.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::daemon::world::{World, find, pid_of, until};

fn desktop() -> World {
    let world = World::running(&[
        ("screen", "@polite\naliases = [\"x\"]"),
        ("kde", "@polite\nneeds = [\"screen\"]\nrestart-with = \"x\"\ncontain = true"),
        ("stream", "@polite\nfollows = [\"screen\"]"),
        ("other", "@polite"),
    ]);
    world.until_up();
    until("all are up", || (world.order().len() == 4).then_some(()));
    world
}

/// The pids of these units, when all are up.
fn pids(world: &World, names: [&str; 4]) -> [i32; 4] {
    let status = world.until_up();
    names.map(|name| pid_of(&find(&status, name)))
}

const ALL: [&str; 4] = ["screen", "kde", "stream", "other"];

#[test]
fn a_restart_restarts_partners_once_and_a_crash_or_only_does_not() {
    let world = desktop();
    let before = pids(&world, ALL);
    assert_eq!(world.tell(&["restart", "kde"]), "restart: kde, screen\n");
    world.until("all are back", |status| {
        let pid = |name: &str| find(status, name)["pid"].as_i64();
        status["up"] == true && (0..3).all(|at| pid(ALL[at]).is_some_and(|pid| pid != i64::from(before[at])))
    });
    let after = pids(&world, ALL);
    assert_eq!(after[3], before[3]);
    until("all have printed it", || (world.order().len() == 10).then_some(()));
    let place = |line: &str| world.order()[4..].iter().position(|found| found == line).unwrap();
    assert!(place("kde down") < place("screen down") && place("screen up") < place("kde up"));

    let answer = world.tell(&["restart", "--wait", "--only", "kde"]);
    assert_eq!(answer, "kde is ready\n");
    world.until_replaced("kde", &json!({ "pid": after[1] }));
    let only = pids(&world, ALL);
    assert_eq!([only[0], only[2], only[3]], [after[0], after[2], after[3]]);

    kill(Pid::from_raw(only[1]), Signal::SIGKILL).unwrap();
    world.until_replaced("kde", &json!({ "pid": only[1] }));
    assert_eq!(pids(&world, ALL)[0], only[0]);

    // Also when it is named by a pattern, twice, or together with its partner; and with `--wait`.
    let before = world.order().len();
    let answer = world.tell(&["restart", "--wait", "k*", "kde", "x", "stream"]);
    assert_eq!(answer, "kde is ready\nscreen is ready\nstream is ready\n");
    until("each stopped and started once", || (world.order().len() == before + 6).then_some(()));
    let units = world.until_up();
    assert_eq!(find(&units, "stream")["restarts"], 0);
}

#[test]
fn a_partner_that_does_not_run_is_left_alone() {
    let world = World::running(&[
        ("a", "@polite\nrestart-with = \"gone\""),
        ("gone", "command = [\"no-such-program-here\"]"),
        ("b", "@polite\nrestart-with = \"lazy\""),
        ("lazy", "@polite\nautostart = false"),
    ]);
    world.until_up();
    assert_eq!(world.tell(&["restart", "a", "b"]), "restart: a, b\n");
    world.until_up();
    assert_eq!(world.unit("lazy")["state"], "stopped");
    let (status, answer) = world.post("/api/units/restart", r#"{"names": ["b"], "only": true}"#);
    assert_eq!((status, &answer["units"]), (200, &json!(["b"])));
    let (status, answer) = world.post("/api/units/stop", r#"{"names": ["b"], "only": true}"#);
    assert_eq!((status, &answer["error"]), (400, &json!("'only' is for restart, not for stop")));
}

#[test]
fn the_daemons_own_names_read_the_configuration_again() {
    let world = World::running(&[("kde", "@polite"), ("silent", "@polite\nautostart = false")]);
    let before = world.until_state("kde", "ready");
    for name in ["caddy", "gateway", "portal", "serviceportal", "instance_portal", "desktopd"] {
        let answer = world.tell(&["restart", name]);
        assert_eq!(
            answer,
            format!("{name}: part of desktopd itself, which read its configuration again: nothing changed\n")
        );
        assert_eq!(
            world.tell(&["start", name]),
            format!("{name}: part of desktopd itself, which runs already\n")
        );
        let refused = world.cli(&["stop", "kde", name]);
        assert_eq!(
            (refused.code, refused.err),
            (
                1,
                format!(
                    "desktopd: '{name}' is part of desktopd itself and cannot be stopped alone: `desktopd shutdown` stops everything\n"
                )
            )
        );
    }
    assert_eq!(world.unit("kde")["pid"], before["pid"]);
    assert_eq!(
        world.tell(&["restart", "kde", "caddy"]),
        "restart: kde\ncaddy: part of desktopd itself, which read its configuration again: nothing changed\n"
    );
    let second = world.until_replaced("kde", &before);
    assert_eq!(
        world.tell(&["restart", "--wait", "portal", "kde"]),
        "desktopd is ready: portal: part of desktopd itself, which read its configuration again: nothing changed\n\
         kde is ready\n"
    );
    world.until_replaced("kde", &second);
    assert!(world.tell(&["start", "--wait", "--json", "caddy"]).contains("runs already"));

    let shown: serde_json::Value = serde_json::from_str(&world.tell(&["status", "--json", "caddy"])).unwrap();
    assert_eq!((&shown[0]["name"], &shown[0]["state"]), (&json!("desktopd"), &json!("ready")));
    assert_eq!(shown[0]["pid"].as_i64(), Some(i64::from(world.pid())));
    assert_eq!(shown[0]["since"], world.status()["started_at"]);
    let text = world.tell(&["status", "gateway"]);
    assert!(text.starts_with("desktopd: ready for ") && text.contains("Service portal on port "), "{text}");
    assert!(world.tell(&["logs", "caddy"]).contains("desktopd 0."), "its own log");
    let table = world.tell(&["status"]);
    assert!(!table.contains("\ndesktopd"), "the table has no row for it: {table}");
}

#[test]
fn a_restart_of_the_gateway_with_a_mistake_says_so_and_restarts_nothing() {
    let world = World::running(&[("kde", "@polite")]);
    let before = world.until_state("kde", "ready");
    let unknown = world.cli(&["restart", "caddy", "kdee"]);
    assert_eq!(
        unknown.err,
        "desktopd: no service is named 'kdee'; did you mean 'kde'? desktopd restart kde\n"
    );
    let (status, answer) = world.post("/api/units/restart", r#"{"names": ["caddy", "kdee"]}"#);
    assert_eq!((status, &answer["error"]), (404, &json!("no service is named 'kdee'; did you mean 'kde'?")));
    assert_eq!(
        world.cli(&["stop", "cady"]).err,
        "desktopd: no service is named 'cady'; did you mean 'caddy'?\n"
    );
    world.service("kde", "@polite\nned = []");
    let refused = world.cli(&["restart", "kde", "caddy"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("kde.toml: ned: unknown key; did you mean `needs`?"), "{refused:?}");
    assert_eq!(world.unit("kde")["pid"], before["pid"]);
    // The new configuration is applied before anything is restarted.
    world.service("kde", "@polite\ndescription = \"new\"");
    let (status, answer) = world.post("/api/units/restart", r#"{"names": ["kde", "caddy"]}"#);
    assert_eq!((status, &answer["units"]), (200, &json!(["kde"])), "{answer}");
    assert_eq!(world.until_replaced("kde", &before)["description"], "new");
}

#[test]
fn no_service_can_have_the_daemons_names() {
    let world = World::running(&[
        ("caddy", "@polite"),
        ("run", "@polite"),
        ("kde", "@polite\naliases = [\"portal\", \"plasma\"]"),
        ("needy", "@polite\nneeds = [\"gateway\"]"),
    ]);
    world.until_state("kde", "ready");
    assert_eq!(world.unit("kde")["aliases"], json!(["plasma"]));
    let problems = world.status()["problems"].to_string();
    for told in [
        "services/caddy.toml: \\\"caddy\\\" is a name of desktopd itself; give the file another name",
        "services/run.toml: \\\"run\\\" is the name of the command that `desktopd run` is given; give the file another",
        "services/kde.toml: aliases: \\\"portal\\\" already means desktopd itself; it is left out",
        "services/needy.toml: needs: \\\"gateway\\\" is desktopd itself, which is always there; leave it out",
    ] {
        assert!(problems.contains(told), "{told}: {problems}");
    }
}

/// Whatever the result of a stop command is, the unit has ended within its time limit, plus a moment for KILL.
#[test]
fn a_stop_with_a_command_is_over_in_its_time() {
    let deaf = "command = [\"/bin/sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 0.02; done\"]\nstop-timeout = \"900ms\"\n";
    let mut world = World::new();
    let useless = world.script("useless", "#!/no/such/interpreter\n");
    let cases = [
        ("hangs", "[\"sleep\", \"1234\"]".to_owned(), ""),
        ("hangs-deaf", "[\"/bin/sh\", \"-c\", \"trap '' TERM; while :; do sleep 1; done\"]".to_owned(), ""),
        ("fails", "[\"/bin/sh\", \"-c\", \"echo no; exit 3\"]".to_owned(), "it ended with exit code 3"),
        ("none", format!("[\"{useless}\"]"), "useless, or rather its interpreter: No such file or directory"),
        ("well", "[\"true\"]".to_owned(), ""),
        ("contained", "[\"true\"]\ncontain = true".to_owned(), ""),
    ];
    for (name, command, _) in &cases {
        world.service(name, &format!("{deaf}stop-command = {command}"));
    }
    world.start();
    for (name, ..) in &cases {
        until("it is deaf", || (world.log(name) == "up\n").then_some(()));
    }
    let mut words = vec!["stop", "--wait", "--timeout", "10s"];
    words.extend(cases.iter().map(|(name, ..)| *name));
    let began = Instant::now();
    world.tell(&words);
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&took), "{took:?}");
    for (name, _, told) in &cases {
        let unit = world.until_state(name, "stopped");
        assert_eq!((&unit["state"], &unit["pid"]), (&json!("stopped"), &json!(null)), "{name}");
        // The daemon's own event times do not include the delays of this machine's load on the test.
        let events = world.tell(&["events", "--json"]);
        let at = |state: &str| {
            let events = events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let mut of = events.filter(|event| event["unit"] == *name && event["to"] == state);
            of.next().unwrap()["at"].as_i64().unwrap()
        };
        assert!((900..2500).contains(&(at("stopped") - at("stopping"))), "{name}");
        if !told.is_empty() {
            let said = world.log("desktopd");
            let line = said.lines().find(|line| line.contains(&format!("{name}: stop-command: ")));
            assert!(line.is_some_and(|line| line.contains(told)), "{name}: {said}");
        }
    }
    until("no command is left", || (world.everything().len() == 1).then_some(()));
    // A command that reaches its `--timeout` says what it was waiting for.
    world.tell(&["start", "--wait", "well"]);
    until("it is deaf", || (world.log("well") == "up\nup\n").then_some(()));
    let late = world.cli(&["stop", "--wait", "--timeout", "100ms", "well"]);
    assert_eq!(late.code, 1, "{late:?}");
    assert!(late.err.contains("not done within 100ms: well is stopping"), "{late:?}");
}
