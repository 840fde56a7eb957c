//! New plans while units run.

use super::*;

fn replan(stage: &mut Stage, units: &[Unit], changed: &[bool]) -> Vec<String> {
    let told = stage.core.replan(units.to_vec(), stage.now);
    let effects = stage.core.handle(Event::Tick, stage.now);
    let differ = units.iter().zip(changed).filter(|(_, changed)| **changed).map(|(unit, _)| &unit.name);
    assert!(told.changed.iter().eq(differ), "{told:?}");
    stage.names = units.iter().map(|unit| unit.name.clone()).collect();
    stage.text(&effects)
}

fn state(stage: &Stage, name: &str) -> UnitState {
    stage.status(name).state
}

#[test]
fn the_same_plan_touches_nothing() {
    let units = [unit("a"), needing("b", &["a"]), oneshot("c", &["a"])];
    let mut stage = Stage::up(&units);
    assert_eq!(replan(&mut stage, &units, &[false; 3]), [""; 0]);
    assert!(stage.core.up());
}

#[test]
fn a_changed_unit_restarts_with_its_dependents() {
    let mut units = vec![unit("a"), needing("b", &["a"]), unit("c")];
    let mut stage = Stage::up(&units);
    units[0].stop.timeout = MS(100);
    assert_eq!(replan(&mut stage, &units, &[true, false, false]), ["signal b"]);
    assert_eq!(stage.gone("b", 0), ["signal a"]);
    assert_eq!(stage.gone("a", 0), ["spawn a"]);
    assert_eq!(stage.ready("a"), ["spawn b"]);
    stage.ready("b");
    assert!(stage.core.up());
}

#[test]
fn new_units_start_and_may_be_needed_by_old_ones() {
    let mut units = vec![unit("a")];
    let mut stage = Stage::up(&units);
    units[0].relations.needs = vec!["z".into()];
    units.push(unit("z"));
    // The old unit must not mistake the new unit for the one that it was started with.
    assert_eq!(replan(&mut stage, &units, &[true]), ["signal a"]);
    assert_eq!(stage.gone("a", 0), ["spawn z"]);
    assert_eq!(stage.ready("z"), ["spawn a"]);
}

#[test]
fn a_unit_that_no_longer_applies_stops_and_comes_back_when_it_does() {
    let mut units = vec![unit("a"), unit("b")];
    let mut stage = Stage::up(&units);
    units[1].disposition = Disposition::Skip("its file was removed".into());
    assert_eq!(replan(&mut stage, &units, &[false, true]), ["signal b"]);
    stage.gone("b", 0);
    assert_eq!(state(&stage, "b"), UnitState::Skipped);
    assert!(stage.core.up());
    units[1].disposition = Disposition::Run;
    assert_eq!(replan(&mut stage, &units, &[false, true]), ["spawn b"]);
}

#[test]
fn a_changed_file_clears_a_failure_but_starts_nothing_that_was_stopped_by_hand() {
    let failing = Unit { restart: limit(1), ..unit("a") };
    let mut units = vec![failing, unit("b")];
    let mut stage = Stage::up(&units);
    stage.gone("a", 1);
    assert_eq!(state(&stage, "a"), UnitState::Failed);
    stage.stop("b");
    stage.gone("b", 0);
    units[0].restart.limit = None;
    units[1].stop.timeout = MS(1);
    assert_eq!(replan(&mut stage, &units, &[true, true]), ["spawn a"]);
    assert_eq!(state(&stage, "b"), UnitState::Stopped);
    assert_eq!(stage.start("b"), ["spawn b"]);
}

#[test]
fn a_change_during_a_stop_does_not_start_two() {
    let mut units = vec![unit("a")];
    let mut stage = Stage::up(&units);
    units[0].stop.timeout = MS(1);
    assert_eq!(replan(&mut stage, &units, &[true]), ["signal a"]);
    units[0].stop.timeout = MS(2);
    assert_eq!(replan(&mut stage, &units, &[true]), [""; 0]);
    assert_eq!(stage.gone("a", 0), ["spawn a"]);
}

/// A user's script runs only on request.
#[test]
fn a_script_is_not_run_again_for_a_change_around_it() {
    let script = |name: &str| Unit { restart: on(Restart::Never), ..oneshot(name, &[]) };
    let mut units = vec![script("a"), script("b"), script("c"), oneshot("d", &[])];
    let (mut stage, _) = Stage::new(&units);
    stage.gone("a", 0);
    stage.gone("b", 1);
    stage.gone("d", 0);
    for unit in &mut units {
        unit.stop.timeout = MS(1);
    }
    assert_eq!(replan(&mut stage, &units, &[true; 4]), ["spawn d"]);
    let states = ["a", "b", "c"].map(|name| state(&stage, name));
    assert_eq!(states, [UnitState::Done, UnitState::Failed, UnitState::Starting]);
    assert_eq!(stage.restart("b"), ["spawn b"]);
}

/// Two X servers for one display, of which a new plan takes the other one.
#[test]
fn a_unit_that_replaces_another_one_starts_after_it_and_its_dependents_have_ended() {
    let server = |name: &str| {
        let launch = Orders { listen: vec![socket("/x")], ..Orders::default() };
        Unit { launch, ..unit(name) }
    };
    let off = |name: &str| Unit { disposition: Disposition::Skip("no".into()), ..unit(name) };
    let mut stage = Stage::up(&[server("xorg"), off("xvfb"), needing("kde", &["xorg"])]);
    let units = [off("xorg"), server("xvfb"), needing("kde", &["xvfb"])];
    assert_eq!(replan(&mut stage, &units, &[true; 3]), ["signal kde"]);
    assert_eq!(stage.status("xvfb").reason, "for xorg (ready), kde (stopping)");
    assert_eq!(stage.gone("kde", 0), ["signal xorg"]);
    assert_eq!(stage.status("xvfb").reason, "for xorg (stopping)");
    assert_eq!(stage.gone("xorg", 0), ["spawn xvfb"]);
    assert_eq!(stage.ready("xvfb"), ["spawn kde"]);
}

#[test]
fn units_that_exchange_their_places_do_not_wait_for_each_other() {
    let mut stage = Stage::up(&[unit("a"), needing("b", &["a"])]);
    assert_eq!(replan(&mut stage, &[needing("a", &["b"]), unit("b")], &[true; 2]), ["signal a"]);
    assert_eq!(stage.gone("a", 0), ["signal b"]);
    assert_eq!(stage.gone("b", 0), ["spawn b"]);
    assert_eq!(stage.ready("b"), ["spawn a"]);
}

#[test]
fn a_request_with_a_plan_starts_a_unit_once_and_a_failure_of_the_old_plan_does_not_count() {
    let mut units = [Unit { restart: limit(1), start_timeout: Some(MS(10)), ..unit("x") }];
    let (mut stage, _) = Stage::new(&units);
    stage.launched("x");
    stage.core.changes();
    assert_eq!(stage.due(), ["signal x"]);
    let failures: Vec<bool> = stage.core.changes().iter().map(|change| change.failure).collect();
    assert_eq!(failures, [true], "it is being stopped because it was not ready");
    units[0].start_timeout = Some(MS(20));
    stage.core.replan(units.to_vec(), stage.now);
    assert_eq!(stage.restart("x"), NOTHING);
    assert_eq!(stage.gone("x", 1), ["spawn x"]);
    assert_eq!(stage.core.changes().iter().filter(|change| change.failure).count(), 0);

    units[0].start_timeout = Some(MS(30));
    stage.gone("x", 1);
    assert_eq!(stage.state("x"), "failed");
    assert!(stage.core.changes().last().is_some_and(|change| change.failure));
    stage.core.replan(units.to_vec(), stage.now);
    assert_eq!(stage.restart("x"), ["spawn x"]);
}
