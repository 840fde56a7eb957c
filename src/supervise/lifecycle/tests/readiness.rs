//! Units that are not ready in time, and the texts that they report.

use super::*;

#[test]
fn not_ready_in_time_is_a_failure() {
    let slow = Unit { start_timeout: Some(MS(2000)), restart: limit(2), ..unit("slow") };
    let (mut stage, _) = Stage::new(&[slow]);
    stage.launched("slow");
    assert_eq!(stage.after(MS(1999)), NOTHING);
    assert_eq!(stage.after(MS(1)), ["signal slow"]);
    // Too late.
    assert_eq!(stage.ready("slow"), NOTHING);
    assert_eq!(stage.state("slow"), "stopping");
    assert_eq!(stage.gone("slow", 0), NOTHING);
    assert_eq!(stage.state("slow"), "backoff");
    assert_eq!(stage.due(), ["spawn slow"]);
    stage.launched("slow");
    assert_eq!(stage.due(), ["signal slow"]);
    assert_eq!(stage.gone("slow", 0), NOTHING);
    assert_eq!(stage.status("slow").reason, "it was not ready within 2s, 2 times");
}

#[test]
fn not_ready_in_time_names_the_last_attempt() {
    let slow = Unit { start_timeout: Some(MS(2000)), restart: limit(2), ..unit("slow") };
    let (mut stage, _) = Stage::new(&[slow]);
    for why in ["port 80: refused", "port 80: status 503"] {
        stage.event(Event::ProbeFailed(UnitId(0), why.into()));
    }
    assert_eq!(stage.due(), ["signal slow"]);
    assert_eq!(stage.status("slow").reason, "it was not ready within 2s: port 80: status 503");
    stage.gone("slow", 0);
    // A new run starts without the attempts of the last run.
    assert_eq!(stage.due(), ["spawn slow"]);
    assert_eq!(stage.due(), ["signal slow"]);
    assert_eq!(stage.status("slow").reason, "it was not ready within 2s: its program has not begun");
}

#[test]
fn the_status_text_of_a_unit_ends_with_it() {
    let (mut stage, _) = Stage::new(&[unit("a")]);
    stage.event(Event::StatusText(UnitId(0), "half way".into()));
    assert_eq!(stage.status("a").status_text, "half way");
    stage.ready("a");
    assert_eq!(stage.status("a").status_text, "half way");
    stage.stop("a");
    stage.gone("a", 0);
    stage.event(Event::StatusText(UnitId(0), "too late".into()));
    assert_eq!(stage.status("a").status_text, "");
}

#[test]
fn not_ready_in_time_is_final_for_a_unit_that_is_not_restarted() {
    let slow = Unit { restart: on(Restart::Never), ..unit("slow") };
    let (mut stage, _) = Stage::new(&[slow]);
    assert_eq!(stage.due(), ["signal slow"]);
    assert_eq!(stage.gone("slow", 0), NOTHING);
    assert_eq!(stage.state("slow"), "failed");
}

#[test]
fn a_oneshot_that_says_so_lets_others_start_and_works_on() {
    let bring = Unit { ready: Ready::Notify, ..oneshot("bring", &[]) };
    let behind = Relations { after: names(&["bring"]), ..Relations::default() };
    let server = Unit { relations: behind, ..unit("x") };
    let last = Unit { last: true, ready: Ready::Started, ..unit("run") };
    let (mut stage, first) = Stage::new(&[bring, server, last]);
    assert_eq!(first, ["spawn bring"]);
    // It needs longer: the others start, and everything counts as up.
    assert_eq!(stage.ready("bring"), ["spawn x"]);
    assert_eq!(stage.state("bring"), "starting");
    assert_eq!(stage.ready("x"), ["spawn run"]);
    stage.launched("run");
    stage.ready("run");
    assert!(stage.core.up());
    assert_eq!(stage.gone("bring", 0), NOTHING);
    assert_eq!(stage.state("bring"), "done");
    // A second report, and a failure after the first one, start nothing twice.
    assert_eq!(stage.restart("bring"), ["spawn bring"]);
    stage.ready("bring");
    assert_eq!(stage.ready("bring"), NOTHING);
    assert_eq!(stage.gone("bring", 1), NOTHING);
    assert_eq!(stage.state("x"), "ready");
}
