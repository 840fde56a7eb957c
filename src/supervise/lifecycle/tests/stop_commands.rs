//! Stop commands: whatever their result, the stop ends within its time.

use super::*;

/// A unit that may take 6 s to stop.
fn kde() -> Unit {
    Unit { stop: StopPolicy { command: Some(vec!["logout".into()]), ..within(MS(6000)) }, ..unit("kde") }
}

#[test]
fn a_command_that_hangs_has_two_thirds_of_the_time() {
    let mut stage = Stage::up(&[kde()]);
    assert_eq!(stage.stop("kde"), ["stop-command kde"]);
    assert_eq!(stage.after(MS(3999)), NOTHING);
    assert_eq!(stage.after(MS(1)), ["signal kde"]);
    // The command is ended then; this event changes nothing.
    assert_eq!(stage.event(Event::StopCommandEnded(UnitId(0), false)), NOTHING);
    assert_eq!(stage.after(MS(1999)), NOTHING);
    assert_eq!(stage.after(MS(1)), ["kill kde"]);
    assert_eq!(stage.gone("kde", 0), NOTHING);
    assert_eq!((stage.state("kde"), stage.now), ("stopped", MS(6000)));
}

#[test]
fn a_command_that_fails_or_cannot_be_executed_is_followed_by_the_signal_at_once() {
    let mut stage = Stage::up(&[kde()]);
    assert_eq!(stage.stop("kde"), ["stop-command kde"]);
    assert_eq!(stage.after(MS(10)), NOTHING);
    assert_eq!(stage.event(Event::StopCommandEnded(UnitId(0), false)), ["signal kde"]);
    assert_eq!(stage.event(Event::StopCommandEnded(UnitId(0), false)), NOTHING);
    // The signal gets the rest of the time.
    assert_eq!(stage.after(MS(5989)), NOTHING);
    assert_eq!(stage.after(MS(1)), ["kill kde"]);
}

#[test]
fn a_unit_that_stays_after_a_successful_command_gets_the_signal_at_the_deadline() {
    let mut stage = Stage::up(&[kde()]);
    stage.stop("kde");
    assert_eq!(stage.event(Event::StopCommandEnded(UnitId(0), true)), NOTHING);
    assert_eq!(stage.due(), ["signal kde"]);
    assert_eq!(stage.now, MS(4000));
    assert_eq!(stage.due(), ["kill kde"]);
    assert_eq!(stage.now, MS(6000));
}

#[test]
fn a_unit_that_ends_after_its_command_gets_no_signal() {
    let mut stage = Stage::up(&[kde()]);
    stage.stop("kde");
    assert_eq!(stage.event(Event::StopCommandEnded(UnitId(0), true)), NOTHING);
    assert_eq!(stage.gone("kde", 0), NOTHING);
    assert_eq!((stage.state("kde"), stage.core.deadline()), ("stopped", None));
}

#[test]
fn a_stop_timeout_of_zero_gives_the_command_no_time() {
    let mut kde = kde();
    kde.stop.timeout = Duration::ZERO;
    let mut stage = Stage::up(&[kde]);
    assert_eq!(stage.stop("kde"), ["stop-command kde", "signal kde", "kill kde"]);
}

#[test]
fn a_unit_whose_program_does_not_run_yet_gets_no_stop_command() {
    let (mut stage, _) = Stage::new(&[kde()]);
    assert_eq!(stage.stop("kde"), ["signal kde"]);
    assert_eq!(stage.after(MS(6000)), ["kill kde"]);
}
