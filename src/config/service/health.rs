//! The table `[health]`: checks that a ready service still works.

use std::time::Duration;

use crate::config::table::Reader;

use super::probe::{self, Probe};

/// The shortest period: more frequent checks would be most of the service's work.
const SHORTEST: Duration = Duration::from_millis(100);

/// The highest threshold: a higher one would in effect switch checks off.
const MOST: i64 = 1000;

/// What happens to an unhealthy unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is stopped and started again, and that counts as a failure.
    Restart,
    /// Only reported: users get a warning.
    Tell,
}

/// How a unit is checked while it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The check.
    pub probe: Probe,
    /// The time from one check to the next.
    pub period: Duration,
    /// The time from a failed check to the next: with a long period the machine stays at rest, and with a short retry a
    /// failure is still reported soon.
    pub retry: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How many failures in a row make it unhealthy.
    pub threshold: u32,
    /// What happens then.
    pub action: Action,
}

/// Reads the table.
pub(super) fn read(table: &mut Reader<'_>) -> Option<Health> {
    let kind = table.word("kind", &probe::KINDS);
    let probe = kind.and_then(|kind| probe::read(table, kind));
    if kind.is_none() {
        table.accept(probe::DETAILS);
        if table.untouched("kind") {
            table.problem("kind", "it is missing: what is tried to see that the service works");
        }
    }
    let period = time(table, "period").unwrap_or(Duration::from_secs(10));
    let retry = time(table, "retry");
    if let Some(retry) = retry.filter(|retry| *retry > period) {
        table.problem(
            "retry",
            format!("{retry:?} is longer than the period of {period:?}; a failure would be noticed later"),
        );
    }
    let timeout = time(table, "timeout");
    if let Some(timeout) = timeout.filter(|timeout| *timeout > period) {
        let message = format!("{timeout:?} is longer than the period of {period:?}; checks must not overlap");
        table.problem("timeout", message);
    }
    Some(Health {
        period,
        retry: retry.unwrap_or(period),
        timeout: timeout.unwrap_or(Duration::from_secs(3).min(period)),
        threshold: threshold(table),
        action: table
            .word("action", &[("restart", Action::Restart), ("none", Action::Tell)])
            .unwrap_or(Action::Restart),
        // Last: the other keys are checked even if the probe is wrong.
        probe: probe?,
    })
}

fn time(table: &mut Reader<'_>, key: &'static str) -> Option<Duration> {
    let time = table.duration(key)?;
    if time >= SHORTEST {
        return Some(time);
    }
    table.problem(key, format!("{time:?} is too short; the shortest is {SHORTEST:?}"));
    None
}

fn threshold(table: &mut Reader<'_>) -> u32 {
    let expected = format!("a number of failed checks from 1 to {MOST}");
    let given: Option<i64> = table.get("threshold", &expected);
    if let Some(given) = given.filter(|given| !(1..=MOST).contains(given)) {
        table.problem("threshold", format!("{given} is not {expected}"));
    }
    given.and_then(|given| u32::try_from(given).ok()).unwrap_or(3)
}
