//! Publishes the states of all units, and reports every change: every transition of every unit, and those of the
//! supervisor. The published state may skip states that lasted no time; the changes skip nothing.

use std::time::Duration;

use tokio::sync::watch;

use crate::logs::{Logs, QUIET};

use super::lifecycle::Core;
use super::status::{Change, Published, Sink, UnitChange, UnitHealth, UnitState, UnitStatus};

/// How long to wait after a failure before the unit's last lines are printed.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub(super) struct Publisher {
    pub(super) published: watch::Sender<Published>,
    pub(super) changes: Sink,
    pub(super) logs: Logs,
}

impl Publisher {
    /// Publishes the state of `core` at the time `now`, in milliseconds since the Unix epoch.
    pub(super) fn publish(&self, core: &mut Core, now: i64, finished: bool) {
        let mask = |status: UnitStatus| UnitStatus {
            reason: self.logs.mask(&status.reason),
            status_text: self.logs.mask(&status.status_text),
            ..status
        };
        let (units, up, stopping) = (core.status().map(mask).collect(), core.up(), core.is_stopping());
        let mut next = Published { units, up, stopping, finished, code: core.code(), seq: self.seq() };
        let mut changes = core.changes();
        for change in &mut changes {
            change.reason = self.logs.mask(&change.reason);
        }
        let changes = between(&self.published.borrow(), &next, changes, now);
        // Recorded before it is published: a reader that sees a state can find its event.
        for change in changes {
            announce(&change, &self.logs);
            next.seq = (self.changes)(change);
        }
        self.published.send_if_modified(|current| {
            let differs = *current != next;
            *current = next;
            differs
        });
    }

    /// The number of the last change that was reported.
    pub(super) fn seq(&self) -> u64 {
        self.published.borrow().seq
    }
}

/// All changes between two published states, at the time `now`; `changes` are the transitions of the units.
fn between(old: &Published, new: &Published, mut changes: Vec<UnitChange>, now: i64) -> Vec<Change> {
    for (at, unit) in new.units.iter().enumerate() {
        if let Some(last) = changes.iter_mut().rfind(|change| change.unit == unit.name) {
            // The reason for waiting is known only when everything has settled.
            if last.reason.is_empty() {
                last.reason.clone_from(&unit.reason);
            }
        } else if let Some(old) = old.units.get(at)
            // The reason of a waiting unit changes with every transition of other units; these transitions are
            // reported themselves.
            && old.reason != unit.reason
            && unit.state != UnitState::Waiting
        {
            changes.push(UnitChange {
                unit: unit.name.clone(),
                from: Some(unit.state),
                to: unit.state,
                reason: unit.reason.clone(),
                health: unit.health,
                at: now,
                pid: unit.pid,
                failure: false,
            });
        }
    }
    let mut changes: Vec<Change> = changes.into_iter().map(Change::Unit).collect();
    if new.stopping && !old.stopping {
        // The stop causes the changes of the units, so it comes first.
        changes.insert(0, Change::Stopping(now));
    }
    if new.up != old.up && !new.stopping {
        changes.push(Change::Up(new.up, now));
    }
    changes
}

/// Writes every change as a line to the daemon's log.
fn announce(change: &Change, logs: &Logs) {
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
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::logs::{Console, Limits};
    use crate::supervise::lifecycle::{Event, Outcome, UnitId, tests};
    use crate::supervise::testing;

    fn unit(name: &str, state: UnitState, reason: &str, pid: Option<i32>) -> UnitStatus {
        UnitStatus { reason: reason.into(), pid, ..testing::unit(name, state) }
    }

    fn transition(from: Option<UnitState>, to: UnitState, reason: &str) -> UnitChange {
        let (unit, reason) = ("a".into(), reason.into());
        UnitChange { unit, from, to, reason, health: None, at: 1040, pid: None, failure: false }
    }

    fn text(change: Change) -> String {
        match change {
            Change::Unit(UnitChange { unit, from, to, reason, at, pid, .. }) => format!(
                "{at} {unit} {}>{} '{reason}' {}",
                from.map_or("", UnitState::name),
                to.name(),
                pid.unwrap_or(0)
            ),
            other => format!("{other:?}"),
        }
    }

    fn told(old: &Published, new: &Published, transitions: Vec<UnitChange>) -> Vec<String> {
        between(old, new, transitions, 1050).into_iter().map(text).collect()
    }

    #[test]
    fn states_that_last_no_time_are_reported_with_their_process_and_without_secrets() {
        let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 0 }, Console::silent());
        logs.hide(["hunter22".to_owned()]);
        let all = Arc::new(Mutex::new(Vec::new()));
        let (sender, watch) = watch::channel(Published::default());
        let changes: Sink = Box::new({
            let all = Arc::clone(&all);
            move |change| {
                all.lock().unwrap().push(text(change));
                0
            }
        });
        let publisher = Publisher { published: sender, changes, logs };
        let mut core = Core::new(vec![tests::unit("a")], 7, 1000);
        let now = Duration::from_millis(40);
        let at = UnitId(0);
        let failed = Outcome::NotStarted("hunter22 is wrong".to_owned());
        for event in [Event::Tick, Event::Launched(at, 7), Event::Ready(at), Event::Exited(at, failed)] {
            all.lock().unwrap().clear();
            core.handle(event, now);
            publisher.publish(&mut core, 1050, false);
        }
        assert_eq!(
            *all.lock().unwrap(),
            [
                "1040 a ready>waiting '****** is wrong' 7",
                "1040 a waiting>starting '****** is wrong' 0",
                "Up(false, 1050)"
            ]
        );
        assert_eq!(watch.borrow().units[0].reason, "****** is wrong");
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
        let again = UnitChange { pid: Some(7), ..transition(Some(S::Ready), S::Ready, "healthy again") };
        assert_eq!(told(&bad, &good, vec![again]), ["1040 a ready>ready 'healthy again' 7"]);
        let changes = between(&good, &bad, Vec::new(), 0);
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
            told(&Published::default(), &new, vec![transition(None, S::Waiting, "")]),
            ["1040 a >waiting 'for b' 0"]
        );
        let stopped = Published {
            units: vec![unit("a", S::Stopped, "the daemon is stopping", None)],
            stopping: true,
            ..Published::default()
        };
        assert_eq!(
            told(&new, &stopped, vec![transition(Some(S::Waiting), S::Stopped, "the daemon is stopping")]),
            ["Stopping(1050)", "1040 a waiting>stopped 'the daemon is stopping' 0"]
        );
    }
}
