//! The record of the boot: each unit's states from the daemon's start until everything is up.
//!
//! It is built from the events as they happen, because the ring drops old events and the boot is looked at later. It
//! ends when everything is up or no unit changes any more: units that are started later by hand are not part of the
//! boot. Its size is bounded: for a unit that crashes repeatedly, only the first states are kept.

use crate::observe::{Event, Phase, UnitState, What};

/// The maximum number of states kept for one unit.
const STEPS: usize = 32;

/// A unit that was started this often without getting ready does not prolong the boot any more.
const ATTEMPTS: u32 = 4;

/// Consequences of an event follow within this time; milliseconds.
const FOLLOWS: i64 = 1000;

/// The boot so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    pub(super) started_at: i64,
    /// When the first unit was started: from then on, the plan is known.
    pub(super) planned_at: Option<i64>,
    pub(super) up_at: Option<i64>,
    /// When a unit last changed.
    pub(super) changed_at: i64,
    over: bool,
    /// In the order of the plan.
    pub(super) units: Vec<Course>,
}

/// The course of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) name: String,
    pub(super) state: UnitState,
    pub(super) reason: String,
    pub(super) steps: Vec<(UnitState, i64)>,
    pub(super) attempts: u32,
    /// When it was first started.
    pub(super) started_at: Option<i64>,
    /// When it was first ready or done.
    pub(super) ready_at: Option<i64>,
    /// When units that come after it did not have to wait any more.
    pub(super) released_at: Option<i64>,
}

impl Boot {
    /// The boot of a daemon that started then, in milliseconds since the Unix epoch.
    pub fn new(started_at: i64) -> Self {
        Self {
            started_at,
            planned_at: None,
            up_at: None,
            changed_at: started_at,
            over: false,
            units: Vec::new(),
        }
    }

    /// Records the next event.
    pub fn take(&mut self, event: &Event) {
        if self.over {
            return;
        }
        match &event.what {
            What::Up => {
                self.up_at = Some(event.at);
                self.over = true;
            }
            What::Phase { phase: Phase::Stopping } => self.over = true,
            What::Phase { .. } | What::Down => {}
            What::Unit { unit, from, to, reason, .. } => {
                if self.is_at_rest() && event.at - self.changed_at > FOLLOWS {
                    self.over = true;
                    return;
                }
                self.step(unit, *to, reason, event.at, *from != Some(*to));
            }
        }
    }

    fn step(&mut self, name: &str, to: UnitState, reason: &str, at: i64, new: bool) {
        let place = self.units.iter().position(|course| course.name == name);
        let place = place.unwrap_or_else(|| {
            self.units.push(Course::new(name, to));
            self.units.len() - 1
        });
        let course = &mut self.units[place];
        course.state = to;
        reason.clone_into(&mut course.reason);
        if !new {
            return;
        }
        self.changed_at = at;
        if course.steps.len() < STEPS {
            course.steps.push((to, at));
        }
        match to {
            UnitState::Starting => {
                course.attempts += 1;
                course.started_at.get_or_insert(at);
                self.planned_at.get_or_insert(at);
            }
            UnitState::Ready | UnitState::Done => {
                course.ready_at.get_or_insert(at);
                course.released_at.get_or_insert(at);
            }
            UnitState::Failed | UnitState::Stopped => {
                course.released_at.get_or_insert(at);
            }
            UnitState::Waiting | UnitState::Stopping | UnitState::Backoff | UnitState::Skipped => {}
        }
    }

    /// Whether nothing more will happen by itself. Also true for a moment between two events.
    pub(super) fn is_at_rest(&self) -> bool {
        let moves = |course: &Course| {
            matches!(course.state, UnitState::Starting | UnitState::Backoff | UnitState::Stopping)
                && (course.ready_at.is_some() || course.attempts < ATTEMPTS)
        };
        self.planned_at.is_some() && !self.units.iter().any(moves)
    }

    /// Whether the boot has ended.
    pub(super) fn is_over(&self, now: i64) -> bool {
        self.over || (self.is_at_rest() && now - self.changed_at > FOLLOWS)
    }
}

impl Course {
    fn new(name: &str, state: UnitState) -> Self {
        Self {
            name: name.to_owned(),
            state,
            reason: String::new(),
            steps: Vec::new(),
            attempts: 0,
            started_at: None,
            ready_at: None,
            released_at: None,
        }
    }
}
