//! The main unit, whose end ends everything, and the unit that starts last.

use super::*;

fn main(name: &str) -> Unit {
    Unit { main: true, restart: on(Restart::Never), ..unit(name) }
}

fn last(name: &str) -> Unit {
    Unit { last: true, ready: crate::config::service::Ready::Started, ..main(name) }
}

fn ended(stage: &mut Stage, name: &str, outcome: Outcome) -> Vec<String> {
    stage.event(Event::Exited(stage.at(name), outcome))
}

#[test]
fn the_end_of_the_main_unit_stops_everything_and_gives_the_exit_code() {
    for (outcome, code) in [
        (Outcome::Ended(Exit::Code(0)), 0),
        (Outcome::Ended(Exit::Code(255)), 255),
        (Outcome::Ended(Exit::Signal(9)), 137),
        (Outcome::Ended(Exit::Signal(40)), 168),
        (Outcome::NotStarted("exec: Permission denied".into()), 126),
        (Outcome::NotFound("exec: No such file or directory".into()), 127),
    ] {
        let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"]), main("app")]);
        assert_eq!(ended(&mut stage, "app", outcome), ["signal kde"]);
        assert!(stage.core.is_stopping());
        assert_eq!(stage.gone("kde", 1), ["signal x"]);
        assert_eq!(stage.status("kde").reason, "app has ended");
        assert_eq!(stage.gone("x", 1), ["finished"]);
        assert_eq!(stage.core.code(), code);
    }
}

#[test]
fn after_a_shutdown_the_exit_code_is_that_of_the_main_unit() {
    for (exit, code) in [(Exit::Signal(15), 143), (Exit::Code(0), 0), (Exit::Code(3), 3)] {
        let mut stage = Stage::up(&[main("app")]);
        assert_eq!(stage.event(Event::Shutdown), ["signal app"]);
        assert_eq!(ended(&mut stage, "app", Outcome::Ended(exit)), ["finished"]);
        assert_eq!(stage.core.code(), code);
    }
    // It never ran, which must not look like success.
    let mut app = main("app");
    app.relations.needs = names(&["x"]);
    let (mut stage, _) = Stage::new(&[unit("x"), app]);
    stage.event(Event::Shutdown);
    assert_eq!(stage.gone("x", 0), ["finished"]);
    assert_eq!(stage.core.code(), 143);
    // It does not end even when it is killed.
    let mut stage = Stage::up(&[main("app")]);
    stage.event(Event::Shutdown);
    while !stage.due().contains(&"finished".to_owned()) {}
    assert_eq!(stage.core.code(), 137);
    let mut stage = Stage::up(&[unit("x")]);
    stage.event(Event::Shutdown);
    stage.gone("x", 7);
    assert_eq!(stage.core.code(), 0);
}

#[test]
fn a_requested_stop_or_restart_of_the_main_unit_does_not_stop_everything() {
    let mut stage = Stage::up(&[main("app"), unit("x")]);
    assert_eq!(stage.restart("app"), ["signal app"]);
    assert_eq!(stage.gone("app", 3), ["spawn app"]);
    stage.ready("app");
    assert_eq!(stage.stop("app"), ["signal app"]);
    assert_eq!(stage.gone("app", 4), NOTHING);
    assert!(!stage.core.is_stopping());
    assert_eq!(stage.start("app"), ["spawn app"]);
    stage.ready("app");
    assert_eq!(stage.gone("app", 5), ["signal x"]);
    assert_eq!(stage.core.code(), 5);
}

#[test]
fn a_main_unit_with_a_restart_policy_is_restarted_until_it_has_failed() {
    let stubborn =
        Unit { restart: RestartPolicy { limit: Some(3), ..on(Restart::OnFailure) }, ..main("app") };
    let mut stage = Stage::up(std::slice::from_ref(&stubborn));
    assert_eq!(stage.gone("app", 1), ["spawn app"]);
    stage.ready("app");
    assert_eq!(stage.gone("app", 2), NOTHING);
    assert_eq!(stage.due(), ["spawn app"]);
    assert!(!stage.core.is_stopping());
    assert_eq!(stage.gone("app", 3), ["finished"]);
    assert_eq!(stage.core.code(), 3);
    let mut stage = Stage::up(&[stubborn]);
    assert_eq!(stage.gone("app", 0), ["finished"]);
    assert_eq!(stage.core.code(), 0);
    // A unit that exits with success again and again is a failure, too.
    let looping = Unit { restart: RestartPolicy { limit: Some(1), ..on(Restart::Always) }, ..main("app") };
    let mut stage = Stage::up(&[looping]);
    assert_eq!(stage.gone("app", 0), ["finished"]);
    assert_eq!(stage.core.code(), 1);
}

#[test]
fn a_main_unit_that_was_not_ready_in_time_has_failed_even_with_exit_code_0() {
    let (mut stage, _) = Stage::new(&[main("app"), unit("x")]);
    assert_eq!(stage.due(), ["signal app", "signal x"]);
    assert_eq!(stage.gone("app", 0), NOTHING);
    assert!(stage.core.is_stopping());
    assert_eq!(stage.core.code(), 1);
}

#[test]
fn a_main_oneshot_ends_everything_when_it_is_done() {
    let job = Unit { main: true, restart: on(Restart::Never), ..oneshot("job", &["x"]) };
    for code in [0, 6] {
        let (mut stage, _) = Stage::new(&[unit("x"), job.clone()]);
        assert_eq!(stage.ready("x"), ["spawn job"]);
        assert_eq!(stage.gone("job", code), ["signal x"]);
        assert_eq!(stage.core.code(), code);
    }
}

#[test]
fn the_last_unit_waits_until_all_others_are_up_or_have_failed() {
    let lazy = Unit { autostart: false, ..unit("lazy") };
    let failing = Unit { restart: limit(2), ..unit("x") };
    let behind = needing("behind", &["x"]);
    let (mut stage, first) = Stage::new(&[last("run"), failing, behind, unit("slow"), lazy]);
    assert_eq!(first, ["spawn x", "spawn slow"]);
    assert_eq!(stage.status("run").reason, "for x (starting), behind (waiting), slow (starting)");
    assert_eq!(stage.ready("slow"), NOTHING);
    assert_eq!(stage.gone("x", 1), NOTHING);
    assert_eq!(stage.status("run").reason, "for x (backoff), behind (waiting)");
    assert_eq!(stage.due(), ["spawn x"]);
    assert_eq!(stage.gone("x", 1), ["spawn run"]);
    // It keeps running when other units end.
    stage.ready("run");
    assert_eq!(stage.gone("slow", 1), ["spawn slow"]);
    assert_eq!(stage.state("run"), "ready");
}

#[test]
fn the_last_unit_waits_neither_for_endless_retries_nor_for_its_dependents() {
    let endless =
        Unit { restart: RestartPolicy { limit: None, ..RestartPolicy::default() }, ..unit("endless") };
    let (mut stage, first) =
        Stage::new(&[last("run"), endless, needing("hook", &["run"]), following("tail", &["hook"])]);
    assert_eq!(first, ["spawn endless"]);
    assert_eq!(stage.gone("endless", 1), ["spawn run"]);
    assert_eq!(stage.ready("run"), ["spawn hook"]);
    assert_eq!(stage.ready("hook"), ["spawn tail"]);
}

#[test]
fn the_last_unit_waits_while_a_unit_that_was_not_ready_in_time_is_stopped_and_tried_again() {
    let slow = Unit { restart: limit(2), ..unit("slow") };
    let (mut stage, first) = Stage::new(&[last("run"), slow.clone()]);
    assert_eq!(first, ["spawn slow"]);
    assert_eq!(stage.due(), ["signal slow"]);
    assert_eq!(stage.status("run").reason, "for slow (stopping)");
    assert_eq!(stage.gone("slow", 0), NOTHING);
    assert_eq!(stage.due(), ["spawn slow"]);
    assert_eq!(stage.ready("slow"), ["spawn run"]);
    // A unit that is not restarted has failed for good when it has ended.
    let once = Unit { restart: on(Restart::Never), ..slow };
    let (mut stage, _) = Stage::new(&[last("run"), once]);
    assert_eq!(stage.due(), ["spawn run", "signal slow"]);
}
