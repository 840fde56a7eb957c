//! Tests of the processes: tables of made-up processes, and the real ones of this test.

use super::super::stat::Stat;
use super::*;

/// Number, parent, session.
fn process((pid, parent, session): (i32, i32, i32)) -> Process {
    Process {
        pid,
        stat: Stat { parent, session, start: 1, ..Stat::default() },
        pages: 1,
        ..Process::default()
    }
}

#[test]
fn a_process_belongs_to_the_service_above_it_or_of_its_session() {
    use Owner::{Daemon, Others, Outside, Service};
    // 10 is a guard with the main process 11 and an orphan; 20 a main process without a guard, whose orphan 22 is the
    // daemon's child; 30 a guard that stayed for a job; 90 was started by the engine.
    let all = [
        ((1, 0, 1), Daemon),
        ((10, 1, 10), Service(0)),
        ((11, 10, 11), Service(0)),
        ((12, 11, 11), Service(0)),
        ((13, 10, 13), Service(0)),
        ((20, 1, 20), Service(1)),
        ((21, 20, 20), Service(1)),
        ((22, 1, 20), Service(1)),
        ((30, 1, 30), Others),
        ((31, 30, 31), Others),
        ((90, 0, 90), Others),
        ((91, 90, 90), Others),
    ];
    let processes = all.map(|(fields, _)| process(fields));
    let mains = [Some(11), Some(20), None, Some(77)];
    assert_eq!(owners(&processes, 1, &mains), all.map(|(_, owner)| owner));

    // Not in a container: what is not below the daemon is not looked at. 50 and 51 seem to be above each other.
    let all = [
        ((1, 0, 1), Outside),
        ((40, 1, 40), Daemon),
        ((41, 40, 41), Service(0)),
        ((50, 51, 50), Outside),
        ((51, 50, 50), Outside),
        ((60, 1, 60), Outside),
    ];
    let processes = all.map(|(fields, _)| process(fields));
    assert_eq!(owners(&processes, 40, &[Some(41)]), all.map(|(_, owner)| owner));
}

#[test]
fn processor_time_of_short_children_is_counted_once() {
    let with = |pid, parent, start, own, children| Process {
        pid,
        stat: Stat { parent, own, children, start, ..Stat::default() },
        ..Process::default()
    };
    let before =
        [with(10, 1, 1, 100, 50), with(11, 10, 2, 30, 5), with(12, 1, 3, 7, 0), with(13, 10, 4, 8, 0)];
    for (what, now, expected) in [
        ("nothing happened", before.to_vec(), vec![0, 0, 0, 0]),
        ("own time", vec![with(10, 1, 1, 104, 50), before[1], before[2], before[3]], vec![4, 0, 0, 0]),
        // It had 35, ran 5 more, and its parent collected 40.
        ("a known child ended", vec![with(10, 1, 1, 100, 90), before[2], before[3]], vec![5, 0, 0]),
        // Two programs began and ended between the looks.
        ("short children", vec![with(10, 1, 1, 100, 75), before[1], before[2], before[3]], vec![25, 0, 0, 0]),
        // Its parent is not among them, or ignores it: nothing was taken over.
        ("an orphan ended", vec![before[0], before[1], before[3]], vec![0, 0, 0]),
        ("a child ended unseen", vec![before[0], before[2], before[3]], vec![0, 0, 0]),
        (
            "a new process",
            vec![before[0], before[1], before[2], before[3], with(14, 11, 9, 6, 2)],
            vec![0, 0, 0, 0, 8],
        ),
        // The number was used again: the time of the old one is no longer there.
        ("a number again", vec![before[0], with(11, 10, 9, 3, 0), before[2], before[3]], vec![0, 3, 0, 0]),
        (
            "a counter went back",
            vec![with(10, 1, 1, 90, 40), before[1], before[2], before[3]],
            vec![0, 0, 0, 0],
        ),
    ] {
        assert_eq!(differences(&before, &now), expected, "{what}");
    }
    assert_eq!(differences(&[], &before).iter().sum::<u64>(), 200);
}

#[test]
fn the_processes_with_the_most_memory_and_time_are_named() {
    let process = |pid: i32, memory: u64, ticks: u64| Large {
        pid,
        name: Name::default(),
        owner: Owner::Others,
        ticks,
        memory,
    };
    // Of a hundred, the last have the most memory and the first the most time.
    let all: Vec<Large> = (0..100)
        .map(|n| process(n, u64::from(n.unsigned_abs()), 100 - u64::from(n.unsigned_abs())))
        .collect();
    let pids = |all: Vec<Large>| largest(all).iter().map(|process| process.pid).collect::<Vec<i32>>();
    let expected: Vec<i32> = (88..100).rev().chain((0..12).rev()).collect();
    assert_eq!(pids(all), expected);
    assert_eq!(pids(vec![process(1, 0, 0), process(2, 0, 3), process(3, 5, 0), process(4, 5, 0)]), [3, 4, 2]);
    assert_eq!(pids(Vec::new()), [0; 0]);
}

#[test]
fn real_processes_are_counted() {
    let own = std::process::id().cast_signed();
    let mut processes = Processes::new(Path::new("/proc"), own);
    for _ in 0..2 {
        let seen = processes.look(&[None, Some(i32::MAX)]);
        assert_eq!(
            (seen.services[0], seen.services[1], seen.left_out),
            (Used::default(), Used::default(), false)
        );
        assert!(seen.daemon.memory > 0 && seen.daemon.processes == 1);
        let own = seen.largest.iter().find(|process| process.pid == own);
        assert!(own.is_some_and(|process| process.owner == Owner::Daemon && !process.name.text().is_empty()));
    }
    let page = page();
    assert!(page.is_power_of_two() && (4096..=65536).contains(&page), "{page}");
    // This process is a service of its parent.
    let parent = nix::unistd::getppid().as_raw();
    let seen = Processes::new(Path::new("/proc"), parent).look(&[Some(own)]);
    assert!(seen.services[0].memory > 0 && seen.services[0].processes >= 1);
    let mut none = Processes::new(Path::new("/nonexistent"), own);
    assert_eq!(none.look(&[Some(own)]).services[0], Used::default());
}
