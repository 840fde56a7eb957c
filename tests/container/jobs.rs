//! The real desktop, stopped and restarted: its own processes end; jobs that a person started and detached go on until
//! the desktop is stopped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use desktopd::observe::Snapshot;

use crate::poll::{eventually, within};
use crate::stack::{self, START, Stack};

/// A desktop that has not finished loading loses the first shortcut.
const ATTEMPTS: usize = 3;
const OPENING: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(10);

/// Commands that are typed into a terminal, and whether they survive the end of their window.
const TYPED: [(&str, &str, bool); 4] = [
    ("nohup sleep 11111 &", "sleep 11111", true),
    ("setsid sleep 22222 &", "sleep 22222", true),
    ("sleep 33333 & disown", "sleep 33333", true),
    ("sleep 44444 &", "sleep 44444", false),
];

#[derive(Clone, Debug)]
struct Process {
    parent: i32,
    user: String,
    command: String,
}

fn processes(stack: &Stack) -> BTreeMap<i32, Process> {
    let text = stack.exec_ok(&["ps", "-ww", "-eo", "pid=,ppid=,user:32=,args="]);
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse().ok();
        let (pid, parent) = (number()?, number()?);
        let user = words.next()?.to_owned();
        Some((pid, Process { parent, user, command: words.collect::<Vec<_>>().join(" ") }))
    };
    text.lines().filter_map(line).collect()
}

/// Processes of the desktop's user that are not the main process of a unit.
fn strays(stack: &Stack, status: &Snapshot) -> Vec<String> {
    let units: Vec<i32> = status.units.iter().filter_map(|unit| unit.pid).collect();
    let all = processes(stack);
    let stray = |(pid, process): &(&i32, &Process)| process.user == "user" && !units.contains(pid);
    let show =
        |(pid, process): (&i32, &Process)| format!("{pid} (of {}) {}", process.parent, process.command);
    all.iter().filter(stray).map(show).collect()
}

/// The pids of all units except KDE.
fn others(status: &Snapshot) -> BTreeMap<&str, Option<i32>> {
    let others = status.units.iter().filter(|unit| unit.name != "kde");
    others.map(|unit| (unit.name.as_str(), unit.pid)).collect()
}

fn running(stack: &Stack, command: &str) -> Option<i32> {
    processes(stack).into_iter().find(|(_, process)| process.command == command).map(|(pid, _)| pid)
}

fn xdotool(stack: &Stack, words: &[&str]) -> Result<String, String> {
    let done = stack.as_user(&[&["env", "DISPLAY=:0", "xdotool"], words].concat());
    if done.code == Some(0) { Ok(done.stdout) } else { Err(format!("xdotool {words:?}: {done:?}")) }
}

fn window_of(stack: &Stack, class: &str) -> Result<String, String> {
    xdotool(stack, &["search", "--onlyvisible", "--class", class])
}

async fn wait_for_panel(stack: &Stack) {
    eventually("a window of plasmashell", START, async || window_of(stack, "plasmashell")).await;
}

/// Opens a terminal by its shortcut and types the jobs into it. Returns their processes, in that order.
async fn type_jobs(stack: &Stack) -> Vec<i32> {
    wait_for_panel(stack).await;
    let mut opened = Err(String::new());
    for _ in 0..ATTEMPTS {
        xdotool(stack, &["key", "ctrl+alt+t"]).expect("a shortcut");
        opened = within(OPENING, async || window_of(stack, "konsole")).await;
        if opened.is_ok() {
            break;
        }
    }
    let window = opened.expect("a terminal");
    let window = window.lines().last().expect("the number of a window");
    xdotool(stack, &["windowactivate", "--sync", window]).expect("a terminal in front");
    let mut jobs = Vec::new();
    for (line, command, _) in TYPED {
        jobs.push(type_job(stack, line, command).await);
    }
    jobs
}

/// Types one job into the terminal in front. Returns its process.
async fn type_job(stack: &Stack, line: &str, command: &str) -> i32 {
    let mut started = Err(String::new());
    for attempt in 0..ATTEMPTS {
        // A shell that is just starting discards some or all of the text that was typed before its first prompt.
        if attempt > 0 {
            xdotool(stack, &["key", "ctrl+c"]).expect("an empty line");
        }
        xdotool(stack, &["type", "--delay", "20", &format!("{line}\n")]).expect("keys");
        started = within(SOON, async || running(stack, command).ok_or(command)).await;
        if started.is_ok() {
            break;
        }
    }
    started.unwrap_or_else(|last| panic!("{last} was not started by typing {line:?}"))
}

/// Checks that the detached jobs run, and that the others have ended with their terminal.
async fn only_detached_jobs_are_left(stack: &Stack, jobs: &[i32]) {
    let expected: Vec<Option<i32>> =
        TYPED.iter().zip(jobs).map(|((.., detached), pid)| detached.then_some(*pid)).collect();
    eventually("only the detached jobs run", SOON, async || {
        let now: Vec<_> = TYPED.iter().map(|(_, command, _)| running(stack, command)).collect();
        if now == expected { Ok(()) } else { Err(format!("{now:?} instead of {expected:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_stopped_desktop_leaves_nothing_and_can_be_started_again() {
    let stack = stack::start().await;
    let before = stack.status().expect("a status");
    type_jobs(&stack).await;
    let own = strays(&stack, &before);
    assert!(own.iter().any(|line| line.contains("kactivitymanagerd")), "a whole desktop: {own:#?}");

    stack.exec_ok(&["desktopd", "stop", "--wait", "--timeout", "180s", "kde"]);
    let stopped = stack.status().expect("a status");
    assert_eq!(others(&stopped), others(&before), "everything else goes on");
    let left = strays(&stack, &stopped);
    assert!(left.is_empty(), "left behind: {left:#?}");

    stack.exec_ok(&["desktopd", "start", "--wait", "--timeout", "180s", "kde"]);
    wait_for_panel(&stack).await;
    let again = stack.status().expect("a status");
    assert_eq!(others(&again), others(&before), "everything else goes on");
}

#[tokio::test]
async fn a_restart_of_the_desktop_restarts_the_x_server_unless_only_is_given() {
    let stack = stack::start().await;
    let pids = |status: &Snapshot| -> BTreeMap<String, Option<i32>> {
        let shown = ["x-server", "kde", "selkies", "pipewire", "dbus-session"];
        shown.iter().map(|name| ((*name).to_owned(), status.unit(name).and_then(|unit| unit.pid))).collect()
    };
    let changed = |before: &Snapshot, after: &Snapshot| -> Vec<String> {
        let (before, after) = (pids(before), pids(after));
        before.iter().filter(|(name, pid)| after[*name] != **pid).map(|(name, _)| name.clone()).collect()
    };
    let first = stack.status().expect("a status");
    stack.exec_ok(&["desktopd", "restart", "--wait", "--timeout", "180s", "--only", "kde"]);
    wait_for_panel(&stack).await;
    let second = stack.status().expect("a status");
    assert_eq!(changed(&first, &second), ["kde"]);
    stack.exec_ok(&["desktopd", "restart", "--wait", "--timeout", "180s", "kde"]);
    wait_for_panel(&stack).await;
    let third = stack.wait_until_up().await;
    assert_eq!(changed(&second, &third), ["kde", "selkies", "x-server"]);
}

#[tokio::test]
async fn detached_jobs_survive_restarts_and_crashes_of_desktop_and_display() {
    let stack = stack::start().await;
    let jobs = type_jobs(&stack).await;
    let own = |name: &str| running(&stack, name);
    let panel = own("/usr/bin/plasmashell").expect("a panel");

    stack.exec_ok(&["desktopd", "restart", "--wait", "--timeout", "180s", "kde"]);
    wait_for_panel(&stack).await;
    only_detached_jobs_are_left(&stack, &jobs).await;
    assert_ne!(own("/usr/bin/plasmashell"), Some(panel), "another desktop");
    let all: Vec<String> = processes(&stack).into_values().map(|process| process.command).collect();
    for single in ["/usr/bin/plasmashell", "/usr/bin/kwin_x11", "/usr/bin/kded6"] {
        assert_eq!(all.iter().filter(|command| *command == single).count(), 1, "{single} in {all:#?}");
    }

    let before = stack.status().expect("a status");
    let x_server = before.unit("x-server").and_then(|unit| unit.pid);
    stack.exec_ok(&["kill", "-s", "KILL", &x_server.expect("an X server").to_string()]);
    stack.wait_until_renewed(&before).await;
    wait_for_panel(&stack).await;
    only_detached_jobs_are_left(&stack, &jobs).await;

    let start = Instant::now();
    stack.stop(Duration::from_secs(30));
    let took = start.elapsed();
    assert_eq!(stack.wait_exit_code(SOON).await, 0, "a stop does not count as a failure");
    assert!(took < Duration::from_secs(10), "docker stop took {took:?}");
    eprintln!("docker stop beside detached jobs took {took:?}");
}
