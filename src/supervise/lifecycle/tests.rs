//! Tests of the life cycle of units, without processes and without a clock.

mod checks;
mod listening;
mod main_units;
mod readiness;
mod replans;
mod stop_commands;
mod stops;
mod storm;
mod together;

use std::time::Duration;

use super::runtime::UnitRuntime;
use super::*;
use crate::config::service::{Ready, Relations, Restart, RestartPolicy, StopPolicy};
use crate::plan::Disposition;
use crate::supervise::{UnitHealth, UnitState};
use crate::sys::launch::Orders;
use crate::sys::reaper::Exit;
use listening::socket;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A service of that name, which is restarted when it ends.
pub(in crate::supervise) fn unit(name: &str) -> Unit {
    Unit {
        name: name.to_owned(),
        ready: Ready::Notify,
        start_timeout: Some(MS(60_000)),
        autostart: true,
        ..Unit::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn needing(name: &str, needs: &[&str]) -> Unit {
    Unit { relations: Relations { needs: names(needs), ..Relations::default() }, ..unit(name) }
}

fn following(name: &str, follows: &[&str]) -> Unit {
    Unit { relations: Relations { follows: names(follows), ..Relations::default() }, ..unit(name) }
}

fn oneshot(name: &str, needs: &[&str]) -> Unit {
    let ready = crate::config::service::Ready::Started;
    Unit { oneshot: true, ready, restart: on(Restart::OnFailure), ..needing(name, needs) }
}

fn on(when: Restart) -> RestartPolicy {
    RestartPolicy { when, ..RestartPolicy::default() }
}

/// The unit is given up after this number of failures.
fn limit(limit: u32) -> RestartPolicy {
    RestartPolicy { limit: Some(limit), ..RestartPolicy::default() }
}

fn within(timeout: Duration) -> StopPolicy {
    StopPolicy { timeout, ..StopPolicy::default() }
}

/// A core with names instead of numbers, and a clock that is set by hand.
struct Stage {
    core: Core,
    names: Vec<String>,
    now: Now,
    next_pid: i32,
}

impl Stage {
    /// The units, before any event; the second value contains the first effects.
    fn new(units: &[Unit]) -> (Self, Vec<String>) {
        let names = units.iter().map(|unit| unit.name.clone()).collect();
        let mut stage = Self { core: Core::new(units.to_vec(), 7, 0), names, now: Now::ZERO, next_pid: 100 };
        let first = stage.event(Event::Tick);
        (stage, first)
    }

    /// The same, after everything is up.
    fn up(units: &[Unit]) -> Self {
        let (mut stage, mut effects) = Self::new(units);
        while let Some(name) = effects.pop() {
            let name = name.strip_prefix("spawn ").expect("only starts happen").to_owned();
            let oneshot = units.iter().any(|unit| unit.name == name && unit.oneshot);
            effects.extend(if oneshot { stage.gone(&name, 0) } else { stage.ready(&name) });
        }
        assert!(stage.core.up(), "{:?}", stage.states());
        stage
    }

    fn at(&self, name: &str) -> UnitId {
        UnitId(self.names.iter().position(|known| known == name).expect("the name of a unit"))
    }

    fn event(&mut self, event: Event) -> Vec<String> {
        let effects = self.core.handle(event, self.now);
        let deadline = self.core.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "{deadline:?} at {:?}", self.now);
        self.text(&effects)
    }

    fn text(&self, effects: &[Effect]) -> Vec<String> {
        let name = |at: UnitId| self.names[at].as_str();
        let text = |effect: &Effect| match *effect {
            Effect::Spawn(at) => format!("spawn {}", name(at)),
            Effect::RunStopCommand(at) => format!("stop-command {}", name(at)),
            Effect::Signal(at) => format!("signal {}", name(at)),
            Effect::Kill(at) => format!("kill {}", name(at)),
            Effect::Check(at, number) => format!("check {} {number}", name(at)),
            Effect::CancelCheck(at) => format!("cancel-check {}", name(at)),
            Effect::Finished => "finished".to_owned(),
        };
        effects.iter().map(text).collect()
    }

    /// Its program runs.
    fn launched(&mut self, name: &str) -> Vec<String> {
        self.next_pid += 1;
        self.event(Event::Launched(self.at(name), self.next_pid))
    }

    /// Its program runs and reports that it is ready.
    fn ready(&mut self, name: &str) -> Vec<String> {
        let mut effects = self.launched(name);
        effects.extend(self.event(Event::Ready(self.at(name))));
        effects
    }

    fn gone(&mut self, name: &str, code: i32) -> Vec<String> {
        self.event(Event::Exited(self.at(name), Outcome::Ended(Exit::Code(code))))
    }

    fn start(&mut self, name: &str) -> Vec<String> {
        self.event(Event::Start(vec![self.at(name)]))
    }

    fn stop(&mut self, name: &str) -> Vec<String> {
        self.event(Event::Stop(vec![self.at(name)], "ada".to_owned()))
    }

    fn restart(&mut self, name: &str) -> Vec<String> {
        self.event(Event::Restart(vec![self.at(name)], "ada".to_owned()))
    }

    /// Time passes up to the next deadline.
    fn due(&mut self) -> Vec<String> {
        self.now = self.core.deadline().expect("something to wait for");
        self.event(Event::Tick)
    }

    fn after(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.event(Event::Tick)
    }

    fn status(&self, name: &str) -> UnitStatus {
        self.core.status().find(|status| status.name == name).unwrap()
    }

    fn state(&self, name: &str) -> &'static str {
        self.status(name).state.name()
    }

    fn states(&self) -> Vec<String> {
        let pairs = self.names.iter().zip(self.core.status());
        pairs.map(|(name, status)| format!("{name} {} {}", status.state.name(), status.reason)).collect()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn units_start_when_the_units_that_they_need_are_ready() {
    let (mut stage, first) = Stage::new(&[unit("x"), needing("kde", &["x"]), unit("other")]);
    assert_eq!(first, ["spawn x", "spawn other"]);
    assert_eq!(stage.status("kde").reason, "for x (starting)");
    assert_eq!(stage.launched("x"), NOTHING);
    assert_eq!(stage.ready("x"), ["spawn kde"]);
    assert!(!stage.core.up());
    stage.ready("kde");
    stage.ready("other");
    assert!(stage.core.up());
}

#[test]
fn after_is_order_only() {
    let mut later = unit("later");
    later.relations.after = names(&["slow"]);
    let (mut stage, first) = Stage::new(&[unit("slow"), later.clone()]);
    assert_eq!(first, ["spawn slow"]);
    // The first attempt failed: units with a mere `after` do not wait for the next one.
    assert_eq!(stage.gone("slow", 1), ["spawn later"]);
    let (mut stage, _) = Stage::new(&[unit("slow"), later.clone()]);
    assert_eq!(stage.ready("slow"), ["spawn later"]);
    // If a unit that was ready ends, units with a mere `after` keep running.
    stage.ready("later");
    assert_eq!(stage.gone("slow", 1), ["spawn slow"]);
    assert_eq!(stage.state("later"), "ready");
    let skipped = Unit { disposition: Disposition::Skip("no".into()), ..unit("slow") };
    assert_eq!(Stage::new(&[skipped, later]).1, ["spawn later"]);
}

#[test]
fn after_waits_for_a_unit_that_waits_itself() {
    let mut last = unit("last");
    last.relations.after = names(&["middle"]);
    let (mut stage, first) = Stage::new(&[unit("first"), needing("middle", &["first"]), last]);
    assert_eq!(first, ["spawn first"]);
    assert_eq!(stage.ready("first"), ["spawn middle"]);
    assert_eq!(stage.ready("middle"), ["spawn last"]);
}

#[test]
fn a_oneshot_is_done_after_success_and_retried_after_failure() {
    let (mut stage, first) = Stage::new(&[oneshot("prepare", &[]), needing("x", &["prepare"])]);
    assert_eq!(first, ["spawn prepare"]);
    // A oneshot does not get ready; such a report would not end it.
    assert_eq!(stage.ready("prepare"), NOTHING);
    assert_eq!(stage.gone("prepare", 1), NOTHING);
    assert_eq!(stage.state("prepare"), "backoff");
    assert_eq!(stage.due(), ["spawn prepare"]);
    assert_eq!(stage.gone("prepare", 0), ["spawn x"]);
    assert_eq!(stage.state("prepare"), "done");
    assert_eq!(stage.status("prepare").restarts, 1);
}

#[test]
fn a_restart_stops_dependents_first_and_brings_them_back() {
    let units = [unit("bus"), needing("x", &["bus"]), needing("kde", &["x"]), unit("other")];
    let mut stage = Stage::up(&units);
    assert_eq!(stage.restart("bus"), ["signal kde"]);
    assert_eq!(stage.gone("kde", 0), ["signal x"]);
    assert_eq!(stage.gone("x", 0), ["signal bus"]);
    assert_eq!(stage.gone("bus", 0), ["spawn bus"]);
    assert_eq!(stage.ready("bus"), ["spawn x"]);
    assert_eq!(stage.ready("x"), ["spawn kde"]);
    stage.ready("kde");
    assert!(stage.core.up());
    assert_eq!(stage.core.status().map(|status| status.restarts).sum::<u32>(), 0);
}

#[test]
fn a_crash_stops_dependents_before_the_unit_returns() {
    let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"])]);
    stage.now = MS(1000);
    assert_eq!(stage.gone("x", 1), ["signal kde"]);
    assert_eq!(stage.status("x").reason, "for kde (stopping)");
    assert_eq!(stage.status("kde").reason, "it needs x");
    assert_eq!(stage.gone("kde", 0), ["spawn x"]);
    assert_eq!(stage.status("x").reason, "it ended with exit code 1");
    assert_eq!(stage.ready("x"), ["spawn kde"]);
    assert_eq!((stage.status("x").restarts, stage.status("kde").restarts), (1, 0));
}

#[test]
fn a_crash_of_a_dependent_stops_no_other_unit() {
    let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"])]);
    assert_eq!(stage.gone("kde", 1), ["spawn kde"]);
    assert_eq!(stage.state("x"), "ready");
}

#[test]
fn followers_restart_with_the_unit_that_they_follow() {
    let mut stage = Stage::up(&[unit("x"), following("selkies", &["x"])]);
    assert_eq!(stage.gone("x", 1), ["spawn x"]);
    assert_eq!(stage.state("selkies"), "ready");
    assert_eq!(stage.ready("x"), ["signal selkies"]);
    assert_eq!(stage.status("selkies").reason, "x was restarted");
    assert_eq!(stage.gone("selkies", 0), ["spawn selkies"]);
    stage.ready("selkies");
    assert!(stage.core.up());
    assert_eq!(stage.status("selkies").restarts, 0);
}

#[test]
fn a_follower_started_before_the_first_readiness_restarts_only_after_the_second() {
    let (mut stage, first) = Stage::new(&[unit("x"), following("f", &["x"])]);
    assert_eq!(first, ["spawn x"]);
    assert_eq!(stage.gone("x", 1), ["spawn f"]);
    stage.ready("f");
    assert_eq!(stage.due(), ["spawn x"]);
    assert_eq!(stage.ready("x"), NOTHING);
    stage.gone("x", 1);
    assert_eq!(stage.due(), ["spawn x"]);
    assert_eq!(stage.ready("x"), ["signal f"]);
}

#[test]
fn a_oneshot_that_follows_is_run_again_after_its_dependents_have_stopped() {
    let mut access = oneshot("access", &["x"]);
    access.relations.follows = names(&["x"]);
    let mut stage = Stage::up(&[unit("x"), access, needing("game", &["access"])]);
    assert_eq!(stage.gone("x", 1), ["spawn x"]);
    assert_eq!(stage.ready("x"), ["signal game"]);
    assert_eq!(stage.gone("game", 0), ["spawn access"]);
    assert_eq!(stage.gone("access", 0), ["spawn game"]);
}

#[test]
fn the_restart_of_a_done_oneshot_runs_it_again() {
    let mut stage = Stage::up(&[oneshot("prepare", &[]), needing("x", &["prepare"])]);
    assert_eq!(stage.start("prepare"), NOTHING);
    assert_eq!(stage.restart("prepare"), ["signal x"]);
    assert_eq!(stage.gone("x", 0), ["spawn prepare"]);
    assert_eq!(stage.gone("prepare", 0), ["spawn x"]);
}

#[test]
fn the_stop_of_a_done_oneshot_stops_its_dependents() {
    let mut stage = Stage::up(&[oneshot("prepare", &[]), needing("x", &["prepare"])]);
    assert_eq!(stage.stop("prepare"), ["signal x"]);
    assert_eq!(stage.gone("x", 0), NOTHING);
    assert_eq!(stage.status("x").reason, "for prepare (stopped)");
    assert_eq!(stage.start("x"), ["spawn prepare"]);
}

#[test]
fn a_ready_unit_is_restarted_at_once_and_then_after_growing_waits() {
    let mut stage = Stage::up(&[unit("a")]);
    assert_eq!(stage.gone("a", 0), ["spawn a"]);
    let mut waits = Vec::new();
    for _ in 0..3 {
        stage.ready("a");
        assert_eq!(stage.gone("a", 0), NOTHING);
        assert_eq!(stage.state("a"), "backoff");
        waits.push(stage.core.deadline().unwrap().saturating_sub(stage.now));
        assert_eq!(stage.due(), ["spawn a"]);
    }
    for (wait, base) in waits.iter().zip([250, 500, 1000]) {
        assert!((MS(base)..=MS(base + base / 10)).contains(wait), "{waits:?}");
    }
    stage.ready("a");
    assert_eq!(stage.gone("a", 3), NOTHING);
    assert_eq!(stage.state("a"), "failed");
    assert_eq!(stage.status("a").reason, "it ended with exit code 3, 5 times");
    assert_eq!(stage.core.deadline(), None);
    // A start by hand forgets earlier failures.
    assert_eq!(stage.start("a"), ["spawn a"]);
    assert_eq!(stage.gone("a", 1), NOTHING);
    assert_eq!(stage.state("a"), "backoff");
}

#[test]
fn a_unit_that_needs_a_failed_unit_waits_and_names_it() {
    let once = Unit { restart: on(Restart::Never), ..unit("x") };
    let (mut stage, _) = Stage::new(&[once, needing("kde", &["x"])]);
    assert_eq!(stage.gone("x", 2), NOTHING);
    assert_eq!(stage.status("x").reason, "it ended with exit code 2");
    assert_eq!(stage.status("kde").reason, "for x (failed)");
    assert!(!stage.core.up());
    assert_eq!(stage.start("kde"), ["spawn x"]);
}

#[test]
fn a_unit_that_ended_with_success_and_is_not_restarted_is_not_expected() {
    let once = Unit { restart: on(Restart::OnFailure), ..unit("job") };
    let mut stage = Stage::up(&[once, unit("x")]);
    assert_eq!(stage.gone("job", 0), NOTHING);
    assert_eq!(stage.state("job"), "stopped");
    assert!(stage.core.up());
}
