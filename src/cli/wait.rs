//! Whether what was asked for has come about. Pure: fed with the snapshot after the request and the events since.

use std::collections::BTreeMap;

use crate::observe::events::{Event, What};
use crate::observe::{Snapshot, UnitState, UnitStatus};
use crate::portal::api::Units;
use crate::supervise::Verb;

/// How it came out for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it was asked for.
    Done,
    /// It will not come about by itself any more.
    Failed,
}

/// The units that somebody waits for.
pub(super) struct Waiting {
    verb: Verb,
    /// The last event that the request made at once.
    taken: u64,
    /// The last event that `units` know of.
    seen: u64,
    targets: Vec<(String, Option<Way>)>,
    units: BTreeMap<String, UnitStatus>,
}

impl Waiting {
    /// Waits for what comes of a request. `snapshot` is from before that: events tell the rest.
    pub(super) fn new(verb: Verb, request: Units, snapshot: &Snapshot) -> Self {
        let targets = request.units.into_iter().map(|name| (name, None)).collect();
        let mut waiting = Self { verb, taken: request.seq, seen: 0, targets, units: BTreeMap::new() };
        waiting.look(snapshot);
        waiting
    }

    /// The event from which on this wants to know everything.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes in where all units stand: at first, and after events were lost.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        self.units = snapshot.units.iter().map(|unit| (unit.name.clone(), unit.clone())).collect();
        let lost = self.seen > 0;
        self.seen = snapshot.seq;
        // That a unit is ready does not say that it was restarted: it may not even have begun to stop.
        if self.verb != Verb::Restart || (lost && self.seen > self.taken) {
            self.judge(None);
        }
    }

    /// Takes in what happened next.
    pub(super) fn take(&mut self, event: &Event) {
        if event.seq <= self.seen {
            return;
        }
        self.seen = event.seq;
        if let What::Unit { unit, to, reason, pid, .. } = &event.what {
            if let Some(status) = self.units.get_mut(unit) {
                status.state = *to;
                status.reason.clone_from(reason);
                status.pid = *pid;
            }
            if self.verb == Verb::Restart && event.seq > self.taken {
                self.judge(Some(unit));
            }
        }
        // The last event of the request may be about no unit.
        if self.verb != Verb::Restart {
            self.judge(None);
        }
    }

    /// Whether there is nothing left to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.targets.iter().all(|(_, way)| way.is_some())
    }

    /// Each unit, how it came out, and where it stands.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&str, Option<Way>, UnitState, &str)> {
        self.targets.iter().filter_map(|(name, way)| {
            let unit = self.units.get(name)?;
            Some((name.as_str(), *way, unit.state, unit.reason.as_str()))
        })
    }

    /// Decides for those that came to an end; `changed` is the only unit whose state is news, if only one's is.
    fn judge(&mut self, changed: Option<&str>) {
        if self.seen < self.taken {
            // This is how it was before the request.
            return;
        }
        let mut targets = std::mem::take(&mut self.targets);
        for (name, way) in &mut targets {
            let Some(unit) = self.units.get(name) else { continue };
            // Also of one that was done: what fails while others are waited for has failed.
            if changed.is_none_or(|changed| changed == name) {
                *way = end_of(self.verb, unit.state);
            }
            if way.is_none() && self.verb != Verb::Stop && self.is_blocked(unit, self.units.len()) {
                *way = Some(Way::Failed);
            }
        }
        self.targets = targets;
    }

    /// Whether it waits for something that will not come by itself.
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
pub(super) mod tests {
    use super::*;
    use UnitState as S;

    /// A unit like any other.
    pub(in crate::cli) fn unit(name: &str, state: UnitState) -> UnitStatus {
        UnitStatus {
            name: name.into(),
            description: String::new(),
            aliases: Vec::new(),
            state,
            reason: String::new(),
            health: None,
            status_text: String::new(),
            stopped_by: None,
            off: false,
            since: 0,
            pid: None,
            restarts: 0,
            oneshot: false,
            needs: Vec::new(),
            after: Vec::new(),
        }
    }

    fn event(seq: u64, unit: &str, to: UnitState) -> Event {
        let what =
            What::Unit { unit: unit.into(), from: None, to, reason: "why".into(), health: None, pid: None };
        Event { seq, at: 0, what }
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
    fn each_verb_has_its_ends() {
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
            // It stands as ready until what needs it has stopped.
            (Verb::Restart, &up, &[("key", S::Done), ("x", S::Ready)], None),
            (Verb::Restart, &up, &[("kde", S::Stopping), ("kde", S::Waiting), ("kde", S::Ready)], done),
            (Verb::Restart, &down, &[("kde", S::Starting), ("kde", S::Failed)], failed),
        ] {
            let (over, ways) = ways(verb, &["kde"], now, then);
            assert_eq!((over, ways[0]), (expected.is_some(), expected), "{verb:?} {then:?}");
        }
    }

    #[test]
    fn who_waits_for_what_will_not_come_has_failed() {
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
    fn what_was_before_the_request_does_not_count() {
        let old = Snapshot { seq: 7, ..snapshot(S::Done, S::Ready, S::Failed) };
        let mut waiting = Waiting::new(Verb::Start, request(&["kde"]), &old);
        // One that the snapshot knows, and others up to the last one of the request.
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
    fn what_was_over_before_anybody_looked_is_told_by_events() {
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
    fn after_a_loss_the_snapshot_decides() {
        let before = snapshot(S::Done, S::Ready, S::Ready);
        let mut waiting = Waiting::new(Verb::Restart, request(&["kde"]), &before);
        assert!(!waiting.is_over());
        waiting.look(&Snapshot { seq: 5000, ..before });
        assert!(waiting.is_over());
    }
}
