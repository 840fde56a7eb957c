//! Tests of health checks.

use super::*;
use crate::config::service::{Action, Health, Probe};

/// A unit that is checked every ten seconds, with a timeout of one second, and is unhealthy after two failures.
fn checked(name: &str, action: Action) -> Unit {
    let probe = Probe::Tcp("port".to_owned());
    let health =
        Health { probe, period: MS(10_000), retry: MS(10_000), timeout: MS(1000), threshold: 2, action };
    Unit { health: Some(health), ..unit(name) }
}

impl Stage {
    fn answer(&mut self, name: &str, number: u64, result: Result<(), &str>) -> Vec<String> {
        self.event(Event::Checked(self.at(name), number, result.map_err(str::to_owned)))
    }

    fn health(&self, name: &str) -> Option<UnitHealth> {
        self.status(name).health
    }

    fn reasons(&mut self) -> Vec<String> {
        self.core.changes().into_iter().map(|change| change.reason).collect()
    }
}

#[test]
fn checks_begin_when_it_is_ready_and_a_period_apart() {
    let (mut stage, _) = Stage::new(&[checked("a", Action::Restart), unit("other")]);
    assert_eq!(stage.health("a"), None);
    stage.ready("other");
    assert_eq!(stage.health("other"), None);
    stage.now = MS(5000);
    assert_eq!(stage.ready("a"), NOTHING);
    assert_eq!(stage.health("a"), Some(UnitHealth::Healthy));
    assert_eq!(stage.core.deadline(), Some(MS(15_000)));
    assert_eq!(stage.due(), ["check a 1"]);
    // While a check runs, no other one begins; the deadline is its timeout.
    assert_eq!(stage.core.deadline(), Some(MS(16_000)));
    stage.now = MS(15_400);
    assert_eq!(stage.answer("a", 1, Ok(())), NOTHING);
    assert_eq!(stage.core.deadline(), Some(MS(25_000)));
    assert_eq!(stage.due(), ["check a 2"]);
}

#[test]
fn a_unit_without_checks_has_nothing_to_wait_for() {
    assert_eq!(Stage::up(&[unit("a")]).core.deadline(), None);
}

#[test]
fn too_many_failures_in_a_row_are_unhealthy_and_a_success_is_healthy_again() {
    let mut stage = Stage::up(&[checked("a", Action::Tell)]);
    for (number, result) in [(1, Err("no")), (2, Ok(())), (3, Err("no"))] {
        assert_eq!(stage.due(), [format!("check a {number}")]);
        assert_eq!(stage.answer("a", number, result), NOTHING);
        assert_eq!(stage.health("a"), Some(UnitHealth::Healthy), "{number}");
    }
    stage.due();
    assert_eq!(stage.answer("a", 4, Err("no listener")), NOTHING);
    assert_eq!((stage.state("a"), stage.health("a")), ("ready", Some(UnitHealth::Unhealthy)));
    assert_eq!(stage.status("a").reason, "unhealthy: port: no listener");
    // It is only reported, however often the checks fail.
    stage.due();
    assert_eq!(stage.answer("a", 5, Err("closed")), NOTHING);
    assert_eq!(stage.status("a").reason, "unhealthy: port: closed");
    stage.reasons();
    stage.due();
    assert_eq!(stage.answer("a", 6, Ok(())), NOTHING);
    assert_eq!((stage.health("a"), stage.status("a").reason.as_str()), (Some(UnitHealth::Healthy), ""));
    assert_eq!(stage.reasons(), ["healthy again"]);
    assert!(stage.core.up());
}

#[test]
fn an_unhealthy_unit_is_restarted_after_its_dependents_have_stopped() {
    let mut stage = Stage::up(&[checked("a", Action::Restart), needing("b", &["a"])]);
    stage.due();
    stage.answer("a", 1, Err("no"));
    stage.due();
    assert_eq!(stage.answer("a", 2, Err("frozen")), ["signal b"]);
    assert_eq!((stage.state("a"), stage.health("a")), ("ready", Some(UnitHealth::Unhealthy)));
    assert_eq!(stage.status("a").reason, "unhealthy: port: frozen");
    // A unit that is leaving is not checked any more.
    assert_eq!(stage.core.deadline(), Some(stage.now + MS(5000)));
    assert_eq!(stage.gone("b", 0), ["signal a"]);
    assert_eq!((stage.state("a"), stage.health("a")), ("stopping", None));
    assert_eq!(stage.status("a").reason, "unhealthy: port: frozen");
    assert_eq!(stage.gone("a", 0), ["spawn a"]);
    assert_eq!(stage.status("a").restarts, 1);
    assert_eq!(stage.ready("a"), ["spawn b"]);
}

#[test]
fn no_answer_in_time_is_a_failure_and_an_answer_after_that_is_none() {
    let mut stage = Stage::up(&[checked("a", Action::Tell)]);
    assert_eq!(stage.due(), ["check a 1"]);
    assert_eq!(stage.due(), ["cancel-check a"]);
    assert_eq!(stage.answer("a", 1, Ok(())), NOTHING);
    assert_eq!(stage.due(), ["check a 2"]);
    // A late answer to the first check.
    assert_eq!(stage.answer("a", 1, Ok(())), NOTHING);
    assert_eq!(stage.due(), ["cancel-check a"]);
    assert_eq!(stage.status("a").reason, "unhealthy: port: no answer within 1s");
}

#[test]
fn a_check_ends_when_the_unit_does_not_stay_ready() {
    let mut stage = Stage::up(&[checked("a", Action::Restart)]);
    assert_eq!(stage.due(), ["check a 1"]);
    assert_eq!(stage.gone("a", 1), ["cancel-check a", "spawn a"]);
    stage.ready("a");
    assert_eq!(stage.due(), ["check a 2"]);
    assert_eq!(stage.stop("a"), ["cancel-check a", "signal a"]);
    assert_eq!(stage.answer("a", 2, Err("no")), NOTHING);
    stage.gone("a", 0);
    assert_eq!(stage.core.deadline(), None);
}

#[test]
fn a_check_that_took_its_whole_period_is_followed_by_the_next() {
    let mut quick = checked("a", Action::Tell);
    quick.health.as_mut().unwrap().timeout = MS(10_000);
    let mut stage = Stage::up(&[quick]);
    stage.due();
    assert_eq!(stage.due(), ["cancel-check a", "check a 2"]);
}

#[test]
fn a_unit_that_is_never_healthy_reaches_its_limit() {
    // Its checks alone take longer than the window in which failures count.
    let mut slow = checked("a", Action::Restart);
    slow.health.as_mut().unwrap().period = MS(3_600_000);
    let mut stage = Stage::up(&[slow]);
    for failure in 1.. {
        assert!(failure <= 5, "the limit is not reached");
        for _ in 0..2 {
            stage.due();
            stage.due();
        }
        assert_eq!(stage.state("a"), "stopping");
        stage.gone("a", 0);
        match stage.state("a") {
            "failed" => break,
            "backoff" => assert_eq!(stage.due(), ["spawn a"]),
            other => assert_eq!(other, "starting"),
        }
        stage.ready("a");
    }
    assert_eq!(stage.status("a").reason, "unhealthy: port: no answer within 1s, 5 times");
}

#[test]
fn a_unit_that_was_healthy_for_long_is_restarted_at_once_each_time() {
    let mut stage = Stage::up(&[checked("a", Action::Restart)]);
    let mut number = 0;
    for _ in 0..20 {
        for _ in 0..7 {
            number += 1;
            stage.due();
            stage.answer("a", number, Ok(()));
        }
        for _ in 0..2 {
            number += 1;
            stage.due();
            stage.answer("a", number, Err("no"));
        }
        assert_eq!(stage.gone("a", 0), ["spawn a"]);
        stage.ready("a");
    }
}

#[test]
fn a_unit_that_is_not_restarted_has_failed_when_it_is_unhealthy() {
    let once = Unit { restart: on(Restart::Never), ..checked("a", Action::Restart) };
    let mut stage = Stage::up(&[once]);
    for number in 1..=2 {
        stage.due();
        stage.answer("a", number, Err("no"));
    }
    stage.gone("a", 0);
    assert_eq!((stage.state("a"), stage.status("a").reason.as_str()), ("failed", "unhealthy: port: no"));
}

#[test]
fn a_failed_check_is_repeated_after_the_retry_time_and_a_good_one_after_the_period() {
    let mut unit = checked("a", Action::Tell);
    unit.health.as_mut().expect("checks").retry = MS(2000);
    let mut stage = Stage::up(&[unit]);
    for (at, result, health) in [
        (10_000, Err("no"), UnitHealth::Healthy),
        (12_000, Err("no"), UnitHealth::Unhealthy),
        (14_000, Err("no"), UnitHealth::Unhealthy),
        (16_000, Ok(()), UnitHealth::Healthy),
        (26_000, Ok(()), UnitHealth::Healthy),
    ] {
        stage.due();
        assert_eq!(stage.now, MS(at));
        let number = stage.core.checks;
        stage.answer("a", number, result);
        assert_eq!(stage.health("a"), Some(health), "{at}");
    }
}
