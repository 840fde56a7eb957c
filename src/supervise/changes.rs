//! What happened, as it is told to others: every step of every unit from state to state, and the supervisor's own.
//! The published state may skip what lasted no time; nothing is skipped here.

use std::time::Duration;

use crate::logs::{Logs, QUIET};

use super::lifecycle::Passage;
use super::{Published, UnitHealth, UnitState};

/// How long a unit that has failed is given until its last lines are read.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A unit did.
    Unit(UnitChange),
    /// Everything that should be up is, or is not any more. The time is in milliseconds since the Unix epoch.
    Up(bool, i64),
    /// Everything is being stopped, since that time.
    Stopping(i64),
}

/// One step of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitChange {
    /// Its name.
    pub unit: String,
    /// Where it came from; `None` for where it began.
    pub from: Option<UnitState>,
    /// Where it is now. The same as `from` when only the reason is new.
    pub to: UnitState,
    /// Why; may be empty. Secrets are masked.
    pub reason: String,
    /// How its checks go, if it is ready and checked.
    pub health: Option<UnitHealth>,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The process that this is about, if one is.
    pub pid: Option<i32>,
}

/// Who is told. Answers with the change's number, and must not wait: the supervisor waits for it.
pub type Sink = Box<dyn Fn(Change) -> u64 + Send + Sync>;

/// What lies between two published states. `wall` is the time at the monotonic zero, `now` the time since then.
pub(super) fn between(
    old: &Published,
    new: &Published,
    passages: Vec<Passage>,
    (wall, now): (i64, Duration),
    logs: &Logs,
) -> Vec<Change> {
    let at = |since: Duration| wall + i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2);
    let mut changes = Vec::new();
    let mut last = vec![None; new.units.len()];
    for passage in passages {
        let unit = &new.units[passage.unit];
        let before = old.units.get(passage.unit).and_then(|unit| unit.pid);
        let about = |from: UnitState| before.or(unit.pid).filter(|_| has_process(from));
        last[passage.unit] = Some(changes.len());
        changes.push(UnitChange {
            unit: unit.name.clone(),
            from: passage.from,
            to: passage.to,
            reason: logs.mask(&passage.reason),
            health: unit.health.filter(|_| passage.to == unit.state),
            at: at(passage.when),
            pid: passage.from.and_then(about),
        });
    }
    for (at_unit, unit) in new.units.iter().enumerate() {
        let Some(old) = old.units.get(at_unit).filter(|_| last[at_unit].is_none()) else {
            // What it waits for is known only when everything has settled.
            if let Some(last) = last[at_unit].map(|last| &mut changes[last])
                && last.reason.is_empty()
            {
                last.reason.clone_from(&unit.reason);
            }
            continue;
        };
        // What a unit waits for changes with every step of those, which are told themselves.
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
        // It is why the units change, so it comes first.
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

/// Every change is a line in the daemon's log.
pub(super) fn announce(change: &Change, logs: &Logs) {
    use UnitState as S;
    let change = match change {
        Change::Up(true, _) => return tracing::info!("everything is up"),
        // The units say why, and whoever asked for the stop says so.
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
                // What it said last may still be in its pipe.
                tokio::time::sleep(LAST_WORDS).await;
                logs.print_last_lines(&unit);
            });
        }
        S::Ready if change.health == Some(UnitHealth::Unhealthy) => tracing::warn!("{text}"),
        S::Backoff => tracing::warn!("{text}"),
        // It ended, and is so quickly back that nothing else tells it.
        S::Starting if !colon.is_empty() => tracing::warn!("{text}"),
        // That all goes well is no news where its own lines are none.
        S::Ready | S::Done if logs.is_quiet(&change.unit) => tracing::info!(target: QUIET, "{text}"),
        S::Ready | S::Done | S::Stopped | S::Skipped => tracing::info!("{text}"),
        S::Waiting | S::Starting | S::Stopping => tracing::debug!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{Console, Limits};
    use crate::supervise::UnitStatus;

    fn unit(name: &str, state: UnitState, reason: &str, pid: Option<i32>) -> UnitStatus {
        UnitStatus {
            name: name.into(),
            description: String::new(),
            aliases: Vec::new(),
            state,
            reason: reason.into(),
            health: None,
            status_text: String::new(),
            stopped_by: None,
            off: false,
            since: 0,
            pid,
            restarts: 0,
            oneshot: false,
            needs: Vec::new(),
            after: Vec::new(),
        }
    }

    fn passage(unit: usize, from: Option<UnitState>, to: UnitState, reason: &str) -> Passage {
        Passage { unit, from, to, reason: reason.into(), when: Duration::from_millis(40) }
    }

    fn told(old: &Published, new: &Published, passages: Vec<Passage>) -> Vec<String> {
        let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 0 }, Console::silent());
        logs.hide(["hunter22".to_owned()]);
        between(old, new, passages, (1000, Duration::from_millis(50)), &logs)
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
    fn states_that_last_no_time_are_told_with_their_process() {
        use UnitState as S;
        let old =
            Published { units: vec![unit("a", S::Ready, "", Some(7))], up: true, ..Published::default() };
        let new = Published { units: vec![unit("a", S::Starting, "", None)], ..Published::default() };
        let passages = vec![
            passage(0, Some(S::Ready), S::Waiting, "it ended with hunter22"),
            passage(0, Some(S::Waiting), S::Starting, ""),
        ];
        assert_eq!(
            told(&old, &new, passages),
            [
                "1040 a ready>waiting 'it ended with ******' 7",
                "1040 a waiting>starting '' 0",
                "Up(false, 1050)"
            ]
        );
    }

    #[test]
    fn a_reason_is_told_when_it_is_new_but_not_what_a_unit_waits_for() {
        use UnitState as S;
        let units = |why: &str| vec![unit("a", S::Stopping, why, Some(7)), unit("b", S::Waiting, why, None)];
        let old = Published { units: units("x"), ..Published::default() };
        let new = Published { units: units("y"), ..Published::default() };
        assert_eq!(told(&old, &new, Vec::new()), ["1050 a stopping>stopping 'y' 7"]);
        assert_eq!(told(&new, &new, Vec::new()), [""; 0]);
    }

    #[test]
    fn that_a_ready_unit_is_unhealthy_is_told_and_when_it_is_healthy_again() {
        use UnitState as S;
        let with = |health, reason: &str| {
            let unit = UnitStatus { health: Some(health), ..unit("a", S::Ready, reason, Some(7)) };
            Published { units: vec![unit], ..Published::default() }
        };
        let (good, bad) = (with(UnitHealth::Healthy, ""), with(UnitHealth::Unhealthy, "unhealthy: no"));
        assert_eq!(told(&good, &bad, Vec::new()), ["1050 a ready>ready 'unhealthy: no' 7"]);
        let again = vec![passage(0, Some(S::Ready), S::Ready, "healthy again")];
        assert_eq!(told(&bad, &good, again), ["1040 a ready>ready 'healthy again' 7"]);
        let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 0 }, Console::silent());
        let changes = between(&good, &bad, Vec::new(), (0, Duration::ZERO), &logs);
        assert!(
            matches!(&changes[..], [Change::Unit(change)] if change.health == Some(UnitHealth::Unhealthy)),
            "{changes:?}"
        );
    }

    #[test]
    fn a_unit_that_begins_says_what_it_waits_for_and_a_stop_comes_before_what_it_causes() {
        use UnitState as S;
        let new = Published { units: vec![unit("a", S::Waiting, "for b", None)], ..Published::default() };
        assert_eq!(
            told(&Published::default(), &new, vec![passage(0, None, S::Waiting, "")]),
            ["1040 a >waiting 'for b' 0"]
        );
        let stopped = Published {
            units: vec![unit("a", S::Stopped, "the daemon is stopping", None)],
            stopping: true,
            ..Published::default()
        };
        assert_eq!(
            told(&new, &stopped, vec![passage(0, Some(S::Waiting), S::Stopped, "the daemon is stopping")]),
            ["Stopping(1050)", "1040 a waiting>stopped 'the daemon is stopping' 0"]
        );
    }
}
