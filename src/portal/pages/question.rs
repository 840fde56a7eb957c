//! The question before an action that ends other services or a user's work: what goes along, and what is lost.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::observe::{Snapshot, UnitStatus};
use crate::supervise::Verb;

use super::words::is_up;

/// A question, and the word that says yes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::portal) struct Question {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) yes: &'static str,
}

/// What is lost with the desktop.
pub(super) const LOST: &str =
    "The desktop ends. Programs that are open on it end too, and work that is not saved is lost.";

/// The question that the action needs; `None` for an action that takes nothing else along.
pub(super) fn question(snapshot: &Snapshot, verb: Verb, unit: &UnitStatus) -> Option<Question> {
    let (yes, happens) = match verb {
        Verb::Start => return None,
        Verb::Stop => ("Stop", "stop"),
        Verb::Restart => ("Restart", "restart"),
    };
    let along = along(snapshot, verb, unit);
    let shown = snapshot.routes.iter().flat_map(|route| route.shows.iter().map(String::as_str));
    let desktop = needed(snapshot, shown);
    let ends = unit.pid.is_some()
        && (desktop.contains(unit.name.as_str()) || along.iter().any(|name| desktop.contains(name)));
    if !ends && along.is_empty() {
        return None;
    }
    let lost = if ends { LOST } else { "" };
    let with = if along.is_empty() {
        String::new()
    } else {
        format!("With {} {happens}: {}.", unit.name, along.join(", "))
    };
    let text =
        [lost, with.as_str()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    Some(Question { title: format!("{yes} {}?", unit.name), text, yes })
}

/// The names of the running services that go along: those that need the service, and those that are restarted with it.
fn along<'a>(snapshot: &'a Snapshot, verb: Verb, unit: &'a UnitStatus) -> Vec<&'a str> {
    let mut going = vec![unit];
    let mut next = 0;
    while let Some(&with) = going.get(next).filter(|_| verb == Verb::Restart) {
        next += 1;
        let partner = with.restart_with.as_deref().and_then(|name| snapshot.unit(name));
        going.extend(
            partner.filter(|partner| is_up(partner) && !going.iter().any(|known| known.name == partner.name)),
        );
    }
    let together: BTreeSet<&str> = going.iter().map(|unit| unit.name.as_str()).collect();
    let goes = |other: &&UnitStatus| {
        let needs = needed(snapshot, std::iter::once(other.name.as_str()));
        let goes_along = together.contains(other.name.as_str());
        other.name != unit.name
            && (goes_along || other.pid.is_some() && together.iter().any(|name| needs.contains(name)))
    };
    snapshot.units.iter().filter(goes).map(|other| other.name.as_str()).collect()
}

/// These services and all that they need, directly or not.
fn needed<'a>(snapshot: &'a Snapshot, names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    let mut next: Vec<&str> = names.collect();
    while let Some(name) = next.pop() {
        let Some(unit) = snapshot.unit(name) else { continue };
        if all.insert(unit.name.as_str()) {
            next.extend(unit.needs.iter().map(String::as_str));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{RouteStatus, UnitInfo, UnitState};

    fn unit(name: &str, needs: &[&str], with: Option<&str>) -> UnitStatus {
        let info = UnitInfo {
            name: name.to_owned(),
            needs: needs.iter().map(|name| (*name).to_owned()).collect(),
            restart_with: with.map(str::to_owned),
            ..UnitInfo::default()
        };
        let own = Snapshot::default().own();
        UnitStatus { info: info.into(), state: UnitState::Ready, pid: Some(7), ..own }
    }

    fn snapshot() -> Snapshot {
        let units = vec![
            unit("bus", &[], None),
            unit("x", &["bus"], None),
            unit("kde", &["x"], Some("x")),
            unit("selkies", &["x"], None),
            unit("sshd", &[], None),
        ];
        let route =
            RouteStatus { shows: vec!["kde".to_owned()], ..RouteStatus::new("Desktop", 6100, "/", None) };
        Snapshot { units, routes: vec![route], ..Snapshot::default() }
    }

    #[test]
    fn the_question_names_what_goes_along() {
        let snapshot = snapshot();
        for (verb, name, with, ends) in [
            (Verb::Restart, "kde", "With kde restart: x, selkies.", true),
            (Verb::Stop, "kde", "", true),
            (Verb::Stop, "bus", "With bus stop: x, kde, selkies.", true),
            (Verb::Restart, "x", "With x restart: kde, selkies.", true),
        ] {
            let asked = question(&snapshot, verb, snapshot.unit(name).unwrap()).unwrap();
            assert_eq!(asked.text.contains(LOST), ends, "{name}");
            assert_eq!(asked.text.replace(LOST, "").trim(), with, "{name}");
        }
    }

    #[test]
    fn an_action_that_takes_nothing_along_needs_no_question() {
        let mut snapshot = snapshot();
        assert_eq!(question(&snapshot, Verb::Stop, snapshot.unit("sshd").unwrap()), None);
        assert_eq!(question(&snapshot, Verb::Start, snapshot.unit("kde").unwrap()), None);
        snapshot.units[2].pid = None;
        snapshot.units[3].pid = None;
        snapshot.units[1].pid = None;
        assert_eq!(question(&snapshot, Verb::Stop, snapshot.unit("x").unwrap()), None);
    }
}
