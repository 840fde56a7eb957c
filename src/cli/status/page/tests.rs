//! Tests of the page.

use super::*;
use crate::observe::testing::{route, unit};
use crate::observe::{Phase, Seen};
use std::sync::Arc;

fn oneshot(name: &str, state: UnitState) -> UnitStatus {
    let mut unit = unit(name, state);
    Arc::make_mut(&mut unit.info).oneshot = true;
    unit
}

fn snapshot() -> Snapshot {
    let mut x = unit("x-server", UnitState::Failed);
    x.reason = "it ended with exit code 1".into();
    let mut kde = unit("kde", UnitState::Waiting);
    kde.since = 1000;
    let seen = Seen {
        sight: Sight::Failed,
        unit: "x-server".into(),
        state: Some(UnitState::Failed),
        text: "x-server has failed: it ended with exit code 1".into(),
        start: vec!["x-server".into()],
        ..Seen::default()
    };
    let desktop = RouteStatus { seen, ..route("kde", "Desktop", 6100) };
    let portal = RouteStatus { own: true, ..route("", "Service portal", 1111) };
    Snapshot {
        units: vec![x, kde],
        routes: vec![portal, desktop],
        phase: Phase::Running,
        not_ready: vec!["Desktop: x-server has failed: it ended with exit code 1".into()],
        problems: vec!["x-server has failed: it ended with exit code 1".into()],
        summary: "1 failed: x-server · not ready to use · 0 of 2 ready".into(),
        ..Snapshot::default()
    }
}

fn page(snapshot: &Snapshot, screen: Screen) -> Page<'_> {
    Page { snapshot, now: Some(61_000), screen, all: false }
}

#[test]
fn problems_come_first_each_with_what_mends_it() {
    let mut snapshot = snapshot();
    snapshot.units.push(oneshot("user", UnitState::Done));
    snapshot.units.push(oneshot("workspace", UnitState::Done));
    snapshot.units.push(unit("sshd", UnitState::Skipped));
    snapshot.units.push(UnitStatus { off: true, ..unit("vnc", UnitState::Stopped) });
    snapshot.mistakes = vec!["DISPLAY_DPI: expected a number".into()];
    snapshot.problems.push("DISPLAY_DPI: expected a number".into());
    snapshot.drawing = "The CPU draws on :0 (llvmpipe): \u{1b}[31mthis machine has no GPU".into();
    snapshot.notes = vec!["VirtualGL is not in this image: \u{1b}[1mno network".into()];
    assert_eq!(
        page(&snapshot, Screen::PLAIN).text(),
        "1 failed: x-server · not ready to use · 0 of 2 ready\n\
         not ready: Desktop: x-server has failed: it ended with exit code 1\n    \
         -> desktopd start x-server (what it printed: desktopd logs x-server)\n\
         problem: DISPLAY_DPI: expected a number\n    \
         -> desktopd env DISPLAY_DPI\n\
         NAME      STATE    SINCE  PID  RESTARTS  REASON\n\
         x-server  failed   1m1s   -    0         it ended with exit code 1\n\
         kde       waiting  1m0s   -    0\n\
         boot steps: all 2 are done\n\
         not in use: sshd, vnc (why: desktopd ps --all)\n\
         display: The CPU draws on :0 (llvmpipe): this machine has no GPU\n\
         open: Service portal  http://localhost:1111/\n\
         open: Desktop         http://localhost:6100/  (failed: x-server has failed: it ended with exit cod…)\n\
         note: VirtualGL is not in this image: no network\n"
    );
    let colourful = page(&snapshot, Screen { colours: true, ..Screen::PLAIN }).text();
    assert!(colourful.contains("x-server  \u{1b}[31mfailed \u{1b}[0m  1m1s"), "{colourful:?}");
}

#[test]
fn a_boot_step_that_is_not_done_has_a_row_and_all_have_one_on_request() {
    let mut snapshot = snapshot();
    snapshot.units = vec![
        oneshot("user", UnitState::Done),
        oneshot("workspace", UnitState::Starting),
        unit("sshd", UnitState::Skipped),
    ];
    let text = page(&snapshot, Screen::PLAIN).text();
    assert!(
        text.contains("\nworkspace  starting") && text.contains("\nboot steps: 1 of 2 are done\n"),
        "{text}"
    );
    let text = Page { all: true, ..page(&snapshot, Screen::PLAIN) }.text();
    assert!(text.contains("\nuser ") && text.contains("\nsshd ") && !text.contains("not in use"), "{text}");
}

#[test]
fn a_page_without_a_time_has_the_time_of_the_day() {
    let snapshot = snapshot();
    let text = Page { now: None, ..page(&snapshot, Screen::PLAIN) }.text();
    assert!(text.contains("kde       waiting  00:00:01Z  -"), "{text}");
}

#[test]
fn every_line_fits_whatever_services_and_files_say() {
    let mut snapshot = snapshot();
    let long =
        "it ended with exit code 1, 日本語 /a/path/".to_owned() + &"x".repeat(200) + &" and so on".repeat(40);
    for unit in &mut snapshot.units {
        unit.reason = long.clone() + "\nsecond line\u{1b}[2J";
    }
    Arc::make_mut(&mut snapshot.units[0].info).name =
        "a-service-of-a-very-".to_owned() + &"long-".repeat(20) + "name";
    for number in 0..40 {
        snapshot.units.push(unit(&format!("service-number-{number}"), UnitState::Skipped));
    }
    snapshot.routes[1].title = "A title ".repeat(20);
    snapshot.routes[1].address = format!("https://{}.example:40610/?q={}", "host".repeat(20), "x".repeat(90));
    snapshot.routes[0].seen = snapshot.routes[1].seen.clone();
    snapshot.routes[0].seen.text = long.clone();
    snapshot.summary = (0..30).map(|number| format!("service-{number}, ")).collect::<Vec<_>>().concat();
    for list in [&mut snapshot.problems, &mut snapshot.not_ready, &mut snapshot.notes] {
        list.push(long.clone());
    }
    (snapshot.drawing, snapshot.encoder) = (long.clone(), long.clone());
    snapshot.units.push(oneshot("user", UnitState::Done));
    for width in [20, 40, 60, 80, 100, 101, 250] {
        for terminal in [false, true] {
            let screen = Screen { width, limit: terminal.then_some(width), terminal, ..Screen::PLAIN };
            for all in [false, true] {
                let text = Page { all, ..page(&snapshot, screen) }.text();
                let wide: Vec<&str> = text.lines().filter(|line| columns(line) > width.min(100)).collect();
                assert_eq!(wide, [""; 0], "{width}:\n{text}");
                let footers = text.lines().filter(|line| line.starts_with("not in use: ")).count();
                assert!(all || footers == 1, "{width}: {text}");
            }
        }
    }
    let text = page(&snapshot, Screen::PLAIN).text();
    assert!(
        text.contains("not in use: service-number-0, ") && text.contains(" more (why: desktopd ps --all)\n"),
        "{text}"
    );
}
