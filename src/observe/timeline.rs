//! The boot as a chart: what each unit waited for and how long it took, and the critical path of units that determined
//! the total time. Pure.
//!
//! The critical path is computed from its end: from the unit that was ready last to the unit that it waited for last,
//! and so on until a unit waited for no other unit. A faster boot needs a faster unit on this path.

mod boot;
mod svg;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::logs::OWN_LOG;

use super::{UnitState, UnitStatus};
use boot::Course;

pub use boot::Boot;
pub use svg::{Theme, svg};
pub use text::text;

/// The chart. All times but `started_at` are milliseconds since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The daemon's start, in milliseconds since the Unix epoch.
    pub started_at: i64,
    /// When everything that should be up was up.
    pub up: Option<i64>,
    /// Whether the boot is over, with everything up or not.
    pub over: bool,
    /// The end of the chart.
    pub end: i64,
    /// The daemon's own row, then the units: started ones by their start times, then the others.
    pub rows: Vec<Row>,
    /// The critical path, first to last.
    pub critical: Vec<Link>,
}

/// One unit's bar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub unit: String,
    /// Its last state during the boot.
    pub state: UnitState,
    /// The reason for this state.
    pub reason: String,
    /// How often it was started.
    pub attempts: u32,
    /// When it was first started.
    pub started: Option<i64>,
    /// When it was first ready or done.
    pub ready: Option<i64>,
    /// Whether it is on the critical path.
    pub critical: bool,
    /// Its states in order.
    pub spans: Vec<Span>,
}

/// The time in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The state.
    pub state: UnitState,
    /// When it began.
    pub from: i64,
    /// When it ended; at most the end of the chart.
    pub to: i64,
}

/// One unit of the critical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub unit: String,
    /// When the last unit that it waited for was ready.
    pub free: i64,
    /// When it was first started.
    pub started: i64,
    /// When it was ready.
    pub ready: i64,
}

impl Timeline {
    /// The chart of `boot` at the time `now`. `units` contain the relations between units.
    pub fn of(boot: &Boot, units: &[UnitStatus], now: i64) -> Self {
        let since = |at: i64| at - boot.started_at;
        let over = boot.is_over(now);
        let end = boot.up_at.unwrap_or(if over { boot.changed_at } else { now });
        // A chart of zero length would have no scale.
        let end = since(end.max(boot.changed_at)).max(1);
        let critical = critical(boot, units);
        let mut rows: Vec<Row> = boot.units.iter().map(|course| row(course, boot, end)).collect();
        // The sort is stable: otherwise the order is that of the plan.
        rows.sort_by_key(|row| row.started.unwrap_or(i64::MAX));
        rows.insert(0, own_row(boot, end));
        for row in &mut rows {
            row.critical = critical.iter().any(|link| link.unit == row.unit);
        }
        Self { started_at: boot.started_at, up: boot.up_at.map(since), over, end, rows, critical }
    }

    /// The progress as a text.
    pub fn summary(&self) -> String {
        let of = self.rows.iter().skip(1).filter(|row| !row.spans.is_empty());
        let (all, ready) = (of.clone().count(), of.filter(|row| row.ready.is_some()).count());
        let end = seconds(self.up.unwrap_or(self.end));
        match (self.up, self.over) {
            (Some(_), _) => format!("everything was up after {end} s"),
            (None, false) => format!("starting for {end} s: {ready} of {all} ready"),
            (None, true) => {
                format!("not everything came up: {ready} of {all} ready, the last change after {end} s")
            }
        }
    }

    /// The units that did not take part in the boot.
    fn left_out(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.spans.is_empty())
    }
}

/// The daemon's own row: until the plan was made and the first unit started.
fn own_row(boot: &Boot, end: i64) -> Row {
    let ready = boot.planned_at.map(|at| at - boot.started_at);
    let mut spans = vec![Span { state: UnitState::Starting, from: 0, to: ready.unwrap_or(end) }];
    spans.extend(ready.map(|from| Span { state: UnitState::Ready, from, to: end }));
    Row {
        unit: OWN_LOG.to_owned(),
        state: if ready.is_some() { UnitState::Ready } else { UnitState::Starting },
        reason: String::new(),
        attempts: 1,
        started: Some(0),
        ready,
        critical: false,
        spans,
    }
}

fn row(course: &Course, boot: &Boot, end: i64) -> Row {
    let since = |at: i64| at - boot.started_at;
    let ends = course.steps.iter().skip(1).map(|(_, at)| since(*at)).chain([end]);
    let spans = course.steps.iter().zip(ends);
    let spans =
        spans.map(|((state, at), to)| Span { state: *state, from: since(*at).min(end), to: to.min(end) });
    let took_part = course.attempts > 0 || course.state == UnitState::Waiting;
    Row {
        unit: course.name.clone(),
        state: course.state,
        reason: course.reason.clone(),
        attempts: course.attempts,
        started: course.started_at.map(since),
        ready: course.ready_at.map(since),
        critical: false,
        spans: if took_part { spans.collect() } else { Vec::new() },
    }
}

/// The critical path that ends in the unit that was ready last.
fn critical(boot: &Boot, units: &[UnitStatus]) -> Vec<Link> {
    let courses: BTreeMap<&str, &Course> =
        boot.units.iter().map(|course| (course.name.as_str(), course)).collect();
    let waits_for = |name: &str| {
        let unit = units.iter().find(|unit| unit.name == name);
        unit.into_iter().flat_map(|unit| unit.needs.iter().chain(&unit.after))
    };
    let mut links = Vec::new();
    // If several units got ready at the same time, the later one in the plan is taken.
    let ready = boot.units.iter().filter(|course| course.started_at.is_some() && course.ready_at.is_some());
    let mut here = ready.max_by_key(|course| course.ready_at);
    while let Some(course) = here {
        let started = course.started_at.unwrap_or(boot.started_at);
        let before = waits_for(&course.name)
            .filter_map(|name| courses.get(name.as_str()).copied())
            // A unit that never started was not waited for.
            .filter(|other| other.started_at.is_some() && other.released_at.is_some_and(|at| at <= started))
            // A plan has no cycles, but the loop must end with any input.
            .filter(|other| links.iter().all(|link: &Link| link.unit != other.name))
            .filter(|other| other.name != course.name)
            .max_by_key(|other| other.released_at);
        let free = before.and_then(|other| other.released_at).or(boot.planned_at).unwrap_or(boot.started_at);
        let since = |at: i64| at - boot.started_at;
        links.push(Link {
            unit: course.name.clone(),
            free: since(free),
            started: since(started),
            ready: since(course.ready_at.or(course.released_at).unwrap_or(started)),
        });
        here = before;
    }
    if let Some(planned) = boot.planned_at {
        links.push(Link { unit: OWN_LOG.to_owned(), free: 0, started: 0, ready: planned - boot.started_at });
    }
    links.reverse();
    links
}

/// Milliseconds as seconds.
fn seconds(milliseconds: i64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

#[cfg(test)]
mod tests;
