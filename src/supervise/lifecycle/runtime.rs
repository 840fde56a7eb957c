//! The data of the core: all units and their states. The files beside this one have the transitions.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::service::Restart;
use crate::plan::{Disposition, Unit};
use crate::supervise::backoff::Backoff;
use crate::supervise::status::{UnitChange, UnitHealth, UnitInfo, UnitState};

use super::messages::{Effect, Now, UnitId};

/// All units and their states.
#[derive(Clone, Debug)]
pub struct Core {
    pub(super) units: Vec<UnitRuntime>,
    pub(super) now: Now,
    /// The start of the daemon, in milliseconds since the Unix epoch.
    pub(super) began: i64,
    pub(super) shutdown: Shutdown,
    pub(super) random: u64,
    /// How many checks were begun, which is also the number of the last one.
    pub(super) checks: u64,
    pub(super) effects: Vec<Effect>,
    pub(super) changes: Vec<UnitChange>,
}

/// The stop of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    NotRequested,
    /// All units are being stopped; at this time, all are killed.
    Stopping(Now),
    /// All units were killed; after this time, they are not waited for any more.
    Killed(Now),
    Finished,
}

/// One unit.
#[derive(Clone, Debug)]
pub(super) struct UnitRuntime {
    pub(super) spec: Unit,
    pub(super) info: Arc<UnitInfo>,
    pub(super) deps: Dependencies,
    /// The units that its current or last run was started with. A new plan may name others.
    pub(super) uses: Vec<UnitId>,
    /// The sockets of that run.
    pub(super) sockets: Vec<PathBuf>,
    pub(super) state: State,
    pub(super) since: Now,
    pub(super) reason: String,
    /// Who requested its stop; `None` again when it is wanted again.
    pub(super) stopped_by: Option<String>,
    /// Whether it starts only on request, and was never requested.
    pub(super) off: bool,
    pub(super) backoff: Backoff,
    pub(super) restarts: u32,
    /// Whether its dependents were ever allowed to start. The next time, it has been restarted.
    pub(super) was_open: bool,
    /// The exit code of its last run.
    pub(super) code: Option<i32>,
}

/// The related units, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependencies {
    pub(super) needs: Vec<UnitId>,
    pub(super) after: Vec<UnitId>,
    pub(super) follows: Vec<UnitId>,
    pub(super) restart_with: Option<UnitId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It starts as soon as its conditions are met.
    Waiting,
    /// It waits after a failure.
    Backoff {
        until: Now,
    },
    /// A process was requested that has not ended yet.
    Alive(Run),
    /// It is not wanted.
    Stopped,
    Done,
    /// Until a request to stop it, it counts as wanted: it is missing. A broken unit is not wanted.
    Failed {
        wanted: bool,
    },
    Skipped,
}

/// One run of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The main process, once its program runs.
    pub(super) pid: Option<i32>,
    /// The unit's own status text.
    pub(super) status_text: String,
    pub(super) phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting {
        deadline: Option<Now>,
        /// Whether its dependents may run already: it accepts connections, and will answer them when it is ready.
        listening: bool,
        /// The last attempt to see whether it is ready, and its result.
        probe_failure: String,
    },
    Ready(Option<Checks>),
    /// It is stopped as soon as no unit that needs it is alive. Until then, it is shown as before.
    Draining {
        shown: UnitState,
        health: Option<UnitHealth>,
        then: AfterStop,
        reason: String,
    },
    Stopping {
        step: StopStep,
        deadline: Now,
        then: AfterStop,
    },
}

/// The progress of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopStep {
    /// The stop command runs. The signal that follows it has time until `kill_at`.
    Command { kill_at: Now },
    /// It got its stop signal.
    Signalled,
    /// It got KILL.
    Killed,
    /// It was killed but did not end: the kernel holds it. Other units do not wait for it any more.
    Stuck,
}

/// What happens to a unit after it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterStop {
    Stay,
    Restart,
    /// The stop was caused by a failure. It had worked for this long before; `None` if it never did.
    Fail(Option<Now>),
}

/// The state of the health checks of a ready unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) stage: Stage,
    /// Failures since the last success.
    pub(super) failures: u32,
    /// The last success, or the time at which the unit became ready.
    pub(super) well_at: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The next check begins at this time.
    Due(Now),
    /// This check is running.
    Running { number: u64, began: Now },
}

impl UnitRuntime {
    pub(super) fn new(unit: Unit, now: Now) -> Self {
        let (state, reason) = State::first(&unit);
        Self {
            info: UnitInfo::of(&unit),
            deps: Dependencies::default(),
            uses: Vec::new(),
            sockets: Vec::new(),
            since: now,
            reason,
            stopped_by: None,
            off: state == State::Stopped,
            backoff: Backoff::default(),
            restarts: 0,
            was_open: false,
            code: None,
            state,
            spec: unit,
        }
    }

    /// Whether it should be up: it is, or will be without a request, or has failed.
    pub(super) fn wanted(&self) -> bool {
        match &self.state {
            State::Waiting | State::Backoff { .. } | State::Done => true,
            State::Alive(_) => self.after_stop() != Some(AfterStop::Stay),
            State::Failed { wanted } => *wanted,
            State::Stopped | State::Skipped => false,
        }
    }

    /// Whether a process was requested that has not ended yet.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Alive(_))
    }

    pub(super) fn phase(&self) -> Option<&Phase> {
        self.run().map(|run| &run.phase)
    }

    pub(super) fn phase_mut(&mut self) -> Option<&mut Phase> {
        self.run_mut().map(|run| &mut run.phase)
    }

    pub(super) fn run(&self) -> Option<&Run> {
        if let State::Alive(run) = &self.state { Some(run) } else { None }
    }

    pub(super) fn run_mut(&mut self) -> Option<&mut Run> {
        if let State::Alive(run) = &mut self.state { Some(run) } else { None }
    }

    /// What happens after its stop, if it is to stop.
    pub(super) fn after_stop(&self) -> Option<AfterStop> {
        match self.phase()? {
            Phase::Draining { then, .. } | Phase::Stopping { then, .. } => Some(*then),
            Phase::Starting { .. } | Phase::Ready(_) => None,
        }
    }

    /// Changes what happens after its stop. False if it is not to stop.
    pub(super) fn change_after_stop(&mut self, next: AfterStop) -> bool {
        match self.phase_mut() {
            Some(Phase::Draining { then, .. } | Phase::Stopping { then, .. }) => {
                *then = next;
                true
            }
            _ => false,
        }
    }

    /// Whether it waits for its start, or is to stop in order to be started again.
    pub(super) fn is_due(&self) -> bool {
        self.state == State::Waiting || self.after_stop() == Some(AfterStop::Restart)
    }

    /// Whether it cannot be killed, so that a wait for its end might never end.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.phase(), Some(Phase::Stopping { step: StopStep::Stuck, .. }))
    }
}

impl State {
    /// A unit's first state, and the reason for it.
    pub(super) fn first(unit: &Unit) -> (Self, String) {
        match &unit.disposition {
            Disposition::Run if unit.autostart => (Self::Waiting, String::new()),
            Disposition::Run => (Self::Stopped, "it starts only when asked to".to_owned()),
            Disposition::Skip(reason) => (Self::Skipped, reason.clone()),
            Disposition::Broken(reason) => (Self::Failed { wanted: false }, reason.clone()),
        }
    }

    /// The state by name, for other stages.
    pub(super) fn shown(&self) -> UnitState {
        match self {
            Self::Waiting => UnitState::Waiting,
            Self::Backoff { .. } => UnitState::Backoff,
            Self::Alive(run) => match &run.phase {
                Phase::Starting { .. } => UnitState::Starting,
                Phase::Ready(_) => UnitState::Ready,
                Phase::Draining { shown, .. } => *shown,
                Phase::Stopping { .. } => UnitState::Stopping,
            },
            Self::Stopped => UnitState::Stopped,
            Self::Done => UnitState::Done,
            Self::Failed { .. } => UnitState::Failed,
            Self::Skipped => UnitState::Skipped,
        }
    }
}

/// Whether it has a command that may run; a unit that is skipped or broken has none.
pub(super) fn is_runnable(unit: &Unit) -> bool {
    unit.disposition == Disposition::Run
}

/// Whether it is a script of the user: a oneshot with `restart = never`.
pub(super) fn is_script(unit: &Unit) -> bool {
    unit.oneshot && unit.restart.when == Restart::Never
}
