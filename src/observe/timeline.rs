//! The boot as a chart: what each unit waited for and how long it took, and the critical path of units that determined
//! the total time. Pure.
//!
//! The critical path is computed from its end: from the unit that was ready last to the unit that it waited for last,
//! and so on until a unit waited for no other unit. A faster boot needs a faster unit on this path.

mod boot;
mod row;
mod svg;
mod text;

use serde::{Deserialize, Serialize};

use crate::logs::OWN_LOG;

use super::{UnitState, UnitStatus};
pub use boot::Boot;
pub use row::{Row, Span};
pub use svg::{Theme, svg};
pub use text::text;

/// The chart. All times but `started_at` are milliseconds since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// One unit of the critical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "CriticalLink"))]
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
        let now = now - boot.started_at;
        let over = boot.is_over(now);
        let end = boot.up.unwrap_or(if over { boot.changed } else { now });
        // A chart of zero length would have no scale.
        let end = end.max(boot.changed).max(1);
        let critical = critical(boot, units);
        let mut rows = boot.rows.clone();
        // The sort is stable: otherwise the order is that of the plan.
        rows.sort_by_key(|row| row.started.unwrap_or(i64::MAX));
        rows.insert(0, own_row(boot));
        for row in &mut rows {
            row.critical = critical.iter().any(|link| link.unit == row.unit);
            if row.attempts == 0 && row.state != UnitState::Waiting {
                row.spans.clear();
            }
            for span in &mut row.spans {
                (span.from, span.to) = (span.from.min(end), span.to.min(end));
            }
        }
        Self { started_at: boot.started_at, up: boot.up, over, end, rows, critical }
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

    /// The units that took part in the boot, and the others.
    fn parts(&self) -> (Vec<&Row>, Vec<&Row>) {
        self.rows.iter().partition(|row| !row.spans.is_empty())
    }
}

/// The daemon's own row: until the plan was made and the first unit started.
fn own_row(boot: &Boot) -> Row {
    let (ready, state) = (boot.planned, boot.planned.map_or(UnitState::Starting, |_| UnitState::Ready));
    let mut spans = vec![Span { state: UnitState::Starting, from: 0, to: ready.unwrap_or(i64::MAX) }];
    spans.extend(ready.map(|from| Span { state, from, to: i64::MAX }));
    Row { attempts: 1, started: Some(0), ready, spans, ..Row::new(OWN_LOG, state) }
}

/// The critical path that ends in the unit that was ready last.
fn critical(boot: &Boot, units: &[UnitStatus]) -> Vec<Link> {
    let waits_for = |name: &str| {
        let unit = units.iter().find(|unit| unit.name == name);
        unit.into_iter().flat_map(|unit| unit.needs.iter().chain(&unit.after))
    };
    let mut links = Vec::new();
    // If several units got ready at the same time, the later one in the plan is taken.
    let ready = boot.rows.iter().filter(|row| row.started.is_some() && row.ready.is_some());
    let mut here = ready.max_by_key(|row| row.ready);
    while let Some(row) = here {
        let started = row.started.unwrap_or(0);
        let before = waits_for(&row.unit)
            .filter_map(|name| boot.rows.iter().find(|other| other.unit == *name))
            // A unit that never started was not waited for.
            .filter(|other| other.started.is_some() && other.released.is_some_and(|at| at <= started))
            // A plan has no cycles, but the loop must end with any input.
            .filter(|other| links.iter().all(|link: &Link| link.unit != other.unit))
            .filter(|other| other.unit != row.unit)
            .max_by_key(|other| other.released);
        let free = before.and_then(|other| other.released).or(boot.planned).unwrap_or(0);
        let ready = row.ready.or(row.released).unwrap_or(started);
        links.push(Link { unit: row.unit.clone(), free, started, ready });
        here = before;
    }
    links.extend(boot.planned.map(|ready| Link { unit: OWN_LOG.to_owned(), free: 0, started: 0, ready }));
    links.reverse();
    links
}

/// Milliseconds as seconds.
fn seconds(milliseconds: i64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

#[cfg(test)]
mod tests;
