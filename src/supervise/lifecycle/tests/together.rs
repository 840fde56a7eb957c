//! Units that are restarted together on request.

use super::*;

fn with(mut unit: Unit, partner: &str) -> Unit {
    unit.relations.restart_with = Some(partner.to_owned());
    unit
}

fn desktop() -> Vec<Unit> {
    vec![unit("x"), with(needing("kde", &["x"]), "x"), needing("other", &["x"])]
}

impl Stage {
    /// A restart as `desktopd restart` requests it.
    fn restart_all(&mut self, names: &[&str]) -> (Vec<String>, Vec<String>) {
        let units: Vec<UnitId> = names.iter().map(|name| self.at(name)).collect();
        let together = self.core.restart_together(&units);
        let told = together.iter().map(|at| self.names[*at].clone()).collect();
        (told, self.event(Event::Restart(together, "ada".to_owned())))
    }

    /// Ends and starts units as the effects ask, and records the starts.
    fn calm_down(&mut self, mut effects: Vec<String>) -> Vec<String> {
        let mut starts = Vec::new();
        while !effects.is_empty() {
            let (verb, name) = effects[0].split_once(' ').expect("an effect on a unit");
            let name = name.to_owned();
            let next = match verb {
                "spawn" => {
                    starts.push(name.clone());
                    self.ready(&name)
                }
                "signal" => self.gone(&name, 0),
                other => panic!("{other}"),
            };
            effects.remove(0);
            effects.extend(next);
        }
        assert!(self.core.up(), "{:?}", self.states());
        starts
    }
}

#[test]
fn a_request_takes_partners_along_and_each_unit_is_restarted_once() {
    let units = [
        unit("bus"),
        with(needing("x", &["bus"]), "y"),
        unit("y"),
        with(needing("kde", &["x"]), "x"),
        following("stream", &["x"]),
        unit("other"),
    ];
    for (asked, told, starts) in [
        (&["kde"][..], "kde x y", &["y", "x", "stream", "kde"][..]),
        (&["x"], "x y", &["y", "x", "stream", "kde"]),
        (&["kde", "x", "kde"], "kde x y", &["y", "x", "stream", "kde"]),
        (&["stream", "kde"], "stream kde x y", &["y", "x", "stream", "kde"]),
        (&["y", "other"], "y other", &["y", "other"]),
        (&["bus", "kde"], "bus kde x y", &["y", "bus", "x", "stream", "kde"]),
    ] {
        let mut stage = Stage::up(&units);
        let (names, effects) = stage.restart_all(asked);
        assert_eq!(names.join(" "), told, "{asked:?}");
        let mut started = stage.calm_down(effects);
        // Units that do not depend on each other start in any order.
        let mut starts = starts.to_vec();
        started.sort();
        starts.sort_unstable();
        assert_eq!(started, starts, "{asked:?}");
    }
}

#[test]
fn with_only_and_after_a_crash_the_partner_stays() {
    let mut stage = Stage::up(&desktop());
    assert_eq!(stage.restart("kde"), ["signal kde"]);
    assert_eq!(stage.gone("kde", 0), ["spawn kde"]);
    stage.ready("kde");
    assert_eq!(stage.gone("kde", 1), ["spawn kde"]);
    assert_eq!(stage.state("x"), "ready");
}

#[test]
fn a_stopped_unit_is_restarted_with_its_partner() {
    let mut stage = Stage::up(&desktop());
    stage.stop("kde");
    stage.gone("kde", 0);
    let (told, effects) = stage.restart_all(&["kde"]);
    assert_eq!((told.join(" "), effects), ("kde x".to_owned(), vec!["signal other".to_owned()]));
    assert_eq!(stage.gone("other", 0), ["signal x"]);
    assert_eq!(stage.gone("x", 0), ["spawn x"]);
    assert_eq!(stage.ready("x"), ["spawn kde", "spawn other"]);
}

#[test]
fn a_partner_that_does_not_run_is_left_alone() {
    let broken = Unit { disposition: Disposition::Broken("its file is wrong".into()), ..unit("y") };
    let skipped = Unit { disposition: Disposition::Skip("not here".into()), ..unit("y") };
    let lazy = Unit { autostart: false, ..unit("y") };
    for partner in [broken, skipped, lazy] {
        let mut stage = Stage::up(&[with(unit("a"), "y"), partner]);
        let (told, effects) = stage.restart_all(&["a"]);
        assert_eq!((told.join(" "), effects), ("a".to_owned(), vec!["signal a".to_owned()]));
        assert_eq!(stage.gone("a", 0), ["spawn a"]);
    }
    // A partner that is needed is started nevertheless.
    let mut stage = Stage::up(&desktop());
    stage.stop("x");
    stage.gone("kde", 0);
    stage.gone("other", 0);
    stage.gone("x", 0);
    let (told, effects) = stage.restart_all(&["kde"]);
    assert_eq!((told.join(" "), effects), ("kde".to_owned(), vec!["spawn x".to_owned()]));
}

#[test]
fn a_partner_that_has_failed_is_tried_again() {
    let failing = Unit { restart: limit(1), ..unit("y") };
    let mut stage = Stage::up(&[with(unit("a"), "y"), failing]);
    stage.gone("y", 1);
    assert_eq!(stage.state("y"), "failed");
    let (told, effects) = stage.restart_all(&["a"]);
    assert_eq!((told.join(" "), effects.join(" ")), ("a y".to_owned(), "signal a spawn y".to_owned()));
}

#[test]
fn a_follower_waits_for_a_unit_that_is_about_to_restart() {
    // Otherwise it would follow the restart at once, and start twice.
    let mut stage = Stage::up(&[unit("x"), needing("kde", &["x"]), following("stream", &["x"])]);
    let (_, effects) = stage.restart_all(&["x", "stream"]);
    assert_eq!(effects, ["signal kde", "signal stream"]);
    assert_eq!(stage.gone("stream", 0), NOTHING);
    assert_eq!(stage.status("stream").reason, "for x (ready)");
    assert_eq!(stage.gone("kde", 0), ["signal x"]);
    assert_eq!(stage.gone("x", 0), ["spawn x"]);
    assert_eq!(stage.ready("x"), ["spawn kde", "spawn stream"]);
    assert_eq!(stage.ready("stream"), NOTHING);
}
