//! The record of the boot: each unit's states from the daemon's start until everything is up.
//!
//! It is built from the events as they happen, because the ring drops old events and the boot is looked at later. It
//! ends when everything is up or no unit changes any more: units that are started later by hand are not part of the
//! boot. Its size is bounded: for a unit that crashes repeatedly, only the first states are kept.

use crate::observe::{Event, Phase, UnitChange, UnitState, What};

use super::row::{Row, Span};

/// The maximum number of states kept for one unit.
const STEPS: usize = 32;

/// A unit that was started this often without getting ready does not prolong the boot any more.
const ATTEMPTS: u32 = 4;

/// Consequences of an event follow within this time; milliseconds.
const FOLLOWS: i64 = 1000;

/// The boot so far. All times but `started_at` are milliseconds since then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// In milliseconds since the Unix epoch.
    pub(super) started_at: i64,
    /// When the first unit was started: from then on, the plan is known.
    pub(super) planned: Option<i64>,
    pub(super) up: Option<i64>,
    /// When a unit last changed.
    pub(super) changed: i64,
    over: bool,
    /// In the order of the plan. The last span of each is still open.
    pub(super) rows: Vec<Row>,
}

impl Boot {
    /// The boot of a daemon that started then, in milliseconds since the Unix epoch.
    pub fn new(started_at: i64) -> Self {
        Self { started_at, planned: None, up: None, changed: 0, over: false, rows: Vec::new() }
    }

    /// Records the next event.
    pub fn take(&mut self, event: &Event) {
        if self.over {
            return;
        }
        let at = event.at - self.started_at;
        match &event.what {
            What::Up => {
                self.up = Some(at);
                self.over = true;
            }
            What::Phase { phase: Phase::Stopping } => self.over = true,
            What::Phase { .. } | What::Down | What::Display { .. } | What::Gpu { .. } => {}
            What::Unit(UnitChange { unit, from, to, reason, .. }) => {
                self.over = self.is_over(at);
                if !self.over {
                    self.step(unit, *to, reason, at, *from != Some(*to));
                }
            }
        }
    }

    fn step(&mut self, name: &str, to: UnitState, reason: &str, at: i64, new: bool) {
        let place = self.rows.iter().position(|row| row.unit == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push(Row::new(name, to));
            self.rows.len() - 1
        });
        let row = &mut self.rows[place];
        row.state = to;
        reason.clone_into(&mut row.reason);
        if !new {
            return;
        }
        self.changed = at;
        if row.spans.len() < STEPS {
            if let Some(last) = row.spans.last_mut() {
                last.to = at;
            }
            row.spans.push(Span { state: to, from: at, to: i64::MAX });
        }
        if to == UnitState::Starting {
            row.attempts += 1;
            row.started.get_or_insert(at);
            self.planned.get_or_insert(at);
        }
        if matches!(to, UnitState::Ready | UnitState::Done) {
            row.ready.get_or_insert(at);
        }
        if matches!(to, UnitState::Ready | UnitState::Done | UnitState::Failed | UnitState::Stopped) {
            row.released.get_or_insert(at);
        }
    }

    /// Whether nothing more will happen by itself. Also true for a moment between two events.
    fn is_at_rest(&self) -> bool {
        let moves = |row: &Row| {
            matches!(row.state, UnitState::Starting | UnitState::Backoff | UnitState::Stopping)
                && (row.ready.is_some() || row.attempts < ATTEMPTS)
        };
        self.planned.is_some() && !self.rows.iter().any(moves)
    }

    /// Whether the boot has ended at that time.
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.over || (self.is_at_rest() && now - self.changed > FOLLOWS)
    }
}
