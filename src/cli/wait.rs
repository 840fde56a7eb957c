//! Decides whether a request has been carried out. Pure: gets the snapshot from before the request, and the events
//! since.

use std::collections::BTreeMap;

use crate::observe::events::{Event, What};
use crate::observe::{Snapshot, UnitChange, UnitState, UnitStatus};
use crate::portal::api::Units;
use crate::supervise::Verb;

/// The result for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The unit has reached the requested state.
    Done,
    /// The unit will not reach the requested state by itself.
    Failed,
}

/// The units of a request that are waited for.
pub(super) struct Waiting {
    verb: Verb,
    /// The number of the last event that the request caused at once.
    taken: u64,
    /// The number of the last event that `units` reflect.
    seen: u64,
    targets: Vec<(String, Option<Way>)>,
    units: BTreeMap<String, UnitStatus>,
}

impl Waiting {
    /// Waits for the result of a request. `snapshot` is from before the request; events supply the rest.
    pub(super) fn new(verb: Verb, request: Units, snapshot: &Snapshot) -> Self {
        let targets = request.units.into_iter().map(|name| (name, None)).collect();
        let mut waiting = Self { verb, taken: request.seq, seen: 0, targets, units: BTreeMap::new() };
        waiting.look(snapshot);
        waiting
    }

    /// The number of the last event that is known here.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes over the states of all units: at first, and after events were lost.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        self.units = snapshot.units.iter().map(|unit| (unit.name.clone(), unit.clone())).collect();
        let lost = self.seen > 0;
        self.seen = snapshot.seq;
        // A unit that is ready may not have been restarted yet: it may not even have begun to stop.
        if self.verb != Verb::Restart || (lost && self.seen > self.taken) {
            self.judge(None);
        }
    }

    /// Takes over the next event.
    pub(super) fn take(&mut self, event: &Event) {
        if event.seq <= self.seen {
            return;
        }
        self.seen = event.seq;
        if let What::Unit(UnitChange { unit, to, reason, pid, .. }) = &event.what {
            if let Some(status) = self.units.get_mut(unit) {
                status.state = *to;
                status.reason.clone_from(reason);
                status.pid = *pid;
            }
            if self.verb == Verb::Restart && event.seq > self.taken {
                self.judge(Some(unit));
            }
        }
        // The last event of the request may concern no unit.
        if self.verb != Verb::Restart {
            self.judge(None);
        }
    }

    /// Whether every unit has a result.
    pub(super) fn is_over(&self) -> bool {
        self.targets.iter().all(|(_, way)| way.is_some())
    }

    /// Each unit with its result, its state and its reason.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&str, Option<Way>, UnitState, &str)> {
        self.targets.iter().filter_map(|(name, way)| {
            let unit = self.units.get(name)?;
            Some((name.as_str(), *way, unit.state, unit.reason.as_str()))
        })
    }

    /// Determines the results; `changed` is the only unit whose state is new, if there is only one.
    fn judge(&mut self, changed: Option<&str>) {
        if self.seen < self.taken {
            // The states are still those from before the request.
            return;
        }
        let mut targets = std::mem::take(&mut self.targets);
        for (name, way) in &mut targets {
            let Some(unit) = self.units.get(name) else { continue };
            // Also for units that were done: a unit that fails while others are waited for has failed.
            if changed.is_none_or(|changed| changed == name) {
                *way = end_of(self.verb, unit.state);
            }
            if way.is_none() && self.verb != Verb::Stop && self.is_blocked(unit, self.units.len()) {
                *way = Some(Way::Failed);
            }
        }
        self.targets = targets;
    }

    /// Whether the unit waits for a unit that will not start by itself.
    fn is_blocked(&self, unit: &UnitStatus, depth: usize) -> bool {
        unit.state == UnitState::Waiting
            && depth > 0
            && unit.needs.iter().filter_map(|need| self.units.get(need)).any(|need| {
                matches!(need.state, UnitState::Failed | UnitState::Stopped | UnitState::Skipped)
                    || self.is_blocked(need, depth - 1)
            })
    }
}

fn end_of(verb: Verb, state: UnitState) -> Option<Way> {
    let rests = matches!(state, UnitState::Stopped | UnitState::Failed | UnitState::Skipped);
    match (verb, state) {
        (Verb::Stop, UnitState::Ready) => None,
        (_, UnitState::Ready | UnitState::Done) => Some(Way::Done),
        (Verb::Stop, _) if rests => Some(Way::Done),
        (_, _) if rests => Some(Way::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{change, unit};
    use UnitState as S;

    fn event(seq: u64, unit: &str, to: UnitState) -> Event {
        Event { seq, at: 0, what: What::Unit(UnitChange { reason: "why".into(), ..change(unit, None, to) }) }
    }

    fn request(names: &[&str]) -> Units {
        let units = names.iter().map(|name| (*name).to_owned()).collect();
        Units { units, seq: 10, notes: Vec::new() }
    }

    /// `kde` needs `x`, which needs `key`.
    fn snapshot(key: UnitState, x: UnitState, kde: UnitState) -> Snapshot {
        let mut units = vec![unit("key", key), unit("x", x), unit("kde", kde)];
        units[1].needs = vec!["key".into()];
        units[2].needs = vec!["x".into()];
        Snapshot { units, seq: 10, ..Snapshot::default() }
    }

    fn ways(
        verb: Verb,
        names: &[&str],
        now: &Snapshot,
        then: &[(&str, UnitState)],
    ) -> (bool, Vec<Option<Way>>) {
        let mut waiting = Waiting::new(verb, request(names), now);
        for (seq, (unit, state)) in (11..).zip(then) {
            assert!(!waiting.is_over(), "over before {unit} was {state:?}");
            waiting.take(&event(seq, unit, *state));
        }
        (waiting.is_over(), waiting.ends().map(|(_, way, _, _)| way).collect())
    }

    #[test]
    fn each_verb_has_its_final_states() {
        let (up, down) = (snapshot(S::Done, S::Ready, S::Ready), snapshot(S::Done, S::Ready, S::Stopped));
        let coming = snapshot(S::Done, S::Ready, S::Starting);
        let (done, failed) = (Some(Way::Done), Some(Way::Failed));
        for (verb, now, then, expected) in [
            (Verb::Start, &up, &[][..], done),
            (Verb::Start, &coming, &[("kde", S::Ready)], done),
            (Verb::Start, &coming, &[("kde", S::Backoff), ("kde", S::Starting)], None),
            (Verb::Start, &coming, &[("kde", S::Backoff), ("kde", S::Failed)], failed),
            (Verb::Stop, &down, &[], done),
            (Verb::Stop, &up, &[("kde", S::Stopping), ("kde", S::Stopped)], done),
            // The unit is shown as ready until the units that need it have stopped.
            (Verb::Restart, &up, &[("key", S::Done), ("x", S::Ready)], None),
            (Verb::Restart, &up, &[("kde", S::Stopping), ("kde", S::Waiting), ("kde", S::Ready)], done),
            (Verb::Restart, &down, &[("kde", S::Starting), ("kde", S::Failed)], failed),
        ] {
            let (over, ways) = ways(verb, &["kde"], now, then);
            assert_eq!((over, ways[0]), (expected.is_some(), expected), "{verb:?} {then:?}");
        }
    }

    #[test]
    fn a_unit_that_waits_for_one_that_will_not_start_has_failed() {
        let blocked = snapshot(S::Failed, S::Waiting, S::Waiting);
        assert_eq!(ways(Verb::Start, &["kde"], &blocked, &[]), (true, vec![Some(Way::Failed)]));
        let coming = snapshot(S::Starting, S::Waiting, S::Waiting);
        assert_eq!(ways(Verb::Start, &["kde"], &coming, &[]), (false, vec![None]));
        let failed = [("key", S::Failed)];
        assert_eq!(ways(Verb::Restart, &["kde"], &coming, &failed), (true, vec![Some(Way::Failed)]));
    }

    #[test]
    fn all_units_are_waited_for() {
        let now = snapshot(S::Done, S::Ready, S::Starting);
        assert_eq!(ways(Verb::Start, &["x", "kde"], &now, &[]), (false, vec![Some(Way::Done), None]));
        let then = [("x", S::Backoff), ("kde", S::Ready), ("x", S::Failed)];
        let expected = vec![Some(Way::Failed), Some(Way::Done)];
        assert_eq!(ways(Verb::Start, &["x", "kde"], &now, &then), (true, expected));
    }

    #[test]
    fn events_from_before_the_request_do_not_count() {
        let old = Snapshot { seq: 7, ..snapshot(S::Done, S::Ready, S::Failed) };
        let mut waiting = Waiting::new(Verb::Start, request(&["kde"]), &old);
        // An event that the snapshot includes, then events up to the last one of the request.
        for (seq, state) in
            [(7, S::Ready), (8, S::Backoff), (9, S::Failed), (10, S::Waiting), (11, S::Starting)]
        {
            waiting.take(&event(seq, "kde", state));
            assert!(!waiting.is_over(), "{seq}");
        }
        waiting.take(&event(12, "kde", S::Ready));
        assert!(waiting.is_over());
        let mut waiting = Waiting::new(Verb::Restart, request(&["kde"]), &old);
        waiting.take(&event(9, "kde", S::Ready));
        waiting.take(&event(10, "kde", S::Stopping));
        assert!(!waiting.is_over());
    }

    #[test]
    fn a_request_that_was_over_before_the_first_look_is_recognized_by_its_events() {
        let before = Snapshot { seq: 8, ..snapshot(S::Done, S::Ready, S::Waiting) };
        let mut waiting = Waiting::new(Verb::Stop, request(&["kde"]), &before);
        waiting.take(&event(9, "kde", S::Stopped));
        assert!(!waiting.is_over());
        waiting.take(&Event { seq: 10, at: 0, what: What::Up });
        assert!(waiting.is_over());
        let mut waiting = Waiting::new(Verb::Restart, request(&["kde", "x"]), &before);
        let steps = [("kde", S::Stopping), ("x", S::Stopping), ("x", S::Ready), ("kde", S::Ready)];
        for (seq, (unit, state)) in (9..).zip(steps) {
            assert!(!waiting.is_over(), "{seq}");
            waiting.take(&event(seq, unit, state));
        }
        assert!(waiting.is_over());
    }

    #[test]
    fn after_lost_events_the_snapshot_decides() {
        let before = snapshot(S::Done, S::Ready, S::Ready);
        let mut waiting = Waiting::new(Verb::Restart, request(&["kde"]), &before);
        assert!(!waiting.is_over());
        waiting.look(&Snapshot { seq: 5000, ..before });
        assert!(waiting.is_over());
    }
}
