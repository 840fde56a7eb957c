//! Mistakes in configuration files: only the wrong part fails, and the message names it.

use std::net::TcpListener;

use crate::daemon::world::{World, find, free_port, pid_of, variable};

#[test]
fn broken_files_are_failed_units_and_the_others_run() {
    let world = World::of(&[
        ("unknown-key", "@polite\nneed = [\"fine\"]"),
        ("bad-duration", "@polite\nstop-timeout = \"soon\""),
        ("no-command", "description = \"nothing\""),
        ("no-toml", "command = ["),
        ("circle-a", "@polite\nneeds = [\"circle-b\"]"),
        ("circle-b", "@polite\nneeds = [\"circle-a\"]"),
        ("unknown-need", "@polite\nneeds = [\"fin\"]"),
        ("unknown-variable", "command = [\"sleep\", \"${run-dri}\"]"),
        ("behind", "@polite\nneeds = [\"bad-duration\"]"),
        ("fine", "@polite"),
    ]);
    let mut world = world;
    world.start();
    world.until_state("fine", "ready");
    let status = world.status();
    let problems: Vec<&str> =
        status["problems"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    for (name, told) in [
        ("unknown-key", "need: unknown key; did you mean `needs`?"),
        ("bad-duration", "stop-timeout: \"soon\" is not a duration such as"),
        ("no-command", "command: it is missing"),
        ("no-toml", "line 2: "),
        ("circle-a", "they wait for each other in a circle: "),
        ("circle-b", "they wait for each other in a circle: "),
        ("unknown-need", "needs: \"fin\" is not the name of a service; did you mean \"fine\"?"),
        ("unknown-variable", "names ${run-dri}, which is not defined; did you mean ${run-dir}?"),
    ] {
        let unit = find(&status, name);
        let reason = unit["reason"].as_str().unwrap();
        assert_eq!(unit["state"], "failed", "{unit}");
        assert!(reason.contains(told), "{name}: {reason}");
        let file = world.path(&format!("services/{name}.toml")).display().to_string();
        assert!(
            problems.iter().any(|problem| problem.contains(&file) && problem.contains(told)),
            "{problems:#?}"
        );
    }
    assert_eq!(find(&status, "behind")["reason"], "it needs bad-duration, whose file is wrong");
    let table = world.page();
    assert!(table.contains("problem: ") && table.contains("did you mean `needs`?"), "{table}");
    let refused = world.cli(&["start", "no-command"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("'no-command' cannot be started: "), "{refused:?}");
    let plan = world.cli(&["plan"]);
    assert_eq!(plan.code, 78, "{plan:?}");
}

#[test]
fn a_taken_port_affects_that_port_only() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut world = World::of(&[("fine", "@polite")]);
    world.env("SERVICEPORTAL_PORT_HOST", port.to_string());
    world.start();
    world.until_state("fine", "ready");
    let status = world.status();
    let problems = status["problems"].to_string();
    assert!(problems.contains(&port.to_string()) && problems.contains("is taken"), "{problems}");
    assert!(world.read("console").contains("error: "), "{}", world.read("console"));
}

#[test]
fn a_route_whose_port_is_taken_says_so() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let upstream = free_port();
    let mut world = World::of(&[("fine", "@polite")]);
    world.service(
        "web",
        &format!("@polite\n[route]\nlisten = \"{port}\"\nupstream = \"127.0.0.1:{upstream}\""),
    );
    world.start();
    world.until_up();
    let status = world
        .until("the route is judged", |status| status["routes"].as_array().is_some_and(|r| r.len() == 2));
    let route = status["routes"].as_array().unwrap().iter().find(|route| route["unit"] == "web").unwrap();
    assert!(route["problem"].as_str().unwrap().contains("is taken"), "{route}");
    let health = world.cli(&["health"]);
    assert_eq!(health.code, 1, "{health:?}");
}

#[test]
fn a_password_that_cannot_be_hashed_is_refused_and_not_shown() {
    let long = "p".repeat(73);
    let mut world = World::of(&[("fine", "@polite")]);
    world.env("WEB_PASSWORD", &long);
    world.start();
    world.until_state("fine", "ready");
    let problems = world.status()["problems"].to_string();
    assert!(problems.contains("WEB_PASSWORD: the value is not a password of at most 72 bytes"), "{problems}");
    assert!(!world.read("console").contains(&long));
    // A working password was generated instead.
    let shown: serde_json::Value = serde_json::from_str(&world.tell(&["credentials", "--json"])).unwrap();
    assert!(shown["password"].as_str().is_some_and(|made| made.len() >= 12), "{shown}");
}

#[test]
fn secrets_are_masked_in_logs_plans_and_reasons() {
    let secrets = ["correct horse battery", "tok-123456", "hf_secretvalue"];
    let mut world = World::of(&[(
        "leaky",
        "command = [\"/bin/sh\", \"-c\", \"echo password $$HIDDEN and $$HF_TOKEN; exec sleep 1000\"]\n[environment]\nHIDDEN = \"tok-123456\"",
    )]);
    world.env("WEB_PASSWORD", secrets[0]).env("WEB_TOKEN", secrets[1]).env("HF_TOKEN", secrets[2]);
    world.start();
    let pid = pid_of(&world.until_state("leaky", "ready"));
    assert_eq!(variable(pid, "HF_TOKEN"), Some(secrets[2].into()));
    let seen = "password ****** and ******";
    world.until_said(&format!("leaky | {seen}"));
    world.until_written("log/leaky.log", seen);
    let shown = [
        world.tell(&["logs", "leaky"]),
        world.tell(&["logs"]),
        world.cli(&["plan"]).out,
        world.cli(&["plan", "--json"]).out,
        world.tell(&["status", "--json"]),
        world.read("console"),
        world.read("log/leaky.log"),
    ];
    for text in shown {
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn a_missing_configuration_is_a_problem_and_the_daemon_runs() {
    let mut world = World::of(&[]);
    std::fs::remove_dir(world.path("services")).unwrap();
    world.start();
    let status = world.status();
    assert_eq!(status["units"].as_array().unwrap().len(), 0);
    assert!(status["problems"].to_string().contains("it should hold a NAME.toml for each service"));
}

#[test]
fn a_unit_gets_its_files_and_folders_before_it_starts() {
    let mut world = World::of(&[
        (
            "reader",
            "command = [\"sh\", \"-c\", \"stat --format=%a @D/made/folder @D/made/app.conf > @D/modes; \
             cat @D/made/app.conf; exec sleep 100\"]\nsecrets = [\"WEB_TOKEN\"]\nfolders = [\"@D/made/folder\"]\n\
             [[file]]\npath = \"@D/made/app.conf\"\nmode = \"0640\"\ncontent = \"\"\"\nwidth=${width}\ntoken=${WEB_TOKEN}\n\"\"\"",
        ),
        (
            "nowhere",
            "@polite\nrestart-limit = 1\n[[file]]\npath = \"/proc/nowhere/app.conf\"\ncontent = \"\"",
        ),
    ]);
    world.env("WEB_TOKEN", "a-t0ken-in-a-file");
    world.start();
    world.until_state("reader", "ready");
    world.until_written("modes", "700\n640\n");
    assert_eq!(world.read("made/app.conf"), "width=1920\ntoken=a-t0ken-in-a-file\n");
    world.until_said("token=******");
    let failed = world.until_state("nowhere", "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("writing /proc/nowhere/app.conf: No such file or directory"), "{reason}");
}

#[test]
fn temporary_files_of_a_service_are_private_and_removed_at_its_next_start() {
    let mut world = World::of(&[(
        "writer",
        "command = [\"sh\", \"-c\", \"stat --format=%a $$TMPDIR > @D/seen.new; ls $$TMPDIR >> @D/seen.new; \
         echo $$TMPDIR >> @D/seen.new; ln -s @D/kept $$TMPDIR/left; mv @D/seen.new @D/seen; exec sleep 100\"]\n\
         private-tmp = true",
    )]);
    // `TMPDIR` has no effect here, and the target of a symbolic link is kept.
    world.env("TMPDIR", "/nowhere");
    std::fs::create_dir(world.path("kept")).unwrap();
    world.write("kept/file", "kept");
    world.start();
    let first = world.until_state("writer", "ready");
    let folder = world.path("run/tmp/writer");
    let seen = format!("700\n{}\n", folder.display());
    world.until_written("seen", &seen);
    std::fs::remove_file(world.path("seen")).unwrap();
    world.tell(&["restart", "writer"]);
    world.until_replaced("writer", &first);
    world.until_written("seen", &seen);
    assert_eq!(world.read("kept/file"), "kept");
}

#[test]
fn a_condition_is_checked_again_at_a_reload() {
    let world = World::running(&[(
        "waiting",
        "@polite\n[[condition]]\nany-file = [\"@D/none\", \"@D/keys\"]\nelse = \"no key is known\"",
    )]);
    let skipped = world.until_state("waiting", "skipped");
    assert_eq!(skipped["reason"], "no key is known");
    world.write("keys", "# not yet\n");
    assert_eq!(world.tell(&["reload"]), "nothing changed\n");
    world.write("keys", "a key\n");
    world.tell(&["reload"]);
    world.until_state("waiting", "ready");
    std::fs::remove_file(world.path("keys")).unwrap();
    world.tell(&["reload"]);
    world.until_state("waiting", "skipped");
}
