//! Stops, restarts by hand, and the stop of everything.

use super::*;

#[test]
fn an_end_for_good_differs_from_a_restart() {
    let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"])]);
    let both = |stage: &Stage| [0, 1].map(|at| stage.core.ends_for_good(UnitId(at)));
    assert_eq!(stage.restart("kde"), ["signal kde"]);
    assert_eq!(both(&stage), [false, false]);
    // The user changes the restart into a stop.
    assert_eq!(stage.stop("kde"), NOTHING);
    assert_eq!(both(&stage), [false, true]);
    assert_eq!(stage.gone("kde", 0), NOTHING);
    assert_eq!(both(&stage), [false, true]);
    assert_eq!(stage.start("kde"), ["spawn kde"]);
    stage.ready("kde");
    // A unit that waits for its need is restarted with it; the need itself has not begun to end.
    assert_eq!(stage.stop("x"), ["signal kde"]);
    assert_eq!(both(&stage), [false, false]);
    assert_eq!(stage.gone("kde", 0), ["signal x"]);
    assert_eq!(both(&stage), [true, false]);
}

#[test]
fn no_time_to_stop_means_no_time() {
    let hasty = Unit { stop: within(Duration::ZERO), ..unit("hasty") };
    let mut stage = Stage::up(&[hasty]);
    assert_eq!(stage.stop("hasty"), ["signal hasty", "kill hasty"]);
    let never = Unit { start_timeout: Some(Duration::ZERO), ..unit("never") };
    assert_eq!(Stage::new(&[never]).1, ["spawn never", "signal never"]);
}

#[test]
fn a_stop_comes_after_the_dependents_and_leaves_them_waiting() {
    let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"])]);
    assert_eq!(stage.stop("x"), ["signal kde"]);
    assert_eq!(stage.state("x"), "ready");
    assert_eq!(stage.gone("kde", 0), ["signal x"]);
    assert_eq!(stage.gone("x", 0), NOTHING);
    assert_eq!(stage.status("x").reason, "ada asked for it");
    assert_eq!(stage.status("kde").reason, "for x (stopped)");
    assert!(stage.core.up(), "stopped units are not expected to be up");
    assert_eq!(stage.start("x"), ["spawn x"]);
    assert_eq!(stage.ready("x"), ["spawn kde"]);
}

#[test]
fn stopped_while_waiting_starting_or_backing_off() {
    let (mut stage, _) = Stage::new(&[unit("x"), needing("kde", &["x"])]);
    assert_eq!(stage.stop("kde"), NOTHING);
    assert_eq!(stage.state("kde"), "stopped");
    assert_eq!(stage.stop("x"), ["signal x"]);
    assert_eq!(stage.gone("x", 0), NOTHING);
    assert_eq!(stage.state("x"), "stopped");
    assert_eq!(stage.start("x"), ["spawn x"]);
    assert_eq!(stage.gone("x", 1), NOTHING);
    assert_eq!(stage.stop("x"), NOTHING);
    assert_eq!(stage.state("x"), "stopped");
    assert_eq!(stage.core.deadline(), None);
}

#[test]
fn started_or_restarted_while_backing_off() {
    for restart in [false, true] {
        let (mut stage, _) = Stage::new(&[unit("x")]);
        stage.gone("x", 1);
        assert_eq!(if restart { stage.restart("x") } else { stage.start("x") }, ["spawn x"]);
    }
}

#[test]
fn started_while_stopping_it_returns() {
    let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"])]);
    assert_eq!(stage.stop("x"), ["signal kde"]);
    // It has not begun to stop, but its dependent has.
    assert_eq!(stage.start("x"), NOTHING);
    assert_eq!(stage.gone("kde", 0), ["signal x"]);
    assert_eq!(stage.stop("x"), NOTHING);
    assert_eq!(stage.start("kde"), NOTHING);
    assert_eq!(stage.gone("x", 0), ["spawn x"]);
    assert_eq!(stage.ready("x"), ["spawn kde"]);
}

#[test]
fn a_start_during_the_stop_after_a_start_timeout_starts_the_unit_again() {
    let slow = Unit { restart: limit(1), ..unit("slow") };
    let (mut stage, _) = Stage::new(&[slow]);
    assert_eq!(stage.due(), ["signal slow"]);
    assert_eq!(stage.start("slow"), NOTHING);
    assert_eq!(stage.gone("slow", 0), ["spawn slow"]);
}

#[test]
fn a_restart_while_starting_starts_over() {
    let (mut stage, _) = Stage::new(&[unit("x")]);
    stage.launched("x");
    assert_eq!(stage.restart("x"), ["signal x"]);
    assert_eq!(stage.restart("x"), NOTHING);
    assert_eq!(stage.gone("x", 0), ["spawn x"]);
}

#[test]
fn a_start_also_starts_needed_units() {
    let lazy = |unit: Unit| Unit { autostart: false, ..unit };
    let units = [lazy(unit("a")), lazy(needing("b", &["a"])), lazy(needing("c", &["b"])), lazy(unit("d"))];
    let (mut stage, first) = Stage::new(&units);
    assert_eq!(first, NOTHING);
    assert!(stage.core.up());
    assert_eq!(stage.start("c"), ["spawn a"]);
    assert_eq!(stage.ready("a"), ["spawn b"]);
    assert_eq!(stage.ready("b"), ["spawn c"]);
    assert_eq!(stage.state("d"), "stopped");
}

#[test]
fn units_that_cannot_run_are_refused() {
    let broken = Unit { disposition: Disposition::Broken("its file is wrong".into()), ..unit("b") };
    let skipped = Unit { disposition: Disposition::Skip("not here".into()), ..unit("s") };
    let (mut stage, first) = Stage::new(&[broken, skipped]);
    assert_eq!(first, NOTHING);
    assert_eq!((stage.state("b"), stage.state("s")), ("failed", "skipped"));
    assert_eq!(stage.core.refusal(UnitId(0)), Some("its file is wrong"));
    for name in ["b", "s"] {
        assert_eq!(stage.start(name), NOTHING);
        assert_eq!(stage.restart(name), NOTHING);
        assert_eq!(stage.stop(name), NOTHING);
    }
    assert_eq!((stage.state("b"), stage.state("s")), ("failed", "skipped"));
    assert!(stage.core.up());
}

#[test]
fn a_shutdown_goes_in_reverse_order_and_in_parallel() {
    let units = [unit("bus"), needing("x", &["bus"]), needing("kde", &["x"]), unit("other"), unit("late")];
    let mut stage = Stage::up(&units);
    stage.gone("late", 1);
    assert_eq!(stage.event(Event::Shutdown), ["signal kde", "signal other", "signal late"]);
    assert_eq!(stage.gone("late", 1), NOTHING);
    assert_eq!(stage.gone("kde", 0), ["signal x"]);
    assert_eq!(stage.gone("x", 0), ["signal bus"]);
    assert_eq!(stage.gone("bus", 0), NOTHING);
    assert_eq!(stage.gone("other", 0), ["finished"]);
    assert_eq!(stage.core.deadline(), None);
    assert_eq!(stage.start("x"), NOTHING);
}

#[test]
fn nothing_to_stop_is_finished_at_once() {
    let (mut stage, _) = Stage::new(&[Unit { autostart: false, ..unit("a") }]);
    assert_eq!(stage.event(Event::Shutdown), ["finished"]);
    assert_eq!(stage.event(Event::Shutdown), NOTHING);
}

#[test]
fn a_second_shutdown_kills_at_once_and_a_third_does_not_prolong_it() {
    let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"])]);
    assert_eq!(stage.event(Event::Shutdown), ["signal kde"]);
    assert_eq!(stage.event(Event::Shutdown), ["kill x", "kill kde"]);
    stage.now += MS(500);
    assert_eq!(stage.event(Event::Shutdown), NOTHING);
    assert_eq!(stage.gone("x", 0), NOTHING);
    assert_eq!(stage.after(MS(300)), ["kill kde", "finished"]);
}

#[test]
fn a_shutdown_ends_within_its_budget_even_if_units_do_not() {
    let slow = Unit { stop: within(MS(60_000)), ..unit("slow") };
    let mut stage = Stage::up(&[slow, needing("slower", &["slow"])]);
    assert_eq!(stage.event(Event::Shutdown), ["signal slower"]);
    assert_eq!(stage.after(MS(5000)), ["kill slower"]);
    // It was killed and has not ended: the unit that it needs does not wait for it.
    assert_eq!(stage.due(), ["kill slower", "signal slow"]);
    assert_eq!(stage.due(), ["kill slow", "kill slower"]);
    assert!(stage.due().contains(&"finished".to_owned()));
    assert!(stage.now <= requests::STOP_BUDGET + transitions::KILL_BUDGET);
}

#[test]
fn a_unit_that_cannot_be_killed_is_reported_and_does_not_block_others() {
    let mut stage = Stage::up(&[unit("x"), needing("stuck", &["x"])]);
    assert_eq!(stage.restart("x"), ["signal stuck"]);
    assert_eq!(stage.due(), ["kill stuck"]);
    assert_eq!(stage.due(), ["kill stuck", "signal x"]);
    assert_eq!(stage.status("stuck").reason, "it needs x; it does not end, even when killed");
    assert_eq!(stage.gone("x", 0), ["spawn x"]);
    assert_eq!(stage.ready("x"), NOTHING);
    // It has ended at last, and is started again.
    assert_eq!(stage.gone("stuck", 0), ["spawn stuck"]);
}

#[test]
fn a_program_that_could_not_be_started_says_why() {
    let (mut stage, _) = Stage::new(&[Unit { restart: limit(1), ..unit("a") }]);
    let why = "exec /opt/a: Permission denied".to_owned();
    stage.event(Event::Exited(UnitId(0), Outcome::NotStarted(why.clone())));
    assert_eq!(stage.status("a").reason, why);
    assert_eq!(stage.state("a"), "failed");
}

#[test]
fn events_of_a_run_that_is_over_change_nothing() {
    let mut stage = Stage::up(&[unit("x")]);
    stage.stop("x");
    stage.gone("x", 0);
    for event in
        [Event::Ready(UnitId(0)), Event::Launched(UnitId(0), 5), Event::StopCommandEnded(UnitId(0), false)]
    {
        assert_eq!(stage.event(event), NOTHING);
    }
    assert_eq!(stage.gone("x", 1), NOTHING);
    assert_eq!((stage.state("x"), stage.status("x").pid), ("stopped", None));
}
