//! What a unit waits for before it starts.

use std::collections::BTreeSet;

use super::messages::UnitId;
use super::runtime::{AfterStop, Core, Phase, State, UnitRuntime};
use crate::config::service::Restart;

impl Core {
    /// Whether units that need `at` may run.
    pub(super) fn is_open(&self, at: UnitId) -> bool {
        self.is_satisfied(at)
            || matches!(self.units[at].phase(), Some(Phase::Starting { listening: true, .. }))
    }

    /// Whether `at` is ready or done.
    pub(super) fn is_satisfied(&self, at: UnitId) -> bool {
        let unit = &self.units[at];
        unit.state == State::Done || matches!(unit.phase(), Some(Phase::Ready(_)))
    }

    /// Whether `at` is a oneshot that lets others start before its own work is done.
    pub(super) fn works_on(&self, at: UnitId) -> bool {
        let unit = &self.units[at];
        unit.spec.oneshot && matches!(unit.phase(), Some(Phase::Starting { listening: true, .. }))
    }

    /// Whether nothing keeps `at` from its start.
    pub(super) fn may_start(&self, at: UnitId) -> bool {
        let deps = &self.units[at].deps;
        deps.needs.iter().all(|need| self.is_open(*need))
            && !deps.after.iter().any(|unit| self.is_pending(*unit))
            && self.before_last(at).next().is_none()
            && self.socket_holders(at).next().is_none()
            // These units belong to the previous run and would mistake the new run for it.
            && self.users(at).next().is_none()
    }

    /// The units that `at` waits for, with their states.
    pub(super) fn waits_for(&self, at: UnitId) -> String {
        let deps = &self.units[at].deps;
        let needs = deps.needs.iter().copied().filter(|need| !self.is_open(*need));
        let after = deps.after.iter().copied().filter(|unit| self.is_pending(*unit));
        let others = self.users(at).chain(self.before_last(at)).chain(self.socket_holders(at));
        let all: BTreeSet<UnitId> = needs.chain(after).chain(others).collect();
        let text = |unit: &UnitRuntime| format!("{} ({})", unit.spec.name, unit.state.shown().name());
        let names: Vec<String> = all.into_iter().map(|at| text(&self.units[at])).collect();
        if names.is_empty() { String::new() } else { format!("for {}", names.join(", ")) }
    }

    /// Whether `at` is starting, but not after a failure, so that units with a mere `after` on it wait.
    fn is_pending(&self, at: UnitId) -> bool {
        let unit = &self.units[at];
        if let Some(Phase::Starting { listening, .. }) = unit.phase() {
            return !listening;
        }
        let mut needs = unit.deps.needs.iter();
        unit.is_due() && needs.all(|need| self.is_open(*need) || self.is_pending(*need))
    }

    /// Units that are alive and need `at`, or were started with it before a new plan named another unit.
    pub(super) fn users(&self, at: UnitId) -> impl Iterator<Item = UnitId> {
        let uses = move |user: UnitId| {
            let UnitRuntime { deps, uses, .. } = &self.units[user];
            deps.needs.contains(&at) || (uses.contains(&at) && !self.depends_on(at, user))
        };
        let stops = |user: UnitId| self.units[user].is_alive() && !self.units[user].is_stuck();
        self.ids().filter(move |user| stops(*user) && uses(*user))
    }

    /// Whether `at` needs `other` by the plan or since its start, also through other units: with a new plan, two units
    /// could wait for each other.
    fn depends_on(&self, at: UnitId, other: UnitId) -> bool {
        let (mut seen, mut left) = (BTreeSet::new(), vec![at]);
        while let Some(at) = left.pop() {
            if at == other {
                return true;
            }
            if seen.insert(at) {
                left.extend(self.units[at].deps.needs.iter().chain(&self.units[at].uses));
            }
        }
        false
    }

    /// Units that are stopping and listen on a socket of `at`: a new plan put `at` in their place.
    fn socket_holders(&self, at: UnitId) -> impl Iterator<Item = UnitId> {
        let sockets = &self.units[at].spec.launch.listen;
        let holds = move |other: &UnitRuntime| {
            let stops = other.after_stop().is_some() && !other.is_stuck();
            stops && sockets.iter().any(|socket| other.sockets.contains(&socket.path))
        };
        self.ids().filter(move |other| *other != at && holds(&self.units[*other]))
    }

    /// The units that `at` waits for only because it starts last.
    fn before_last(&self, at: UnitId) -> impl Iterator<Item = UnitId> {
        let last = self.units[at].spec.last;
        self.ids().filter(move |other| last && *other != at && self.is_coming(*other))
    }

    /// Whether `at` may still get ready by itself, even after failures.
    fn is_coming(&self, at: UnitId) -> bool {
        let UnitRuntime { spec: unit, deps, state, .. } = &self.units[at];
        match (state, self.units[at].phase()) {
            (_, Some(Phase::Starting { .. })) => !self.works_on(at),
            // A unit without a limit may fail forever, so the last unit would never start.
            (State::Backoff { .. }, _) => unit.restart.limit.is_some(),
            // It ends because it failed, and its restart follows.
            _ if matches!(self.units[at].after_stop(), Some(AfterStop::Fail(_))) => {
                unit.restart.limit.is_some() && unit.restart.when != Restart::Never
            }
            _ => {
                self.units[at].is_due()
                    && !self.is_behind_last(at)
                    && deps.needs.iter().all(|need| self.is_open(*need) || self.is_coming(*need))
            }
        }
    }

    /// Whether `at` starts last, or waits for a unit that does: waiting for it would never end.
    fn is_behind_last(&self, at: UnitId) -> bool {
        let UnitRuntime { spec: unit, deps, .. } = &self.units[at];
        let mut before = deps.needs.iter().chain(&deps.after);
        self.units[at].is_due() && (unit.last || before.any(|unit| self.is_behind_last(*unit)))
    }
}
