//! The duties of an init, as PID 1 and beside another init: orphans, signals, and the initial state of every process.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::daemon::world::{
    World, children, environment, is_root, pid_of, proc_status, skipped, until, variable,
};

/// Leaves the number of orphans that its argument gives.
const ORPHANS: &str = r#"#!/usr/bin/env python3
import os, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            os._exit(3)
        os._exit(0)
    os.wait()
open(os.environ["D"] + "/orphaned", "w").write("done")
"#;

#[test]
fn orphans_are_collected_and_no_exit_status_is_lost() {
    let mut world = World::new();
    world.script("orphans", ORPHANS);
    world.service("orphans", "command = [\"@D/orphans\", \"500\"]\nrestart = \"never\"");
    for number in 0..8 {
        let text = format!(
            "command = [\"/bin/sh\", \"-c\", \"sleep 0.{number}; exit {}\"]\nrestart = \"never\"",
            10 + number
        );
        world.service(&format!("code-{number}"), &text);
    }
    world.start();
    world.until_written("orphaned", "done");
    assert_eq!(world.until_state("orphans", "stopped")["reason"], "it ended with exit code 0");
    for number in 0..8 {
        let unit = world.until_state(&format!("code-{number}"), "failed");
        assert_eq!(unit["reason"], format!("it ended with exit code {}", 10 + number));
    }
    until("no zombie is left", || (children(world.pid()).1 == 0).then_some(()));
    until("nothing is left", || children(world.pid()).0.is_empty().then_some(()));
}

/// Holds the daemon's look for the desktop's user, a part of every plan, for as long as the file exists.
const HOLD: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>
int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size, struct passwd **result) {
    int (*real)() = dlsym(RTLD_NEXT, "getpwnam_r");
    while (access(getenv("HOLD"), F_OK) == 0) usleep(1000);
    return real(name, entry, buffer, size, result);
}
int getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t size, struct passwd **result) {
    int (*real)() = dlsym(RTLD_NEXT, "getpwuid_r");
    while (access(getenv("HOLD"), F_OK) == 0) usleep(1000);
    return real(uid, entry, buffer, size, result);
}
"#;

#[test]
fn a_child_that_ends_before_the_first_plan_is_collected() {
    let mut world = World::of(&[("stays", "@polite")]);
    let shim = world.compiled("hold.so", HOLD, &["-shared", "-fPIC", "-ldl"]);
    world.write("hold", "");
    let hold = world.path("hold");
    world.env("LD_PRELOAD", shim).env("HOLD", &hold);
    // A child from before this program ran, as an entry script may leave one.
    world.wrapped_in(&["sh", "-c", "sleep 0.5 & exec \"$@\"", "sh"]);
    world.spawn();
    world.until("it answers", |status| status["phase"] == "starting");
    until("the child is collected", || children(world.pid()).0.is_empty().then_some(()));
    assert_eq!(world.status()["phase"], "starting", "the plan is not made yet");
    std::fs::remove_file(hold).unwrap();
    world.until_state("stays", "ready");
    world.end();
}

#[test]
fn beside_another_init_orphans_are_collected_too() {
    let mut world = World::of(&[]);
    world.script("orphans", ORPHANS);
    world.service("orphans", "command = [\"@D/orphans\", \"50\"]\nrestart = \"never\"");
    world.service("stays", "@polite");
    world.wrapped_in(&["sh", "-c", "\"$@\"; echo \"ended with $?\"; exit 7", "sh"]);
    world.start();
    world.until_written("orphaned", "done");
    world.until_state("stays", "ready");
    let daemon = i32::try_from(world.status()["pid"].as_i64().unwrap()).unwrap();
    assert_ne!(daemon, world.pid());
    until("no zombie is left", || (children(daemon).1 == 0).then_some(()));
    kill(Pid::from_raw(daemon), Signal::SIGTERM).unwrap();
    assert_eq!(world.ended().code(), Some(7));
    assert!(world.read("console").ends_with("ended with 0\n"));
    world.assert_nothing_left();
}

#[test]
fn as_pid_1_it_collects_orphans_and_stops_on_a_signal() {
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let probe = std::process::Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        return skipped(&format!("no PID namespace can be made here: {probe:?}"));
    }
    let mut world = World::of(&[("stays", "@polite"), ("guarded", "@polite\ncontain = true")]);
    world.script("orphans", ORPHANS);
    world.service("orphans", "command = [\"@D/orphans\", \"100\"]\nrestart = \"never\"");
    world.service(
        "zombies",
        "command = [\"/bin/sh\", \"-c\", \"while [ ! -e $$D/orphaned ]; do sleep 0.02; done; sleep 0.2; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; ps -e >&2\"]\nrestart = \"never\"",
    );
    world.wrapped_in(&unshare);
    world.start();
    assert_eq!(world.status()["pid"], 1);
    world.until_state("zombies", "stopped");
    assert!(world.log("zombies").contains("0\n"), "{}", world.log("zombies"));
    world.until_state("guarded", "ready");
    // Including signals that the kernel does not deliver to PID 1 by default.
    let (inside, _) = children(world.pid());
    assert_eq!(inside.len(), 1);
    kill(Pid::from_raw(inside[0]), Signal::SIGINT).unwrap();
    assert_eq!(world.ended().code(), Some(0));
    assert!(world.order().contains(&"stays down".to_owned()), "{:?}", world.order());
    world.assert_nothing_left();
}

#[test]
fn a_service_starts_with_clean_signals_descriptors_and_session() {
    let mut world = World::of(&[
        ("plain", "command = [\"sleep\", \"1000\"]\numask = \"0027\"\ndirectory = \"/usr\"\nnice = 5"),
        ("guarded", "command = [\"sleep\", \"1000\"]\ncontain = true"),
        (
            "telling",
            "command = [\"/bin/sh\", \"-c\", \"echo >&3; exec sleep 1000\"]\nready = { kind = \"fd\" }",
        ),
    ]);
    // A careless parent passes on ignored and blocked signals, and open files.
    world.wrapped_in(&[
        "python3",
        "-c",
        "import os, signal, sys\n\
         for s in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGCHLD): signal.signal(s, signal.SIG_IGN)\n\
         signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})\n\
         os.set_inheritable(os.open('/etc/passwd', os.O_RDONLY), True)\n\
         os.dup2(os.open('/etc/group', os.O_RDONLY), 77)\n\
         os.execv(sys.argv[1], sys.argv[1:])",
    ]);
    world.start();
    world.until_up();
    for name in ["plain", "guarded", "telling"] {
        let pid = pid_of(&world.until_state(name, "ready"));
        until("it is the program", || (proc_status(pid, "Name") == "sleep").then_some(()));
        for field in ["SigBlk", "SigIgn", "SigCgt"] {
            let signals = u64::from_str_radix(&proc_status(pid, field), 16).unwrap();
            // Signals 32 and 33 belong to the C library's threads: a program cannot change what it inherits for them.
            assert_eq!(signals & !(3 << 31), 0, "{name}: {field}: {signals:x}");
        }
        let fds = || -> BTreeSet<i32> {
            let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
        };
        let expected: BTreeSet<i32> = (0..if name == "telling" { 4 } else { 3 }).collect();
        // While the program is being loaded, its libraries' files are open.
        until(&format!("{name} has these descriptors: {expected:?}"), || (fds() == expected).then_some(()));
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap(), OsStr::new("/dev/null"));
        assert_eq!(nix::unistd::getsid(Some(Pid::from_raw(pid))).unwrap().as_raw(), pid, "{name}");
    }
    let plain = pid_of(&world.unit("plain"));
    assert_eq!(proc_status(plain, "Umask"), "0027");
    assert_eq!(proc_status(pid_of(&world.unit("telling")), "Umask"), "0002");
    assert_eq!(std::fs::read_link(format!("/proc/{plain}/cwd")).unwrap(), OsStr::new("/usr"));
    let stat = std::fs::read_to_string(format!("/proc/{plain}/stat")).unwrap();
    assert_eq!(stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(16), Some("5"));
    // TERM must reach the daemon although its parent had blocked it.
    world.end();
}

#[test]
fn a_service_gets_the_environment_and_none_of_our_secrets() {
    let mut world = World::of(&[
        (
            "plain",
            "command = [\"sleep\", \"1000\"]\n[environment]\nOWN = \"of ${WEB_USER}\"\nEMPTY = \"${SELKIES_URL}\"",
        ),
        ("trusted", "command = [\"sleep\", \"1000\"]\nsecrets = [\"TURN_PASSWORD\"]"),
    ]);
    let odd = OsString::from_vec(b"a\nb \"q\" 'q' 100% \xff\xfe $HOME `x` \\".to_vec());
    world
        .env("WEB_PASSWORD", "secret-password")
        .env("WEB_TOKEN", "secret-token")
        .env("TURN_PASSWORD", "secret-turn");
    world.env("HF_TOKEN", "hf_abcdef").env("ODD", &odd).env("EMPTY", "to be unset").env("WEB_USER", "ada");
    world.env("NOTIFY_SOCKET", "/nowhere").env("LISTEN_FDS", "3").env("BLANK", "");
    world.argument("GIVEN=by argument").argument("nonsense");
    world.start();
    let pid = pid_of(&world.until_state("plain", "ready"));
    let get = |name: &str| variable(pid, name);
    for name in ["WEB_PASSWORD", "WEB_TOKEN", "TURN_PASSWORD", "NOTIFY_SOCKET", "LISTEN_FDS", "EMPTY"] {
        assert_eq!(get(name), None, "{name}");
    }
    assert_eq!(get("ODD"), Some(odd));
    for (name, value) in
        [("HF_TOKEN", "hf_abcdef"), ("GIVEN", "by argument"), ("OWN", "of ada"), ("BLANK", "")]
    {
        assert_eq!(get(name), Some(value.into()), "{name}");
    }
    let trusted = pid_of(&world.until_state("trusted", "ready"));
    assert_eq!(variable(trusted, "TURN_PASSWORD"), Some("secret-turn".into()));
    assert_eq!(variable(trusted, "WEB_PASSWORD"), None);
    let all: Vec<u8> =
        environment(pid).into_iter().flat_map(|(name, value)| [name, value].concat()).collect();
    assert!(!String::from_utf8_lossy(&all).contains("secret-"));
    let problems = world.status()["problems"].to_string();
    assert!(problems.contains("arguments of init: nonsense"), "{problems}");
}

#[test]
fn a_service_of_the_desktops_user_runs_as_that_user() {
    if !is_root() {
        return skipped("only root can become another user");
    }
    let user = User::from_uid(65534.into()).unwrap().expect("the user `nobody`");
    let mut world = World::of(&[
        ("theirs", "user = \"desktop\"\ncommand = [\"sleep\", \"1000\"]\ndirectory = \"/\""),
        ("ours", "user = \"root\"\ncommand = [\"sleep\", \"1000\"]"),
        (
            "told",
            "user = \"desktop\"\ncommand = [\"@D/tell\"]\nready = { kind = \"notify\" }\ndirectory = \"/\"\ncontain = true",
        ),
    ]);
    world.script(
        "tell",
        "#!/usr/bin/python3\nimport os, socket, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\ntime.sleep(1000)\n",
    );
    world.env("USER_NAME", &user.name);
    world.start();
    world.until_up();
    let theirs = pid_of(&world.unit("theirs"));
    let four = |id: u32| [id.to_string(), id.to_string(), id.to_string(), id.to_string()].join("\t");
    for pid in [theirs, pid_of(&world.unit("told"))] {
        assert_eq!(proc_status(pid, "Uid"), four(user.uid.as_raw()));
        assert_eq!(proc_status(pid, "Gid"), four(user.gid.as_raw()));
        assert_eq!(proc_status(pid, "Groups"), user.gid.to_string());
        assert_eq!(proc_status(pid, "CapEff"), "0000000000000000");
    }
    assert_eq!(variable(theirs, "USER"), Some(user.name.clone().into()));
    assert_eq!(variable(theirs, "HOME"), Some(user.dir.clone().into()));
    let ours = pid_of(&world.unit("ours"));
    assert_eq!(proc_status(ours, "Uid"), four(0));
    assert_eq!(variable(ours, "HOME"), Some("/root".into()));
}

#[test]
fn without_root_units_of_root_are_skipped_and_the_others_run() {
    if !is_root() {
        return skipped("only root can become an ordinary user");
    }
    let mut world = World::of(&[
        ("own", "@polite\nuser = \"desktop\"\ndirectory = \"/\""),
        ("root", "user = \"root\"\n@polite"),
        ("needy", "@polite\nneeds = [\"root\"]"),
        ("guarded", "@polite\nuser = \"desktop\"\ndirectory = \"/\"\ncontain = true"),
    ]);
    world.as_user(65534);
    world.start();
    world.until_up();
    let pid = pid_of(&world.unit("own"));
    assert!(proc_status(pid, "Uid").starts_with("65534"));
    assert_eq!(world.unit("root")["state"], "skipped");
    assert_eq!(world.unit("root")["reason"], "it must run as root, and desktopd does not");
    assert_eq!(world.unit("needy")["reason"], "it needs root, which is skipped");
    let table = world.tell(&["status", "root"]);
    assert!(table.contains("it must run as root"), "{table}");
    world.tell(&["restart", "own", "guarded"]);
    world.until_up();
}

#[test]
fn the_starter_is_notified_when_everything_is_up() {
    let mut world = World::of(&[(
        "slow",
        "command = [\"sleep\", \"1000\"]\nready = { kind = \"file\", path = \"@D/go\" }",
    )]);
    let socket = std::os::unix::net::UnixDatagram::bind(world.path("notify")).unwrap();
    world.env("NOTIFY_SOCKET", world.path("notify"));
    world.start();
    world.until_state("slow", "starting");
    socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 64];
    assert!(socket.recv(&mut bytes).is_err(), "no message before everything is up");
    world.write("go", "");
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let length = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"READY=1");
}

/// Boot scripts for vast.ai's image end with the image's default boot script, which starts everything there.
#[test]
fn a_second_start_by_the_name_of_a_boot_script_leaves_the_first_one_alone() {
    let world = World::running(&[("stays", "@polite")]);
    let before = world.until_state("stays", "ready");
    let answer = world.cli_named("boot_default.sh", &["--no-update-portal"], "");
    assert!(answer.code == 0 && answer.out.contains("desktopd runs already"), "{answer:?}");
    let refused = world.cli(&["init"]);
    assert!(refused.code != 0 && refused.err.contains("already runs here"), "{refused:?}");
    assert_eq!(world.unit("stays")["pid"], before["pid"]);
}
