//! One unit as the core sees it.

use std::time::Duration;

use crate::config::service::{Health, Restart};
use crate::supervise::UnitState;
use crate::supervise::backoff::{Backoff, Patience};

use super::Now;
use super::health::Checks;

/// What becomes of a unit when it has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Stay,
    Again,
    Fail {
        why: String,
        /// How long it had done its work before; `None` when it never did.
        lasted: Option<Duration>,
    },
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its stop command runs.
    Asked,
    /// It got its stop signal.
    Signalled,
    /// It got KILL.
    Killed,
    /// It should be gone and is not: the kernel holds it. Nobody waits for it any more.
    Stuck,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Starting {
        deadline: Option<Now>,
    },
    Ready {
        since: Now,
        checks: Option<Checks>,
    },
    /// `end` is when it is killed at the latest.
    Stopping {
        phase: Phase,
        deadline: Now,
        end: Now,
        then: Then,
    },
    Backoff {
        until: Now,
    },
    Stopped,
    Done,
    Failed,
    Skipped,
}

/// One unit.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) spec: Spec,
    pub(super) state: State,
    pub(super) since: Now,
    pub(super) reason: String,
    pub(super) wanted: bool,
    /// Who asked for its stop; nobody any more when it is wanted again.
    pub(super) stopped_by: Option<String>,
    /// Whether it starts only when asked to, and was never asked.
    pub(super) off: bool,
    /// Whether a process was asked for and is not gone yet.
    pub(super) alive: bool,
    pub(super) pid: Option<i32>,
    /// Set while the unit shall stop, as soon as nothing that needs it is alive.
    pub(super) leaving: Option<(Then, String)>,
    pub(super) backoff: Backoff,
    pub(super) restarts: u32,
    /// What was tried last to see whether it is ready, and what came back.
    pub(super) tried: String,
    /// What it says of itself.
    pub(super) says: String,
    /// Whether those who need it may run: it is ready, or takes connections already and answers them when it is.
    pub(super) open: bool,
    /// How often it opened.
    pub(super) generation: u64,
    /// The generations of the followed units when this one was started.
    pub(super) followed: Vec<u64>,
    /// The exit code of its last run.
    pub(super) code: Option<i32>,
}

#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) name: String,
    /// Whether there is a command at all: a broken file leaves none.
    pub(super) runnable: bool,
    pub(super) oneshot: bool,
    pub(super) needs: Vec<usize>,
    pub(super) after: Vec<usize>,
    pub(super) follows: Vec<usize>,
    /// Whether its sockets are there as soon as its program runs.
    pub(super) listens: bool,
    pub(super) health: Option<Health>,
    pub(super) restart_with: Option<usize>,
    pub(super) main: bool,
    pub(super) last: bool,
    pub(super) start_timeout: Option<Duration>,
    pub(super) restart: Restart,
    pub(super) patience: Patience,
    pub(super) has_stop_command: bool,
    pub(super) stop_timeout: Duration,
}

impl Cell {
    /// Whether it is somebody's script: one that is run once, however that goes.
    pub(super) fn is_script(&self) -> bool {
        self.spec.oneshot && self.spec.restart == Restart::Never
    }

    /// Whether it cannot be ended, so that waiting for it would never end either.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.state, State::Stopping { phase: Phase::Stuck, .. })
    }

    pub(super) fn new(spec: Spec, state: State, reason: String, wanted: bool) -> Self {
        let off = state == State::Stopped && !wanted;
        Self {
            spec,
            state,
            since: Now::ZERO,
            reason,
            wanted,
            stopped_by: None,
            off,
            alive: false,
            pid: None,
            leaving: None,
            backoff: Backoff::default(),
            restarts: 0,
            tried: String::new(),
            says: String::new(),
            open: false,
            generation: 0,
            followed: Vec::new(),
            code: None,
        }
    }
}

impl State {
    pub(super) fn shown(&self) -> UnitState {
        match self {
            Self::Waiting => UnitState::Waiting,
            Self::Starting { .. } => UnitState::Starting,
            Self::Ready { .. } => UnitState::Ready,
            Self::Stopping { .. } => UnitState::Stopping,
            Self::Backoff { .. } => UnitState::Backoff,
            Self::Stopped => UnitState::Stopped,
            Self::Done => UnitState::Done,
            Self::Failed => UnitState::Failed,
            Self::Skipped => UnitState::Skipped,
        }
    }
}
