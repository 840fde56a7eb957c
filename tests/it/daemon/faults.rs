//! Failures around the daemon: a full disk for the logs, a read-only root, an unusual `/run`, a clock that jumps.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::daemon::world::{World, find, is_root, pid_of, proc_status, skipped, until, works};

/// Prints the file `say` again whenever it changes.
const TALKER: &str = "#!/bin/sh\nlast=\nwhile :; do\n  said=$(cat \"$D/say\" 2>/dev/null)\n  \
    [ \"$said\" = \"$last\" ] || echo \"$said\"\n  last=$said\n  sleep 0.02\ndone\n";

/// The command line for a new mount namespace in which `script` has been run, with `$D` for the folder.
fn mounted(script: &str) -> Vec<String> {
    let line = format!("{script}\nexec \"$@\"");
    ["unshare", "--mount", "sh", "-ec", &line, "sh"].map(str::to_owned).to_vec()
}

fn wrap(world: &mut World, script: &str) -> bool {
    if !works(&["unshare", "--mount"]) {
        return false;
    }
    let words = mounted(&script.replace("$D", world.path("").to_str().unwrap()));
    world.wrapped_in(&words.iter().map(String::as_str).collect::<Vec<_>>());
    true
}

#[test]
fn a_full_disk_affects_only_the_log_files() {
    let mut world = World::of(&[
        ("talker", "command = [\"@D/talker\"]"),
        (
            "flood",
            "command = [\"/bin/sh\", \"-c\", \"yes flood | head -c 3000000; echo over; exec sleep 1000\"]",
        ),
        ("fine", "@polite"),
    ]);
    world.script("talker", TALKER);
    if !wrap(&mut world, "mkdir -p $D/log; mount -t tmpfs -o size=1m none $D/log") {
        return;
    }
    world.start();
    let before = world.until_up();
    world.until_said("warning: log of flood: No space left on device");
    // Through the daemon's mount namespace: only the daemon has this mount.
    let seen = |name: &str| format!("/proc/{}/root{}", world.pid(), world.path(name).display());
    assert_eq!(fs::metadata(seen("log/flood.log")).unwrap().len() % 4096, 0, "the disk is full to its end");
    world.replace("say", "to a full disk");
    world.until_said("talker | to a full disk");
    world.until_said("warning: log of talker: No space left on device");
    assert!(world.log("talker").contains("to a full disk"));
    world.tell(&["restart", "fine"]);
    world.until_replaced("fine", &find(&before, "fine"));
    assert!(world.read("console").matches("log of flood").count() <= 2, "it is said once");
    // Wait for the end of the flood: otherwise its output would fill the freed space again.
    until("the flood is over", || world.log("flood").ends_with("over\n").then_some(()));
    fs::File::create(seen("log/flood.log")).unwrap();
    world.replace("say", "there is room again");
    until("the file is written again", || {
        fs::read_to_string(seen("log/talker.log"))
            .is_ok_and(|text| text.contains("there is room again"))
            .then_some(())
    });
    assert_eq!(find(&world.status(), "talker")["pid"], find(&before, "talker")["pid"]);
}

#[test]
fn removed_or_unwritable_logs_are_written_again() {
    let mut world = World::of(&[("talker", "command = [\"@D/talker\"]")]);
    world.script("talker", TALKER);
    world.start();
    world.replace("say", "first");
    world.until_written("log/talker.log", "first");
    let remove = || {
        // The daemon's own log lines may create the folder again at any moment.
        until("the folder is gone", || fs::remove_dir_all(world.path("log")).ok());
    };
    remove();
    world.replace("say", "second");
    world.until_written("log/talker.log", "second");
    // A folder in place of the file: even root cannot write to it.
    remove();
    fs::create_dir_all(world.path("log/talker.log")).unwrap();
    world.replace("say", "third");
    world.until_said("warning: log of talker: Is a directory");
    world.replace("say", "fourth");
    world.until_said("talker | fourth");
    fs::remove_dir(world.path("log/talker.log")).unwrap();
    world.replace("say", "fifth");
    world.until_written("log/talker.log", "fifth");
    assert!(world.log("talker").contains("third\nfourth\nfifth\n"));
}

const SERVICES: [(&str, &str); 3] = [
    ("polite", "@polite"),
    ("guarded", "@polite\ncontain = true\nneeds = [\"polite\"]"),
    ("telling", "command = [\"@D/tell\"]\nready = { kind = \"notify\" }"),
];

const TELL: &str = "#!/usr/bin/env python3\nimport os, socket, time\n\
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
    s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\ntime.sleep(1000)\n";

/// Checks that everything works: readiness, restarts, containment, the gateway, a clean stop.
fn everything_works(world: &mut World) {
    world.start();
    for name in ["polite", "guarded", "telling"] {
        let before = find(&world.until_up(), name);
        kill(Pid::from_raw(pid_of(&before)), Signal::SIGKILL).unwrap();
        world.until_replaced(name, &before);
    }
    world.until_up();
    world.tell(&["restart", "guarded"]);
    world.until_up();
    world.tell(&["stop", "telling"]);
    world.until_state("telling", "stopped");
    world.end();
}

#[test]
fn a_read_only_root_and_a_run_folder_without_programs_are_enough() {
    let mut world = World::of(&SERVICES);
    world.script("tell", TELL);
    let places = "run = \"@D/run\"\nstate = \"/var/lib/desktopd-test\"\nlog = \"/var/log/desktopd-test\"\n";
    let places = places.replace("@D", world.path("").to_str().unwrap());
    world.write("desktopd.toml", &format!("[paths]\n{places}"));
    let script = "mkdir -p $D/run; mount --bind $D $D; mount -t tmpfs -o noexec,mode=755 none $D/run; \
                  mount -o remount,bind,ro /; if touch /var/lib/x 2>/dev/null; then exit 9; fi";
    if !wrap(&mut world, script) {
        return;
    }
    world.start();
    world.until_up();
    world.until_said("log folder /var/log/desktopd-test: Read-only file system");
    let problems = world.status()["problems"].to_string();
    assert!(problems.contains("/var/lib/desktopd-test"), "{problems}");
    assert!(world.tell(&["credentials"]).contains("password"));
    assert!(!world.path("run/control.sock").exists(), "only the daemon's users can see it");
    world.end();
    everything_works(&mut world);
}

#[test]
fn a_user_without_an_account_can_run_it() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let mut world = World::of(&SERVICES);
    world.script("tell", TELL);
    world.as_user(4321);
    world.start();
    world.until_up();
    let pid = pid_of(&world.unit("polite"));
    assert!(proc_status(pid, "Uid").starts_with("4321\t"));
    world.end();
    everything_works(&mut world);
}

/// Moves the wall clock by the number of seconds in a file.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {
    char text[32];
    const char *path = getenv("CLOCK_OFFSET");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += offset();
    return result;
}
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
"#;

#[test]
fn a_jump_of_the_clock_affects_no_deadline() {
    const HOUR: i64 = 3_600_000;
    let go = "ready = { kind = \"file\", path = \"@D/go\" }";
    let mut world = World::of(&[
        ("talker", "command = [\"@D/talker\"]"),
        ("slow", &format!("command = [\"sleep\", \"1000\"]\n{go}\nstart-timeout = \"50m\"")),
        (
            "limited",
            "command = [\"sleep\", \"1000\"]\nready = { kind = \"fd\" }\nstart-timeout = \"2s\"\nrestart = \"never\"",
        ),
        (
            "failing",
            "command = [\"false\"]\nrestart-limit = \"none\"\nrestart-delay = \"1500ms\"\nrestart-delay-max = \"1500ms\"",
        ),
        (
            "deaf",
            "command = [\"/bin/sh\", \"-c\", \"trap '' TERM; echo up; while :; do sleep 0.05; done\"]\nstop-timeout = \"1s\"",
        ),
        ("fine", "@polite"),
    ]);
    world.script("talker", TALKER);
    let shim = world.compiled("clock.so", CLOCK, &["-shared", "-fPIC", "-ldl"]);
    let offset = world.path("offset").display().to_string();
    world.env("LD_PRELOAD", shim).env("CLOCK_OFFSET", offset);
    world.start();
    let began = Instant::now();
    world.until("it fails", |status| find(status, "failing")["restarts"].as_u64() >= Some(1));
    let started = world.status()["started_at"].as_i64().unwrap();
    for (jump, word) in [(3600, "an hour later"), (-3600, "an hour before"), (0, "now")] {
        let failing = world.unit("failing")["restarts"].as_u64().unwrap();
        let deaf = world.until_state("deaf", "ready");
        until("it is deaf", || world.log("deaf").contains("up").then_some(()));
        world.replace("offset", &jump.to_string());
        let jumped = Instant::now();
        world.replace("say", word);
        world.until_said(&format!("talker | {word}"));
        // The log has the new time: the clock did jump for the daemon.
        let lines: Vec<Value> = world
            .tell(&["logs", "talker", "--json"])
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let last = lines.last().unwrap();
        assert_eq!(last["text"], word);
        let away = last["at"].as_i64().unwrap() - started - jump * 1000;
        assert!((0..HOUR / 60).contains(&away), "{word}: {away} ms after the start");
        // No deadline comes early …
        assert_eq!(world.unit("slow")["state"], "starting", "{word}");
        if began.elapsed() < Duration::from_millis(1900) {
            assert_eq!(world.unit("limited")["state"], "starting", "{word}");
        }
        // … or never.
        world.tell(&["stop", "deaf"]);
        world.until_state("deaf", "stopped");
        let took = jumped.elapsed();
        assert!(took >= Duration::from_secs(1), "{word}: killed after {took:?}");
        world.until("the back-off ends", |status| {
            find(status, "failing")["restarts"].as_u64().unwrap() > failing
        });
        let fine = world.unit("fine");
        world.tell(&["restart", "fine"]);
        world.until_replaced("fine", &fine);
        world.tell(&["start", "deaf"]);
        world.until_replaced("deaf", &deaf);
        assert!(world.tell(&["status"]).contains("fine"), "a table, whatever the times in it");
        world.tell(&["status", "fine"]);
        world.tell(&["timeline"]);
    }
    let limited = world.until_state("limited", "failed");
    assert!(limited["reason"].as_str().unwrap().starts_with("it was not ready within 2s"), "{limited}");
    world.write("go", "");
    world.until_state("slow", "ready");
    let text = world.tell(&["events", "--json", "-n", "1000"]);
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|two| two[0] < two[1]), "{seqs:?}");
    // Event times follow the clock of the start, so that they show durations.
    let times: Vec<i64> = events.iter().map(|event| event["at"].as_i64().unwrap()).collect();
    assert!(times.iter().all(|at| (0..HOUR / 60).contains(&(at - started))), "{times:?}");
}
