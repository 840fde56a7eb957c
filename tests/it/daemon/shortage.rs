//! The daemon runs out of descriptors, processes or system calls. Running services go on, and a start that failed is
//! repeated as soon as it is possible.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{
    World, find, free_port, is_root, pid_of, proc_status, processor_time, run, skipped, until,
};

fn die(unit: &serde_json::Value) {
    kill(Pid::from_raw(pid_of(unit)), Signal::SIGKILL).unwrap();
}

/// Sets a soft limit of the running daemon.
fn limit(world: &World, what: &str, value: usize) {
    // Root without all capabilities may not do it for processes of other users.
    let uid = proc_status(world.pid(), "Uid").split('\t').next().unwrap().to_owned();
    let become_user = ["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"];
    let prlimit = ["prlimit", "--pid", &world.pid().to_string(), &format!("--{what}={value}:")];
    run(&[&become_user[..], &prlimit[..]].concat());
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Four services that would give up at once, if a shortage on the machine counted as their failure.
const STUBBORN: [(&str, &str); 4] = [
    ("plain", "@polite\nrestart-limit = 1\nrestart = \"never\""),
    ("guarded", "@polite\nrestart-limit = 2\ncontain = true"),
    ("needy", "@polite\nrestart-limit = 1\nneeds = [\"guarded\"]"),
    ("fine", "@polite"),
];

#[test]
fn without_descriptors_starts_wait_and_succeed_later() {
    let mut world = World::of(&STUBBORN);
    // Hashing the password takes time, and time is measured here.
    world.env("WEB_PASSWORD_HASH", "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm");
    world.start();
    let before = world.until_up();
    // Two free descriptors are not enough for a start; clients of the control socket take them.
    limit(&world, "nofile", descriptors(world.pid()) + 1);
    let mut clients: Vec<UnixStream> =
        (0..4).map(|_| UnixStream::connect(world.control_socket()).unwrap()).collect();
    world.until_said("accept a connection: Too many open files");
    die(&find(&before, "guarded"));
    world.until_said("guarded is backoff: starting a process: Too many open files");
    let (used, began) = (processor_time(world.pid()), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let used = processor_time(world.pid()).checked_sub(used).unwrap();
    eprintln!("{used:?} of processor time within {:?} without descriptors", began.elapsed());
    assert!(used < Duration::from_millis(300), "it does not sleep: {used:?} within {:?}", began.elapsed());
    let said = world.read("console").matches("accept a connection").count();
    assert!(said <= 2, "said {said} times");
    assert!(world.everything().contains(&pid_of(&find(&before, "fine"))), "what runs goes on");
    limit(&world, "nofile", 1000);
    // The waiting clients get their answers now.
    for client in &mut clients {
        client.write_all(b"GET /api/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let guarded = world.until_replaced("guarded", &find(&before, "guarded"));
    assert_eq!(guarded["restarts"], 1, "a start that could not be tried is none");
    world.until_replaced("needy", &find(&before, "needy"));
    assert_eq!(world.unit("fine"), find(&before, "fine"));
    world.end();
}

#[test]
fn many_connections_leave_descriptors_for_the_services() {
    let mut world = World::of(&STUBBORN);
    let port = free_port();
    world.env("SERVICEPORTAL_PORT_HOST", port.to_string());
    world.wrapped_in(&["prlimit", "--nofile=128:128", "--"]);
    world.start();
    let before = world.until_up();
    let strangers: Vec<TcpStream> =
        (0..200).filter_map(|_| TcpStream::connect(("127.0.0.1", port)).ok()).collect();
    let users: Vec<UnixStream> =
        (0..200).map_while(|_| UnixStream::connect(world.control_socket()).ok()).collect();
    assert_eq!((strangers.len(), users.len()), (200, 200), "the kernel accepts them in any case");
    die(&find(&before, "guarded"));
    until("it is back", || {
        (world.order().iter().filter(|line| *line == "needy up").count() == 2).then_some(())
    });
    assert!(descriptors(world.pid()) < 120);
    drop((strangers, users));
    let guarded = until("it answers again", || {
        let answer = world.cli(&["status", "--json", "guarded"]);
        serde_json::from_str::<serde_json::Value>(&answer.out).ok().map(|units| units[0].clone())
    });
    assert_eq!((&guarded["state"], &guarded["restarts"]), (&"ready".into(), &1.into()), "{guarded}");
    assert!(!world.read("console").contains("Too many open files"));
    world.end();
}

#[test]
fn without_processes_starts_wait_and_succeed_later() {
    if !is_root() {
        return skipped("the limit of processes holds only for others than root");
    }
    let mut world = World::of(&STUBBORN);
    world.service("plain", "@polite\nrestart-limit = 2\nrestart = \"on-failure\"");
    world.as_user(4321);
    world.start();
    let before = world.until_up();
    limit(&world, "nproc", 1);
    die(&find(&before, "guarded"));
    die(&find(&before, "plain"));
    let lack = "starting a process: Resource temporarily unavailable";
    for name in ["guarded", "plain"] {
        let unit = world.until_state(name, "backoff");
        assert!(unit["reason"].as_str().unwrap().starts_with(lack), "{unit}");
    }
    // A reload cannot start a thread for planning, and the command reports the error.
    let refused = world.cli(&["reload"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("starting a thread: Resource temporarily unavailable"), "{refused:?}");
    until("it has tried several times", || {
        (world.read("console").matches(&format!("plain is backoff: {lack}")).count() >= 4).then_some(())
    });
    assert_eq!(world.unit("fine"), find(&before, "fine"));
    limit(&world, "nproc", 1000);
    for name in ["guarded", "plain", "needy"] {
        let unit = world.until_replaced(name, &find(&before, name));
        assert!(unit["restarts"].as_u64().unwrap() <= 1, "{unit}");
    }
    world.tell(&["reload"]);
    world.end();
}

/// Runs a program with a system call filter: some calls fail, those that containers often forbid.
const FORBID: &str = r"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(int argc, char **argv) {
    unsigned int error = atoi(argv[1]);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        /* The same numbers on every machine: pidfd_send_signal, pidfd_open, clone3. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 424, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 434, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 435, 2, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        /* When clone3 is missing the C library uses another call; when it is forbidden the library has none. */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 120;
    execv(argv[2], argv + 2);
    return 121;
}
";

#[test]
fn calls_that_a_container_forbids_are_not_needed() {
    for error in [nix::libc::ENOSYS, nix::libc::EPERM] {
        let mut world = World::of(&STUBBORN);
        let forbid = world.compiled("forbid", FORBID, &[]);
        world.wrapped_in(&[&forbid, &error.to_string()]);
        world.start();
        let before = world.until_up();
        assert_eq!(proc_status(world.pid(), "Seccomp"), "2");
        die(&find(&before, "guarded"));
        world.until_replaced("guarded", &find(&before, "guarded"));
        world.until_replaced("needy", &find(&before, "needy"));
        world.tell(&["restart", "fine"]);
        world.until_replaced("fine", &find(&before, "fine"));
        world.tell(&["stop", "plain"]);
        world.until_state("plain", "stopped");
        world.end();
    }
}
