//! Changes, as they are reported to other parts: every transition of every unit, and those of the supervisor. The
//! published state may skip states that lasted no time; the changes skip nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::logs::{Logs, QUIET};

use super::lifecycle::Transition;
use super::status::{Published, UnitHealth, UnitState};

/// How long to wait after a failure before the unit's last lines are printed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A unit changed.
    Unit(UnitChange),
    /// Everything that should be up is up, or is not up any more. The time is in milliseconds since the Unix epoch.
    Up(bool, i64),
    /// Everything is being stopped, since this time.
    Stopping(i64),
}

/// One transition of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitChange {
    /// Its name.
    pub unit: String,
    /// The state before; `None` for the first state.
    pub from: Option<UnitState>,
    /// The state now. Equal to `from` if only the reason is new.
    pub to: UnitState,
    /// Why; may be empty. Secrets are masked.
    pub reason: String,
    /// The result of its checks, if it is ready and has checks.
    pub health: Option<UnitHealth>,
    /// When, in milliseconds since the Unix epoch. The event that contains this change has the time, too.
    #[serde(skip)]
    pub at: i64,
    /// The process that the change is about, if any.
    pub pid: Option<i32>,
}

/// The receiver of the changes. Returns the number of the change. It must not block: the supervisor waits for it.
pub type Sink = Box<dyn Fn(Change) -> u64 + Send + Sync>;

/// The changes between two published states. `wall` is the time at the monotonic zero, `now` the time since then.
pub(super) fn between(
    old: &Published,
    new: &Published,
    transitions: Vec<Transition>,
    (wall, now): (i64, Duration),
    logs: &Logs,
) -> Vec<Change> {
    let at = |since: Duration| wall + i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2);
    let mut changes = Vec::new();
    let mut last = vec![None; new.units.len()];
    for transition in transitions {
        let unit = &new.units[transition.unit];
        let before = old.units.get(transition.unit).and_then(|unit| unit.pid);
        let about = |from: UnitState| before.or(unit.pid).filter(|_| has_process(from));
        last[transition.unit] = Some(changes.len());
        changes.push(UnitChange {
            unit: unit.name.clone(),
            from: transition.from,
            to: transition.to,
            reason: logs.mask(&transition.reason),
            health: unit.health.filter(|_| transition.to == unit.state),
            at: at(transition.when),
            pid: transition.from.and_then(about),
        });
    }
    for (at_unit, unit) in new.units.iter().enumerate() {
        let Some(old) = old.units.get(at_unit).filter(|_| last[at_unit].is_none()) else {
            // The reason for waiting is known only when everything has settled.
            if let Some(last) = last[at_unit].map(|last| &mut changes[last])
                && last.reason.is_empty()
            {
                last.reason.clone_from(&unit.reason);
            }
            continue;
        };
        // The reason of a waiting unit changes with every transition of other units; these transitions are reported
        // themselves.
        if old.reason != unit.reason && unit.state != UnitState::Waiting {
            changes.push(UnitChange {
                unit: unit.name.clone(),
                from: Some(unit.state),
                to: unit.state,
                reason: unit.reason.clone(),
                health: unit.health,
                at: at(now),
                pid: unit.pid,
            });
        }
    }
    let mut changes: Vec<Change> = changes.into_iter().map(Change::Unit).collect();
    if new.stopping && !old.stopping {
        // The stop causes the changes of the units, so it comes first.
        changes.insert(0, Change::Stopping(at(now)));
    }
    if new.up != old.up && !new.stopping {
        changes.push(Change::Up(new.up, at(now)));
    }
    changes
}

fn has_process(state: UnitState) -> bool {
    matches!(state, UnitState::Starting | UnitState::Ready | UnitState::Stopping)
}

/// Writes every change as a line to the daemon's log.
pub(super) fn announce(change: &Change, logs: &Logs) {
    use UnitState as S;
    let change = match change {
        Change::Up(true, _) => return tracing::info!("everything is up"),
        // The units say why; the code that receives the stop request logs the stop.
        Change::Up(false, _) | Change::Stopping(_) => return,
        Change::Unit(change) => change,
    };
    if change.from.is_none() {
        return;
    }
    let colon = if change.reason.is_empty() { "" } else { ": " };
    let text = format!("{} is {}{colon}{}", change.unit, change.to.name(), change.reason);
    match change.to {
        S::Failed => {
            tracing::error!("{text}");
            let (logs, unit) = (logs.clone(), change.unit.clone());
            tokio::spawn(async move {
                // The unit's last output may still be in its pipe.
                tokio::time::sleep(LAST_WORDS).await;
                logs.print_last_lines(&unit);
            });
        }
        S::Ready if change.health == Some(UnitHealth::Unhealthy) => tracing::warn!("{text}"),
        S::Backoff => tracing::warn!("{text}"),
        // The unit ended and is restarted at once; nothing else reports it.
        S::Starting if !colon.is_empty() => tracing::warn!("{text}"),
        // For a unit whose lines are not printed, success is not printed either.
        S::Ready | S::Done if logs.is_quiet(&change.unit) => tracing::info!(target: QUIET, "{text}"),
        S::Ready | S::Done | S::Stopped | S::Skipped => tracing::info!("{text}"),
        S::Waiting | S::Starting | S::Stopping => tracing::debug!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{Console, Limits};
    use crate::supervise::{UnitStatus, testing};

    fn unit(name: &str, state: UnitState, reason: &str, pid: Option<i32>) -> UnitStatus {
        UnitStatus { reason: reason.into(), pid, ..testing::unit(name, state) }
    }

    fn transition(unit: usize, from: Option<UnitState>, to: UnitState, reason: &str) -> Transition {
        Transition { unit, from, to, reason: reason.into(), when: Duration::from_millis(40) }
    }

    fn told(old: &Published, new: &Published, transitions: Vec<Transition>) -> Vec<String> {
        let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 0 }, Console::silent());
        logs.hide(["hunter22".to_owned()]);
        between(old, new, transitions, (1000, Duration::from_millis(50)), &logs)
            .into_iter()
            .map(|change| match change {
                Change::Unit(UnitChange { unit, from, to, reason, at, pid, .. }) => format!(
                    "{at} {unit} {}>{} '{reason}' {}",
                    from.map_or("", UnitState::name),
                    to.name(),
                    pid.unwrap_or(0)
                ),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn states_that_last_no_time_are_reported_with_their_process() {
        use UnitState as S;
        let old =
            Published { units: vec![unit("a", S::Ready, "", Some(7))], up: true, ..Published::default() };
        let new = Published { units: vec![unit("a", S::Starting, "", None)], ..Published::default() };
        let transitions = vec![
            transition(0, Some(S::Ready), S::Waiting, "it ended with hunter22"),
            transition(0, Some(S::Waiting), S::Starting, ""),
        ];
        assert_eq!(
            told(&old, &new, transitions),
            [
                "1040 a ready>waiting 'it ended with ******' 7",
                "1040 a waiting>starting '' 0",
                "Up(false, 1050)"
            ]
        );
    }

    #[test]
    fn a_new_reason_is_reported_unless_it_is_what_a_unit_waits_for() {
        use UnitState as S;
        let units = |why: &str| vec![unit("a", S::Stopping, why, Some(7)), unit("b", S::Waiting, why, None)];
        let old = Published { units: units("x"), ..Published::default() };
        let new = Published { units: units("y"), ..Published::default() };
        assert_eq!(told(&old, &new, Vec::new()), ["1050 a stopping>stopping 'y' 7"]);
        assert_eq!(told(&new, &new, Vec::new()), [""; 0]);
    }

    #[test]
    fn a_ready_unit_that_becomes_unhealthy_or_healthy_again_is_reported() {
        use UnitState as S;
        let with = |health, reason: &str| {
            let unit = UnitStatus { health: Some(health), ..unit("a", S::Ready, reason, Some(7)) };
            Published { units: vec![unit], ..Published::default() }
        };
        let (good, bad) = (with(UnitHealth::Healthy, ""), with(UnitHealth::Unhealthy, "unhealthy: no"));
        assert_eq!(told(&good, &bad, Vec::new()), ["1050 a ready>ready 'unhealthy: no' 7"]);
        let again = vec![transition(0, Some(S::Ready), S::Ready, "healthy again")];
        assert_eq!(told(&bad, &good, again), ["1040 a ready>ready 'healthy again' 7"]);
        let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 0 }, Console::silent());
        let changes = between(&good, &bad, Vec::new(), (0, Duration::ZERO), &logs);
        assert!(
            matches!(&changes[..], [Change::Unit(change)] if change.health == Some(UnitHealth::Unhealthy)),
            "{changes:?}"
        );
    }

    #[test]
    fn a_new_unit_reports_its_reason_to_wait_and_a_stop_precedes_its_effects() {
        use UnitState as S;
        let new = Published { units: vec![unit("a", S::Waiting, "for b", None)], ..Published::default() };
        assert_eq!(
            told(&Published::default(), &new, vec![transition(0, None, S::Waiting, "")]),
            ["1040 a >waiting 'for b' 0"]
        );
        let stopped = Published {
            units: vec![unit("a", S::Stopped, "the daemon is stopping", None)],
            stopping: true,
            ..Published::default()
        };
        assert_eq!(
            told(&new, &stopped, vec![transition(0, Some(S::Waiting), S::Stopped, "the daemon is stopping")]),
            ["Stopping(1050)", "1040 a waiting>stopped 'the daemon is stopping' 0"]
        );
    }
}
