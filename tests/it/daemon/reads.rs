//! Files and sockets that never end or never answer: FIFOs, endless devices, a silent daemon. Waiting has a time limit,
//! and memory use a size limit.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use crate::daemon::world::{World, find, run, until};

fn fifo(world: &World, name: &str) -> String {
    let path = world.path(name).display().to_string();
    run(&["mkfifo", &path]);
    path
}

#[test]
fn a_service_file_that_is_not_a_regular_file_is_a_problem_and_blocks_nothing() {
    let mut world = World::of(&[("fine", "@polite")]);
    // A FIFO at the start …
    let early = fifo(&world, "services/early.toml");
    std::os::unix::fs::symlink("/dev/zero", world.path("services/zero.toml")).unwrap();
    world.start();
    world.until_state("fine", "ready");
    let problems = world.status()["problems"].to_string();
    for expected in
        ["early.toml: is a FIFO, expected a regular file", "zero.toml: is a character device, expected"]
    {
        assert!(problems.contains(expected), "{problems}");
    }
    // … and while the daemon runs.
    let late = fifo(&world, "services/late.toml");
    let asked = Instant::now();
    let refused = world.cli(&["reload"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("late.toml: is a FIFO, expected a regular file"), "{refused:?}");
    assert!(world.tell(&["status"]).contains("fine"));
    assert_eq!(world.cli(&["health"]).code, 0);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    for file in [early, late] {
        fs::remove_file(file).unwrap();
    }
    fs::remove_file(world.path("services/zero.toml")).unwrap();
    world.service("more", "@polite");
    world.tell(&["reload"]);
    world.until_state("more", "ready");
    world.end();
}

#[test]
fn settings_that_are_not_a_regular_file_give_the_defaults() {
    let world = World::new();
    fs::remove_file(world.path("desktopd.toml")).unwrap();
    fifo(&world, "desktopd.toml");
    let plan = world.cli(&["plan"]);
    assert_eq!(plan.code, 78, "{plan:?}");
    assert!(
        plan.out.contains("desktopd.toml: is a FIFO, expected a regular file; defaults are used"),
        "{plan:?}"
    );
}

/// A control socket that accepts connections and answers as `answer` does.
fn false_daemon(world: &World, answer: impl Fn(std::os::unix::net::UnixStream) + Send + 'static) {
    fs::create_dir_all(world.path("run")).unwrap();
    let listener = UnixListener::bind(world.path("run/control.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream);
        }
    });
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for() {
    let world = World::new();
    false_daemon(&world, |mut stream| {
        // It reads, and sends nothing until the other side closes.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let asked = Instant::now();
    let answer = world.cli(&["health"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.err.contains("the daemon does not answer within 10s"), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(14), "{:?}", asked.elapsed());
}

#[test]
fn an_answer_without_an_end_is_not_kept() {
    let world = World::new();
    false_daemon(&world, |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\"");
        let much = vec![b'x'; 1 << 20];
        while stream.write_all(&much).is_ok() {}
    });
    let answer = world.cli(&["status"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.err.contains("the daemon's answer is larger than 64 MiB"), "{answer:?}");
    let answer = world.cli(&["events", "-f"]);
    assert_eq!(answer.code, 1, "{answer:?}");
}

#[test]
fn service_files_beyond_a_thousand_are_reported_as_left_out() {
    let mut world = World::of(&[("a-fine", "@polite")]);
    for n in 0..1500 {
        world.write(
            &format!("services/s{n:05}.toml"),
            "command = [\"true\"]\nuser = \"own\"\nautostart = false\n",
        );
    }
    world.start();
    world.until_state("a-fine", "ready");
    let status = world.status();
    let problems = status["problems"].to_string();
    assert!(problems.contains("it holds 1501 service files"), "{problems}");
    assert_eq!(status["units"].as_array().unwrap().len(), 1000);
    assert_eq!(find(&status, "s00998")["state"], "stopped");
    world.end();
}

#[test]
fn a_removed_control_socket_is_made_again() {
    let mut world = World::of(&[("fine", "@polite\ncontain = true"), ("telling", "@polite")]);
    world.start();
    world.until_up();
    let socket = world.path("run/control.sock");
    let answers = || until("it answers again", || (world.cli(&["health"]).code == 0).then_some(()));
    fs::remove_file(&socket).unwrap();
    answers();
    // All of the folder's contents, and the folder itself.
    for entry in fs::read_dir(world.path("run")).unwrap().flatten() {
        let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
    }
    answers();
    fs::remove_dir_all(world.path("run")).unwrap();
    answers();
    // And services can still be restarted.
    for name in ["fine", "telling"] {
        let before = world.unit(name);
        world.tell(&["restart", name]);
        world.until_replaced(name, &before);
    }
    assert!(world.read("console").contains("control.sock was removed and has been restored"));
    world.end();
}
