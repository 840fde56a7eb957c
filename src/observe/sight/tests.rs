//! Tests for every state of every service that a route depends on, and the resulting messages.

use super::*;
use crate::observe::testing;
use UnitState as S;

fn unit(name: &str, state: UnitState, needs: &[&str]) -> UnitStatus {
    let mut unit = UnitStatus { since: 1_800_000_000_000, ..testing::unit(name, state) };
    unit.needs = needs.iter().map(|need| (*need).to_owned()).collect();
    unit
}

fn way(unit: &str, title: &str, port: u16, shows: &[&str]) -> RouteStatus {
    RouteStatus {
        own: false,
        address: String::new(),
        shows: shows.iter().map(|name| (*name).to_owned()).collect(),
        ..testing::route(unit, title, port)
    }
}

/// A ready desktop that is shown by two routes; nothing depends on `other`.
fn desktop() -> Snapshot {
    Snapshot {
        phase: Phase::Running,
        units: vec![
            unit("key", S::Done, &[]),
            unit("x", S::Ready, &["key"]),
            unit("kde", S::Ready, &["x"]),
            unit("web", S::Ready, &["x"]),
            unit("vnc", S::Ready, &["x"]),
            unit("other", S::Ready, &[]),
            unit("absent", S::Skipped, &[]),
        ],
        routes: vec![way("web", "Desktop", 6100, &["kde"]), way("vnc", "VNC", 6200, &["kde"])],
        ..Snapshot::default()
    }
}

/// The desktop with a change, and its derived fields.
fn with(name: &str, change: impl FnOnce(&mut UnitStatus)) -> Snapshot {
    let mut snapshot = desktop();
    change(snapshot.units.iter_mut().find(|unit| unit.name == name).unwrap());
    snapshot.judge();
    snapshot
}

fn sights(snapshot: &Snapshot) -> [(Sight, &str); 2] {
    let told = |at: usize| (snapshot.routes[at].seen.sight, snapshot.routes[at].seen.unit.as_str());
    [told(0), told(1)]
}

#[test]
fn everything_that_is_ready_is_ready() {
    let mut snapshot = desktop();
    snapshot.judge();
    assert_eq!(sights(&snapshot), [(Sight::Ready, ""); 2]);
    assert_eq!((snapshot.ready, snapshot.not_ready.len(), snapshot.problems.len()), (true, 0, 0));
    // A unit that does not apply here is not counted.
    assert_eq!(snapshot.summary, "ready to use · 6 of 6 ready");
}

#[test]
fn each_route_shows_the_worst_state_of_its_services() {
    // Which of the two routes each service is a part of.
    for (place, parts) in [
        ("key", [true, true]),
        ("x", [true, true]),
        ("kde", [true, true]),
        ("web", [true, false]),
        ("vnc", [false, true]),
        ("other", [false, false]),
    ] {
        for (state, unhealthy, by, sight) in [
            (S::Ready, false, None, Sight::Ready),
            (S::Done, false, None, Sight::Ready),
            (S::Ready, true, None, Sight::Unhealthy),
            (S::Waiting, false, None, Sight::Starting),
            (S::Starting, false, None, Sight::Starting),
            (S::Backoff, false, None, Sight::Starting),
            (S::Stopping, false, None, Sight::Starting),
            (S::Stopping, false, Some("uid 0"), Sight::Stopped),
            (S::Stopped, false, None, Sight::Stopped),
            (S::Stopped, false, Some("uid 0"), Sight::Stopped),
            (S::Failed, false, None, Sight::Failed),
        ] {
            let snapshot = with(place, |unit| {
                (unit.state, unit.stopped_by) = (state, by.map(str::to_owned));
                unit.health = unhealthy.then_some(UnitHealth::Unhealthy);
            });
            let expected = parts.map(|part| match sight {
                sight if part && sight != Sight::Ready => (sight, place),
                _ => (Sight::Ready, ""),
            });
            let what = format!("{place} {state:?} {unhealthy} {by:?}");
            assert_eq!(sights(&snapshot), expected, "{what}");
            let well = sight == Sight::Ready || parts == [false, false];
            assert_eq!((snapshot.ready, snapshot.not_ready.is_empty()), (well, well), "{what}");
            let wrong = matches!(sight, Sight::Failed | Sight::Unhealthy) || state == S::Backoff;
            assert_eq!(snapshot.problems.len(), usize::from(wrong), "{what}: {:?}", snapshot.problems);
            let counted = snapshot.summary.contains(&format!("1 {}: {place}", sight.name()));
            let listed = matches!(sight, Sight::Failed | Sight::Unhealthy | Sight::Stopped);
            assert_eq!(counted, listed, "{what}: {}", snapshot.summary);
            assert_eq!(snapshot.summary.contains("6 of 6 ready"), sight == Sight::Ready, "{what}");
        }
    }
}

#[test]
fn a_stop_names_the_requester_and_the_time() {
    let snapshot = with("kde", |unit| {
        unit.state = S::Stopped;
        unit.reason = "uid 0 asked for it".into();
        unit.stopped_by = Some("uid 0".into());
    });
    let told = "Desktop, VNC: kde was stopped by uid 0, at 2027-01-15T08:00:00Z";
    assert_eq!(snapshot.not_ready, [told]);
    assert_eq!(snapshot.summary, "1 stopped: kde · not ready to use · 5 of 6 ready");
    let seen = &snapshot.routes[0].seen;
    assert_eq!((seen.by.as_deref(), &seen.start), (Some("uid 0"), &vec!["kde".to_owned()]));
}

#[test]
fn the_reason_is_the_cause_and_not_a_unit_that_waits_for_it() {
    let mut snapshot = desktop();
    for (at, (state, reason)) in [
        (S::Failed, "it ended with exit code 1"),
        (S::Waiting, "for x (failed)"),
        (S::Waiting, "for x (failed)"),
    ]
    .into_iter()
    .enumerate()
    {
        (snapshot.units[at + 1].state, snapshot.units[at + 1].reason) = (state, reason.into());
    }
    snapshot.judge();
    assert_eq!(sights(&snapshot), [(Sight::Failed, "x"); 2]);
    assert_eq!(snapshot.routes[0].seen.text, "x has failed: it ended with exit code 1");
    // Frozen, together with the unit that it needs.
    for at in [1, 2] {
        (snapshot.units[at].state, snapshot.units[at].health) = (S::Ready, Some(UnitHealth::Unhealthy));
    }
    snapshot.judge();
    assert_eq!(sights(&snapshot)[0], (Sight::Unhealthy, "x"));
    snapshot.units[2].state = S::Waiting;
    // While everything starts, the nearest service says what it waits for.
    (snapshot.units[1].state, snapshot.units[1].reason) = (S::Starting, String::new());
    snapshot.units[3].reason = "for x (starting)".into();
    snapshot.judge();
    assert_eq!(snapshot.routes[0].seen.text, "web waits for x (starting)");
    assert!(snapshot.summary.starts_with("starting · "), "{}", snapshot.summary);
}

#[test]
fn units_that_the_configuration_leaves_out_are_not_expected() {
    let off = |unit: &mut UnitStatus| (unit.state, unit.off) = (S::Stopped, true);
    let skipped = |unit: &mut UnitStatus| unit.state = S::Skipped;
    // A shown unit that does not run: the display is shown without it.
    for change in [off as fn(&mut UnitStatus), skipped] {
        let snapshot = with("kde", change);
        assert_eq!((sights(&snapshot), snapshot.ready), ([(Sight::Ready, ""); 2], true));
        assert_eq!(snapshot.summary, "ready to use · 5 of 5 ready");
    }
    // The unit of the route itself: reported there, without effect on the whole.
    let snapshot = with("vnc", off);
    assert_eq!(sights(&snapshot), [(Sight::Ready, ""), (Sight::Off, "vnc")]);
    assert_eq!((snapshot.ready, &snapshot.routes[1].seen.start), (true, &vec!["vnc".to_owned()]));
    let snapshot = with("vnc", skipped);
    assert_eq!((sights(&snapshot)[1], snapshot.ready), ((Sight::Off, "vnc"), true));
    assert_eq!(snapshot.routes[1].seen.start, [""; 0]);
    // A unit that others need has to run.
    let snapshot = with("x", off);
    assert_eq!((sights(&snapshot), snapshot.ready), ([(Sight::Stopped, "x"); 2], false));
    // It does not apply because a unit that it needs has failed.
    let mut snapshot = with("vnc", skipped);
    snapshot.units[1].state = S::Failed;
    snapshot.judge();
    assert_eq!(sights(&snapshot)[1], (Sight::Failed, "x"));
}

#[test]
fn a_port_that_is_not_open_counts_as_failed() {
    let mut snapshot = desktop();
    snapshot.routes[0].problem = Some("port 6100: Address in use".into());
    snapshot.routes.insert(0, RouteStatus { own: true, ..way("", "Portal", 1111, &[]) });
    snapshot.mistakes = vec!["port 6100: Address in use".into(), "a.toml: x: y".into()];
    snapshot.judge();
    assert_eq!(snapshot.not_ready, ["Desktop: port 6100: Address in use"]);
    assert_eq!(snapshot.problems, ["port 6100: Address in use", "a.toml: x: y"]);
    assert_eq!(snapshot.routes[0].seen, Seen::default());
}

#[test]
fn problems_are_reported_once_and_the_worst_first() {
    let mut snapshot = desktop();
    snapshot.mistakes = vec!["env: A: wrong".into(), "a.toml: command: it is missing".into()];
    snapshot.units[2].health = Some(UnitHealth::Unhealthy);
    snapshot.units[2].reason = "unhealthy: display :0: no answer within 10s".into();
    snapshot.units[5].state = S::Failed;
    snapshot.units[5].reason = "a.toml: command: it is missing".into();
    snapshot.judge();
    assert_eq!(
        snapshot.problems,
        [
            "other has failed: a.toml: command: it is missing",
            "kde is unhealthy: display :0: no answer within 10s",
            "env: A: wrong",
        ]
    );
    assert_eq!(snapshot.summary, "1 failed: other · 1 unhealthy: kde · not ready to use · 4 of 6 ready");
    // A failure of a service that no route shows does not affect readiness.
    snapshot.units[2].health = None;
    snapshot.judge();
    assert_eq!(
        (snapshot.ready, snapshot.summary.as_str()),
        (true, "1 failed: other · ready to use · 5 of 6 ready")
    );
}

#[test]
fn while_starting_and_stopping_the_desktop_is_not_ready() {
    for (phase, reason) in
        [(Phase::Starting, "desktopd is starting"), (Phase::Stopping, "desktopd is stopping")]
    {
        let mut snapshot = Snapshot { phase, ..desktop() };
        snapshot.judge();
        assert_eq!((snapshot.ready, snapshot.not_ready.as_slice()), (false, &[reason.to_owned()][..]));
        assert!(snapshot.summary.starts_with(phase.name()), "{}", snapshot.summary);
    }
}

#[test]
fn needs_in_a_circle_come_to_an_end() {
    let mut snapshot = desktop();
    snapshot.units[1].needs = vec!["kde".into(), "unknown".into()];
    snapshot.judge();
    assert!(snapshot.ready);
}
