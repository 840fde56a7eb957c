//! What is remembered of the boot: each unit's steps from the daemon's start until everything is up.
//!
//! It is fed with the events as they happen, because the ring forgets the oldest, and a boot is looked at later. It
//! ends when everything is up or nothing moves any more: what a person starts after that is no boot. Bounded: a unit
//! that crashes again and again is remembered by its first steps.

use crate::observe::events::{Event, What};
use crate::observe::{Phase, UnitState};

/// Steps that are kept of one unit.
const STEPS: usize = 32;

/// A unit that was started so often and is not ready does not hold the boot up any more.
const ATTEMPTS: u32 = 4;

/// What follows from an event comes within this time; milliseconds.
const FOLLOWS: i64 = 1000;

/// The boot so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    pub(super) started_at: i64,
    /// When the first unit was started: from there on it is known what runs.
    pub(super) planned_at: Option<i64>,
    pub(super) up_at: Option<i64>,
    /// When a unit changed last.
    pub(super) changed_at: i64,
    over: bool,
    /// In the order of the plan.
    pub(super) units: Vec<Course>,
}

/// One unit's way up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) name: String,
    pub(super) state: UnitState,
    pub(super) reason: String,
    pub(super) steps: Vec<(UnitState, i64)>,
    pub(super) attempts: u32,
    /// When it was started first.
    pub(super) started_at: Option<i64>,
    /// When it was ready, or had done its work, first.
    pub(super) ready_at: Option<i64>,
    /// When what comes after it had not to wait any more.
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

    /// Takes in what happened next.
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

    /// Whether nothing will happen by itself. True also for a moment between two steps.
    pub(super) fn is_at_rest(&self) -> bool {
        let moves = |course: &Course| {
            matches!(course.state, UnitState::Starting | UnitState::Backoff | UnitState::Stopping)
                && (course.ready_at.is_some() || course.attempts < ATTEMPTS)
        };
        self.planned_at.is_some() && !self.units.iter().any(moves)
    }

    /// Whether it has come to its end.
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
