//! The run-time data of one unit in the core.

use std::time::Duration;

use crate::config::service::{Health, Restart, RestartPolicy, StopPolicy};
use crate::supervise::UnitState;
use crate::supervise::backoff::Backoff;

use super::checks::Checks;
use super::messages::Now;

/// What happens to a unit after it has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AfterStop {
    Stay,
    Restart,
    Fail {
        why: String,
        /// How long it had worked before; `None` if it never did.
        lasted: Option<Duration>,
    },
}

/// The progress of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The stop command runs.
    Asked,
    /// It got its stop signal.
    Signalled,
    /// It got KILL.
    Killed,
    /// It was killed but did not end: the kernel holds it. Other units do not wait for it any more.
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
    /// `end` is the latest time at which it is killed.
    Stopping {
        phase: Phase,
        deadline: Now,
        end: Now,
        then: AfterStop,
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
pub(super) struct UnitRuntime {
    pub(super) spec: UnitSpec,
    pub(super) state: State,
    pub(super) since: Now,
    pub(super) reason: String,
    pub(super) wanted: bool,
    /// Who requested its stop; `None` again when it is wanted again.
    pub(super) stopped_by: Option<String>,
    /// Whether it starts only on request, and was never requested.
    pub(super) off: bool,
    /// Whether a process was requested that has not ended yet.
    pub(super) alive: bool,
    pub(super) pid: Option<i32>,
    /// Set while the unit is to be stopped, as soon as no unit that needs it is alive.
    pub(super) leaving: Option<(AfterStop, String)>,
    pub(super) backoff: Backoff,
    pub(super) restarts: u32,
    /// The last attempt to see whether it is ready, and its result.
    pub(super) probe_failure: String,
    /// Its own status text.
    pub(super) status_text: String,
    /// Whether its dependents may run: it is ready, or it accepts connections already and will answer them when it is
    /// ready.
    pub(super) open: bool,
    /// How often it opened.
    pub(super) generation: u64,
    /// The generations of the followed units when this one was started.
    pub(super) followed: Vec<u64>,
    /// The exit code of its last run.
    pub(super) code: Option<i32>,
}

#[derive(Clone, Debug)]
pub(super) struct UnitSpec {
    pub(super) name: String,
    /// Whether it has a command that may run; a unit that is skipped or broken has none.
    pub(super) runnable: bool,
    pub(super) oneshot: bool,
    pub(super) needs: Vec<usize>,
    pub(super) after: Vec<usize>,
    pub(super) follows: Vec<usize>,
    /// Whether its sockets exist as soon as its program runs.
    pub(super) listens: bool,
    pub(super) health: Option<Health>,
    pub(super) restart_with: Option<usize>,
    pub(super) main: bool,
    pub(super) last: bool,
    pub(super) start_timeout: Option<Duration>,
    pub(super) restart: RestartPolicy,
    pub(super) stop: StopPolicy,
}

impl UnitRuntime {
    /// Whether it is a script of the user: a oneshot with `restart = never`.
    pub(super) fn is_script(&self) -> bool {
        self.spec.oneshot && self.spec.restart.when == Restart::Never
    }

    /// Whether it cannot be killed, so that a wait for its end might never end.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.state, State::Stopping { phase: Phase::Stuck, .. })
    }

    pub(super) fn new(spec: UnitSpec, state: State, reason: String, wanted: bool) -> Self {
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
            probe_failure: String::new(),
            status_text: String::new(),
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
