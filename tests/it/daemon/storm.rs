//! Load: thousands of orphans, and services that are killed together again and again.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{World, children, find, pid_of, until, works};

const NAMESPACE: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Forks twice, as often as its argument says, and leaves the grandchildren as orphans. They end at different times,
/// the last one before `orphaned` appears.
const ORPHANS: &str = r"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int last[2];
    char byte;
    if (pipe(last)) return 1;
    for (int i = atoi(argv[1]); i > 0; i--) {
        pid_t child = fork();
        if (child < 0) return 2;
        if (child == 0) {
            if (fork() == 0) {
                setsid();
                usleep(i % 50 * 1000);
                _exit(3);
            }
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status) return 3;
    }
    /* Every orphan holds the other end until its end. */
    close(last[1]);
    while (read(last[0], &byte, 1) > 0) {}
    return creat(argv[2], 0644) < 0;
}
";

#[test]
fn ten_thousand_orphans_leave_nothing_and_no_status_is_lost() {
    if !works(&NAMESPACE) {
        return;
    }
    let mut world = World::new();
    let orphans = world.compiled("orphans", ORPHANS, &[]);
    let done = world.path("orphaned").display().to_string();
    world.service(
        "orphans",
        &format!("command = [\"{orphans}\", \"10000\", \"{done}\"]\nrestart = \"never\""),
    );
    for number in 0..10 {
        let text = format!("command = [\"/bin/sh\", \"-c\", \"sleep 0.{number}; exit {}\"]", 10 + number);
        world.service(&format!("code-{number}"), &format!("{text}\nrestart = \"never\""));
    }
    world.wrapped_in(&NAMESPACE);
    let began = Instant::now();
    world.start();
    let daemon = world.inner_pid();
    until("the last orphan has ended", || world.path("orphaned").exists().then_some(()));
    let (made, last) = (began.elapsed(), Instant::now());
    until("no zombie is left", || (children(daemon).1 == 0).then_some(()));
    let took = last.elapsed();
    eprintln!("10000 orphans within {made:?}; the last zombie was gone {took:?} later");
    assert!(took < Duration::from_secs(1), "zombies {took:?} after the last exit");
    assert_eq!(world.until_state("orphans", "stopped")["reason"], "it ended with exit code 0");
    for number in 0..10 {
        let unit = world.until_state(&format!("code-{number}"), "failed");
        assert_eq!(unit["reason"], format!("it ended with exit code {}", 10 + number));
    }
    until("nothing is left", || children(daemon).0.is_empty().then_some(()));
    kill(Pid::from_raw(daemon), Signal::SIGTERM).unwrap();
    assert_eq!(world.ended().code(), Some(0));
}

/// A process that is killed when the test ends, whatever the result.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Checks the method of the test above: an init that collects nothing has as many zombies as there were orphans.
#[test]
fn an_init_that_collects_nothing_is_detected() {
    if !works(&NAMESPACE) {
        return;
    }
    let world = World::new();
    let orphans = world.compiled("orphans", ORPHANS, &[]);
    let done = world.path("orphaned");
    // A waiting shell would collect some of them.
    let script = format!("'{orphans}' 200 '{}' & exec sleep 1000", done.display());
    let mut command = Command::new(NAMESPACE[0]);
    command.args(&NAMESPACE[1..]).args(["sh", "-c", &script]).stdin(Stdio::null());
    let unshare = Ended(command.spawn().unwrap());
    until("the last orphan has ended", || done.exists().then_some(()));
    let init = children(unshare.0.id().cast_signed()).0[0];
    until("all are zombies, and so is their parent", || (children(init).1 == 201).then_some(()));
}

/// Takes a lock and becomes ready, or reports that another process holds the lock.
const SINGLE: &str = r#"
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int lock = open(argv[1], O_CREAT | O_RDWR, 0644);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB)) {
        int twice = open(argv[2], O_CREAT | O_WRONLY | O_APPEND, 0644);
        write(twice, argv[1], strlen(argv[1]));
        write(twice, "\n", 1);
    }
    write(3, "\n", 1);
    for (;;) pause();
}
"#;

#[test]
fn a_hundred_rounds_of_kills_never_run_a_service_twice() {
    const LAPS: u64 = 100;
    let mut world = World::new();
    let single = world.compiled("single", SINGLE, &[]);
    let names: Vec<String> = (0..10).map(|number| format!("single-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let contain = number % 5 == 0;
        world.service(
            name,
            &format!(
                "command = [\"{single}\", \"@D/lock-{name}\", \"@D/twice\"]\nready = {{ kind = \"fd\" }}\n\
                 restart-limit = \"none\"\nrestart-delay = \"1ms\"\nrestart-delay-max = \"5ms\"\ncontain = {contain}"
            ),
        );
    }
    world.start();
    let mut before = world.until_up();
    let began = Instant::now();
    for lap in 1..=LAPS {
        for name in &names {
            kill(Pid::from_raw(pid_of(&find(&before, name))), Signal::SIGKILL).unwrap();
        }
        before = world.until("all are back", |status| {
            names.iter().all(|name| {
                let unit = find(status, name);
                unit["state"] == "ready" && unit["pid"] != find(&before, name)["pid"]
            })
        });
        assert!(names.iter().all(|name| find(&before, name)["restarts"] == lap), "round {lap}: {before:#}");
    }
    eprintln!("{LAPS} laps of ten kills within {:?}", began.elapsed());
    assert_eq!(world.read("twice"), "");
    assert_eq!(before["up"], true);
    // The lock would reveal a second process.
    let lock = world.path("lock-single-0").display().to_string();
    let second = Command::new(&single).args([&lock, world.path("twice").to_str().unwrap()]).spawn().unwrap();
    let second = Ended(second);
    until("a second one is noticed", || (world.read("twice") == format!("{lock}\n")).then_some(()));
    drop(second);
    world.end();
}
