//! A desktop that is restarted ends completely first; jobs that a person detached from a terminal in it go on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::world::{World, children, is_alive, pid_of, skipped, until};

/// A desktop: a helper process that put itself in the background, and a terminal emulator.
pub const DESKTOP: &str = r#"#!/bin/sh
setsid sh -c 'echo helper $$ >> "$D/own"; exec sleep 1000' &
TERM=xterm-256color script -qc "$D/shell" /dev/null < /dev/null > /dev/null 2>&1 &
terminal=$!
echo terminal $terminal >> "$D/own"
until grep -q ready "$D/shown" 2> /dev/null; do sleep 0.01; done
echo >&3
exec 3>&-
# An emulator ends at once; `script`, when it gets TERM, waits for its shell.
trap 'kill -9 $terminal; exit 0' TERM
while :; do sleep 0.05; done
"#;

/// Commands that a person types there: four detached jobs, and a program that ends with its window.
pub const SHELL: &str = r#"#!/bin/sh
sleep 1000 &
echo window $! >> "$D/own"
nohup sleep 1000 > /dev/null 2>&1 &
echo nohup $! >> "$D/jobs"
setsid sh -c 'echo setsid $$ >> "$D/jobs"; exec sleep 1000' &
setsid sh -c 'echo server $$ >> "$D/jobs"; env -u TERM sh -c "echo pane \$\$ >> \"\$D/jobs\"; exec sleep 1000"' &
setsid env -i D="$D" /bin/sh -c 'echo title $$ >> "$D/jobs"; exec env -i /bin/sleep 1000' &
until [ "$(wc -l < "$D/jobs")" = 5 ]; do sleep 0.01; done
echo shell $$ >> "$D/own"
echo ready >> "$D/shown"
wait
"#;

/// A world with this desktop; `None` where no program can make pseudo-terminals.
fn desktop() -> Option<World> {
    if std::process::Command::new("script").arg("--version").output().is_err() {
        skipped("there is no `script`, which makes a terminal");
        return None;
    }
    let world = World::new();
    world.script("desktop", DESKTOP);
    world.script("shell", SHELL);
    world.service("desk", "command = [\"@D/desktop\"]\nready = { kind = \"fd\" }\ncontain = true");
    Some(world)
}

/// The processes in a file, with their names.
fn noted(world: &World, file: &str) -> Vec<(String, i32)> {
    let text = world.read(file);
    let pair = |line: &str| line.split_once(' ').map(|(name, pid)| (name.to_owned(), pid.parse().unwrap()));
    text.lines().filter_map(pair).collect()
}

/// Forgets the processes of a run, so that those of the next one are alone in the files.
fn forget(world: &World) {
    for file in ["own", "jobs", "shown"] {
        world.write(file, "");
    }
}

fn alive(processes: &[(String, i32)]) -> Vec<&str> {
    processes.iter().filter(|(_, pid)| is_alive(*pid)).map(|(name, _)| name.as_str()).collect()
}

const JOBS: [&str; 5] = ["nohup", "pane", "server", "setsid", "title"];

fn jobs(world: &World) -> Vec<(String, i32)> {
    let mut jobs = noted(world, "jobs");
    jobs.sort();
    assert_eq!(alive(&jobs), JOBS, "the jobs of this run");
    jobs
}

/// Processes that must end with a run: at once, or with the terminal, whose end the daemon does not wait for.
fn gone(processes: &[(String, i32)]) {
    let with_terminal = |name: &str| ["shell", "window"].contains(&name);
    let at_once: Vec<_> = alive(processes).into_iter().filter(|name| !with_terminal(name)).collect();
    assert_eq!(at_once, [""; 0], "processes of the previous desktop");
    until("the terminal's programs got HUP", || alive(processes).is_empty().then_some(()));
}

#[test]
fn jobs_survive_restarts_and_crashes_of_the_desktop_and_end_when_it_is_stopped() {
    let Some(mut world) = desktop() else { return };
    world.start();
    let mut before = world.until_up()["units"][0].clone();
    let mut detached = Vec::new();
    for how in ["restart", "crash"] {
        let (own, mine) = (noted(&world, "own"), jobs(&world));
        forget(&world);
        if how == "restart" {
            world.tell(&["restart", "desk"]);
        } else {
            kill(Pid::from_raw(pid_of(&before)), Signal::SIGKILL).unwrap();
        }
        before = world.until_replaced("desk", &before);
        gone(&own);
        detached.extend(mine);
        assert_eq!(alive(&detached).len(), detached.len(), "{how}: only {:?} are left", alive(&detached));
    }
    world.until_said("desk: 5 detached processes keep running after its end");

    // A guard does not wait for jobs that have ended.
    for (_, pid) in &detached[..JOBS.len()] {
        // The pane ends with its server.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    until("a guard without jobs ends", || (children(world.pid()).0.len() == 2).then_some(()));

    let (own, mine) = (noted(&world, "own"), jobs(&world));
    world.tell(&["stop", "desk"]);
    world.until_state("desk", "stopped");
    assert_eq!(alive(&own), [""; 0]);
    assert_eq!(alive(&mine), [""; 0]);
    assert_eq!(alive(&detached), [""; 0]);
    assert_eq!(children(world.pid()).0.len(), 0, "guards");
}

#[test]
fn jobs_of_a_desktop_that_gave_up_end_when_it_is_stopped() {
    let Some(mut world) = desktop() else { return };
    world.service(
        "desk",
        "command = [\"@D/desktop\"]\nready = { kind = \"fd\" }\ncontain = true\nrestart-limit = 1",
    );
    world.start();
    let unit = world.until_up()["units"][0].clone();
    let jobs = jobs(&world);
    kill(Pid::from_raw(pid_of(&unit)), Signal::SIGKILL).unwrap();
    world.until_state("desk", "failed");
    assert_eq!(alive(&jobs).len(), jobs.len());
    world.tell(&["stop", "desk"]);
    until("the jobs end", || alive(&jobs).is_empty().then_some(()));
}

#[test]
fn jobs_do_not_outlive_a_daemon_that_is_stopped() {
    let Some(mut world) = desktop() else { return };
    world.start();
    let before = world.until_up()["units"][0].clone();
    let (own, first) = (noted(&world, "own"), jobs(&world));
    forget(&world);
    world.tell(&["restart", "desk"]);
    world.until_replaced("desk", &before);
    gone(&own);
    let second = jobs(&world);
    world.end();
    assert_eq!((alive(&first), alive(&second)), (vec![], vec![]));
}

#[test]
fn jobs_do_not_outlive_a_daemon_that_is_killed() {
    let Some(mut world) = desktop() else { return };
    world.start();
    let before = world.until_up()["units"][0].clone();
    let first = jobs(&world);
    forget(&world);
    world.tell(&["restart", "desk"]);
    world.until_replaced("desk", &before);
    let second = jobs(&world);
    world.signal(Signal::SIGKILL);
    world.ended();
    until("nothing is left", || (alive(&first).is_empty() && alive(&second).is_empty()).then_some(()));
}

/// A message bus that starts processes for other programs: two are left to the bus's guard, of which one ignores TERM;
/// another one stays below a fork of the bus.
const BUS: &str = r#"#!/bin/sh
(trap 'echo told >> "$D/babysitter"' TERM; sleep 1000 & echo babysat $! >> "$D/activated"; wait) &
(setsid sh -c 'trap "" TERM; echo deaf $$ >> "$D/activated"; while :; do sleep 0.05; done' &)
(setsid sh -c 'echo portal $$ >> "$D/activated"; exec sleep 1000' &)
until [ "$(wc -l < "$D/activated")" = 3 ]; do sleep 0.01; done
echo >&3
exec 3>&-
trap 'exit 0' TERM
while :; do sleep 0.05; done
"#;

#[test]
fn processes_that_another_unit_started_for_a_unit_end_with_it() {
    let world = World::new();
    world.script("bus", BUS);
    world.service("bus", "command = [\"@D/bus\"]\nready = { kind = \"fd\" }\ncontain = true");
    world.service("desk", "@polite\nneeds = [\"bus\"]\nclears = [\"bus\"]\ncontain = true");
    world.service("sound", "@polite\nneeds = [\"bus\"]");
    let mut world = world;
    world.start();
    world.until_up();
    let others = ["bus", "sound"].map(|name| pid_of(&world.unit(name)));
    let activated = noted(&world, "activated");
    assert_eq!(alive(&activated).len(), 3);
    world.tell(&["stop", "desk"]);
    world.until_state("desk", "stopped");
    assert_eq!(alive(&activated), [""; 0], "processes that the bus started");
    assert_eq!(world.read("babysitter"), "", "a fork of the bus is the bus");
    assert_eq!(others, ["bus", "sound"].map(|name| pid_of(&world.unit(name))), "the other units go on");
    assert!(others.into_iter().all(is_alive));

    // With no process left to end, the restart works as well.
    world.tell(&["start", "--wait", "desk"]);
    world.tell(&["restart", "--wait", "desk"]);
    assert!(others.into_iter().all(is_alive));
}
