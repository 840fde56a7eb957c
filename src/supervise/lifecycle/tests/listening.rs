//! Units whose sockets exist before they are ready.

use super::*;
use crate::sys::launch::Listener;

/// A socket of that path.
pub(super) fn socket(path: &str) -> Listener {
    Listener { path: path.into(), mode: 0o600 }
}

fn listening(name: &str) -> Unit {
    let launch = Orders { listen: vec![socket("/s")], ..Orders::default() };
    Unit { launch, ..unit(name) }
}

#[test]
fn units_that_need_a_listening_unit_start_as_soon_as_its_sockets_exist() {
    let mut after = unit("later");
    after.relations.after = names(&["x"]);
    let (mut stage, first) = Stage::new(&[listening("x"), needing("kde", &["x"]), after]);
    assert_eq!(first, ["spawn x"]);
    assert_eq!(stage.launched("x"), ["spawn kde", "spawn later"]);
    stage.ready("kde");
    stage.ready("later");
    assert!(!stage.core.up(), "x itself is not ready");
    assert_eq!(stage.ready("x"), NOTHING);
    assert!(stage.core.up());
}

#[test]
fn dependents_of_a_listening_unit_that_ends_before_ready_are_stopped() {
    let (mut stage, _) = Stage::new(&[listening("x"), needing("kde", &["x"])]);
    assert_eq!(stage.launched("x"), ["spawn kde"]);
    stage.launched("kde");
    assert_eq!(stage.gone("x", 1), ["signal kde"]);
    assert_eq!(stage.gone("kde", 0), NOTHING);
    assert_eq!(stage.due(), ["spawn x"]);
    assert_eq!(stage.launched("x"), ["spawn kde"]);
}

#[test]
fn followers_of_a_listening_unit_restart_once() {
    let mut follower = following("selkies", &["x"]);
    follower.relations.needs = vec!["x".to_owned()];
    let (mut stage, _) = Stage::new(&[listening("x"), follower, following("other", &["x"])]);
    assert_eq!(stage.launched("x"), ["spawn selkies", "spawn other"]);
    for name in ["x", "selkies", "other"] {
        assert_eq!(stage.ready(name), NOTHING, "{name}");
    }
    assert_eq!(stage.gone("x", 1), ["signal selkies"]);
    assert_eq!(stage.gone("selkies", 0), ["spawn x"]);
    assert_eq!(stage.launched("x"), ["spawn selkies", "signal other"]);
    assert_eq!(stage.gone("other", 0), ["spawn other"]);
    for name in ["selkies", "other", "x"] {
        assert_eq!(stage.ready(name), NOTHING, "{name}");
    }
    assert!(stage.core.up());
}
