//! The life of units, as a pure function of events and time.
//!
//! ```text
//!            needs are ready            it says so                somebody asks, or a need is lost
//!   Waiting ----------------> Starting -----------> Ready ------------------------> Stopping
//!      ^  ^                      |                    |                                |
//!      |  +------ Backoff <------+--- it ended -------+                                |
//!      |             |                                                                 v
//!      +-------------|----------------- it shall run again -------------------- Stopped, Done,
//!                    +--- too often ------------------------------------------> Failed, (Skipped)
//! ```
//!
//! Invariants: a process is asked for only while none is alive; every state that waits for something has a deadline
//! or an event that ends it; what needs a unit is stopped before it and started after it. Deadlines belong to states:
//! whoever drives this sleeps until [`Core::deadline`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::service::Restart;
use crate::plan::{Fate, Unit};
use crate::sys::reaper::Exit;

use super::UnitState;
use super::backoff::{Backoff, Verdict};

/// Time since the daemon started.
pub type Now = Duration;

/// How long everything together may take to stop before it is killed. Docker kills after 10 s.
const STOP_BUDGET: Duration = Duration::from_secs(7);

/// How long the kernel may take to remove a killed process before the stop goes on without it.
const KILL_BUDGET: Duration = Duration::from_millis(800);

/// What the core wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start the unit's process. Exactly one [`Event::Gone`] must follow, sooner or later.
    Spawn(usize),
    /// Run the unit's stop command.
    Ask(usize),
    /// Send the unit's stop signal.
    Signal(usize),
    /// End the unit and whatever belongs to it.
    Kill(usize),
    /// Everything has stopped.
    Finished,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The unit's program runs as this process.
    Launched(usize, i32),
    /// The unit said that it is ready.
    Ready(usize),
    /// Nothing of the unit's process is left.
    Gone(usize, Outcome),
    /// The stop command ended; whether it went well.
    Asked(usize, bool),
    /// Somebody wants these units up, and what they need.
    Start(Vec<usize>),
    /// Somebody wants these units down.
    Stop(Vec<usize>),
    /// Somebody wants these units down and up again.
    Restart(Vec<usize>),
    /// Stop everything; a second time means now.
    Shutdown,
    /// Time passed.
    Tick,
}

/// How a process came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and ended.
    Ended(Exit),
    /// It could not be started.
    NotStarted(String),
}

/// What becomes of a unit when it has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    Stay,
    Again,
    Fail(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Asked,
    Signalled,
    Killed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Starting { deadline: Option<Now> },
    Ready { since: Now },
    Stopping { phase: Phase, deadline: Now, then: Then },
    Backoff { until: Now },
    Stopped,
    Done,
    Failed,
    Skipped,
}

/// One unit as the core sees it.
#[derive(Clone, Debug)]
struct Cell {
    spec: Spec,
    state: State,
    since: Now,
    reason: String,
    wanted: bool,
    /// Whether a process was asked for and is not gone yet.
    alive: bool,
    pid: Option<i32>,
    /// Set while the unit shall stop, as soon as nothing that needs it is alive.
    leaving: Option<(Then, String)>,
    backoff: Backoff,
    restarts: u32,
    /// How often it became ready.
    generation: u64,
    /// The generations of the followed units when this one was started.
    followed: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Spec {
    name: String,
    /// Whether there is a command at all: a broken file leaves none.
    runnable: bool,
    oneshot: bool,
    needs: Vec<usize>,
    after: Vec<usize>,
    follows: Vec<usize>,
    start_timeout: Option<Duration>,
    restart: Restart,
    restart_limit: Option<u32>,
    has_stop_command: bool,
    stop_timeout: Duration,
}

/// All units and their states.
#[derive(Clone, Debug)]
pub struct Core {
    cells: Vec<Cell>,
    now: Now,
    stopping: Option<Now>,
    finished: bool,
    random: u64,
    effects: Vec<Effect>,
}

/// A unit's state as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: UnitState,
    /// Why it is there.
    pub reason: String,
    /// Since when.
    pub since: Now,
    /// Its main process.
    pub pid: Option<i32>,
    /// How often it was started again by itself.
    pub restarts: u32,
}

impl Core {
    /// The units of a plan, all waiting. `seed` feeds the jitter.
    pub fn new(units: &[Unit], seed: u64) -> Self {
        let index: BTreeMap<&str, usize> =
            units.iter().enumerate().map(|(at, unit)| (unit.name.as_str(), at)).collect();
        let resolve =
            |names: &[String]| names.iter().filter_map(|name| index.get(name.as_str()).copied()).collect();
        let cells = units
            .iter()
            .map(|unit| {
                let spec = Spec {
                    name: unit.name.clone(),
                    runnable: unit.fate == Fate::Run,
                    oneshot: unit.oneshot,
                    needs: resolve(&unit.needs),
                    after: resolve(&unit.after),
                    follows: resolve(&unit.follows),
                    start_timeout: unit.start_timeout,
                    restart: unit.restart,
                    restart_limit: unit.restart_limit,
                    has_stop_command: unit.stop_command.is_some(),
                    stop_timeout: unit.stop_timeout,
                };
                let (state, reason) = match &unit.fate {
                    Fate::Run if unit.autostart => (State::Waiting, String::new()),
                    Fate::Run => (State::Stopped, "it starts only when asked to".to_owned()),
                    Fate::Skip(reason) => (State::Skipped, reason.clone()),
                    Fate::Broken(reason) => (State::Failed, reason.clone()),
                };
                let wanted = unit.fate == Fate::Run && unit.autostart;
                Cell::new(spec, state, reason, wanted)
            })
            .collect();
        Self { cells, now: Now::ZERO, stopping: None, finished: false, random: seed, effects: Vec::new() }
    }

    /// Takes in what happened and says what is to be done about it.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = self.now.max(now);
        match event {
            Event::Launched(at, pid) => {
                if self.cells[at].alive {
                    self.cells[at].pid = Some(pid);
                }
            }
            Event::Ready(at) => {
                if matches!(self.cells[at].state, State::Starting { .. }) && !self.cells[at].spec.oneshot {
                    self.cells[at].generation += 1;
                    self.enter(at, State::Ready { since: self.now }, String::new());
                }
            }
            Event::Gone(at, outcome) => self.gone(at, &outcome),
            Event::Asked(at, well) => self.asked(at, well),
            Event::Start(units) => units.into_iter().for_each(|at| self.want(at)),
            Event::Stop(units) => units.into_iter().for_each(|at| self.unwant(at)),
            Event::Restart(units) => units.into_iter().for_each(|at| self.again(at)),
            Event::Shutdown => self.shutdown(),
            Event::Tick => {}
        }
        self.deadlines();
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] is due, if at all.
    pub fn deadline(&self) -> Option<Now> {
        let of_cell = |cell: &Cell| match &cell.state {
            State::Starting { deadline } => *deadline,
            State::Stopping { deadline, .. } => Some(*deadline),
            State::Backoff { until } => Some(*until),
            _ => None,
        };
        let stopping = self.stopping.filter(|_| !self.finished);
        self.cells.iter().filter_map(of_cell).chain(stopping).min()
    }

    /// Every unit's state.
    pub fn status(&self) -> impl Iterator<Item = Status> {
        self.cells.iter().enumerate().map(|(at, cell)| Status {
            state: cell.state.shown(),
            reason: if cell.state == State::Waiting { self.waits_for(at) } else { cell.reason.clone() },
            since: cell.since,
            pid: cell.pid,
            restarts: cell.restarts,
        })
    }

    /// Whether everything that should be up is.
    pub fn up(&self) -> bool {
        self.cells.iter().all(|cell| !cell.wanted || matches!(cell.state, State::Ready { .. } | State::Done))
    }

    /// Why `at` cannot be started, if it cannot.
    pub fn refusal(&self, at: usize) -> Option<&str> {
        let cell = &self.cells[at];
        (!cell.spec.runnable).then_some(cell.reason.as_str())
    }

    /// Whether it is stopping everything.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    fn enter(&mut self, at: usize, state: State, reason: String) {
        let cell = &mut self.cells[at];
        cell.state = state;
        cell.reason = reason;
        cell.since = self.now;
    }

    fn jitter(&mut self) -> f64 {
        // splitmix64: enough to keep two units from meeting again and again.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }

    fn gone(&mut self, at: usize, outcome: &Outcome) {
        let cell = &mut self.cells[at];
        if !cell.alive {
            return;
        }
        cell.alive = false;
        cell.pid = None;
        let leaving = cell.leaving.take();
        let ready = match cell.state {
            State::Ready { since } => Some(self.now.saturating_sub(since)),
            _ => None,
        };
        let then = match &cell.state {
            State::Stopping { then, .. } => Some((then.clone(), cell.reason.clone())),
            _ => leaving,
        };
        if cell.spec.oneshot && *outcome == Outcome::Ended(Exit::Code(0)) && then.is_none() {
            cell.generation += 1;
            cell.backoff.forget();
            self.enter(at, State::Done, String::new());
            return;
        }
        match then {
            Some((Then::Stay, reason)) => self.enter(at, State::Stopped, reason),
            Some((Then::Again, _)) => self.enter(at, State::Waiting, String::new()),
            Some((Then::Fail(why), _)) => self.failed(at, ready, why),
            None => self.ended(at, ready, outcome),
        }
    }

    /// A process ended that nobody asked to.
    fn ended(&mut self, at: usize, ready: Option<Duration>, outcome: &Outcome) {
        let (well, why) = match outcome {
            Outcome::Ended(exit) => (exit.success(), format!("it ended with {exit}")),
            Outcome::NotStarted(why) => (false, why.clone()),
        };
        match self.cells[at].spec.restart {
            Restart::Always => self.failed(at, ready, why),
            Restart::OnFailure if !well => self.failed(at, ready, why),
            Restart::Never if !well => self.enter(at, State::Failed, why),
            Restart::OnFailure | Restart::Never => self.enter(at, State::Stopped, why),
        }
    }

    fn failed(&mut self, at: usize, ready: Option<Duration>, why: String) {
        let jitter = self.jitter();
        let cell = &mut self.cells[at];
        if !cell.wanted {
            self.enter(at, State::Stopped, why);
            return;
        }
        match cell.backoff.failed(ready, cell.spec.restart_limit, jitter) {
            Verdict::GiveUp(count) => {
                let times = if count == 1 { String::new() } else { format!(", {count} times") };
                self.enter(at, State::Failed, format!("{why}{times}"));
            }
            Verdict::Again(wait) => {
                cell.restarts += 1;
                if wait.is_zero() {
                    self.enter(at, State::Waiting, why);
                } else {
                    self.enter(at, State::Backoff { until: self.now + wait }, why);
                }
            }
        }
    }

    fn asked(&mut self, at: usize, well: bool) {
        // When it went well the unit is on its way out and has the rest of its time for that.
        if !well && matches!(self.cells[at].state, State::Stopping { phase: Phase::Asked, .. }) {
            self.signal(at);
        }
    }

    fn want(&mut self, at: usize) {
        if self.cells[at].wanted && self.cells[at].alive && self.cells[at].leaving.is_none() {
            return;
        }
        if self.refusal(at).is_some() {
            return;
        }
        let cell = &mut self.cells[at];
        cell.wanted = true;
        if let Some((then, _)) = &mut cell.leaving {
            *then = Then::Again;
        }
        match &mut cell.state {
            State::Stopping { then, .. } => *then = Then::Again,
            State::Backoff { .. } | State::Stopped | State::Failed => {
                cell.backoff.forget();
                self.enter(at, State::Waiting, String::new());
            }
            _ => {}
        }
        for need in self.cells[at].spec.needs.clone() {
            if !matches!(self.cells[need].state, State::Done) {
                self.want(need);
            }
        }
    }

    fn unwant(&mut self, at: usize) {
        let cell = &mut self.cells[at];
        cell.wanted = false;
        let reason = "somebody asked for it".to_owned();
        match &mut cell.state {
            State::Stopping { then, .. } => {
                *then = Then::Stay;
                cell.reason = reason;
            }
            _ if cell.alive => cell.leaving = Some((Then::Stay, reason)),
            State::Waiting | State::Backoff { .. } => self.enter(at, State::Stopped, reason),
            _ => {}
        }
    }

    fn again(&mut self, at: usize) {
        self.want(at);
        let cell = &mut self.cells[at];
        if matches!(cell.state, State::Stopping { .. }) {
            return;
        }
        if cell.alive {
            cell.leaving = Some((Then::Again, "somebody asked for a restart".to_owned()));
        } else if cell.state == State::Done {
            self.enter(at, State::Waiting, String::new());
        }
    }

    fn shutdown(&mut self) {
        let first = self.stopping.is_none();
        for at in 0..self.cells.len() {
            if first {
                let cell = &mut self.cells[at];
                cell.wanted = false;
                let reason = "the daemon is stopping".to_owned();
                match &mut cell.state {
                    State::Stopping { then, .. } => *then = Then::Stay,
                    _ if cell.alive => cell.leaving = Some((Then::Stay, reason)),
                    State::Waiting | State::Backoff { .. } => self.enter(at, State::Stopped, reason),
                    _ => {}
                }
            } else if self.cells[at].alive {
                self.kill(at);
            }
        }
        self.stopping = Some(self.now + if first { STOP_BUDGET } else { KILL_BUDGET });
    }

    fn deadlines(&mut self) {
        for at in 0..self.cells.len() {
            let due = |deadline: Now| deadline <= self.now;
            match &self.cells[at].state {
                State::Backoff { until } if due(*until) => {
                    let reason = self.cells[at].reason.clone();
                    self.enter(at, State::Waiting, reason);
                }
                State::Starting { deadline: Some(deadline) } if due(*deadline) => {
                    let limit = self.cells[at].spec.start_timeout.unwrap_or_default();
                    let why = format!("it was not ready within {limit:?}");
                    // A deadline fires once; the stop that follows has its own.
                    self.cells[at].state = State::Starting { deadline: None };
                    self.cells[at].leaving = Some((Then::Fail(why.clone()), why));
                }
                State::Stopping { phase: Phase::Asked, deadline, .. } if due(*deadline) => self.signal(at),
                State::Stopping { phase: Phase::Signalled, deadline, .. } if due(*deadline) => self.kill(at),
                State::Stopping { phase: Phase::Killed, deadline, .. } if due(*deadline) => {
                    // It cannot be interrupted (a dead disk, say). Ask again: the state must keep a way out.
                    "it does not end, even when killed".clone_into(&mut self.cells[at].reason);
                    self.kill(at);
                }
                _ => {}
            }
        }
        if self.stopping.is_some_and(|deadline| deadline <= self.now) && !self.finished {
            let killed = |cell: &Cell| matches!(cell.state, State::Stopping { phase: Phase::Killed, .. });
            if self.cells.iter().filter(|cell| cell.alive).all(killed) {
                self.finish();
            } else {
                (0..self.cells.len())
                    .filter(|at| self.cells[*at].alive)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|at| self.kill(at));
                self.stopping = Some(self.now + KILL_BUDGET);
            }
        }
    }

    fn finish(&mut self) {
        self.finished = true;
        self.effects.push(Effect::Finished);
    }

    /// Does everything that has become possible, until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut changed = false;
            for at in 0..self.cells.len() {
                changed |= self.lose(at) | self.leave(at) | self.start(at);
            }
            if !changed {
                break;
            }
        }
        if self.stopping.is_some() && !self.finished && self.cells.iter().all(|cell| !cell.alive) {
            self.finish();
        }
    }

    /// A unit whose need is lost, or whose followed unit was restarted, has to go and come back.
    fn lose(&mut self, at: usize) -> bool {
        let cell = &self.cells[at];
        let active = matches!(cell.state, State::Starting { .. } | State::Ready { .. });
        let done = cell.state == State::Done && cell.wanted;
        if !(active || done) || cell.leaving.is_some() {
            return false;
        }
        let lost = cell.spec.needs.iter().find(|need| active && !self.satisfied(**need));
        let restarted = cell.spec.follows.iter().zip(&cell.followed).find(|(unit, generation)| {
            **generation != 0 && self.cells[**unit].generation != **generation && self.satisfied(**unit)
        });
        let reason = match (lost, restarted) {
            (Some(need), _) => format!("it needs {}", self.cells[*need].spec.name),
            (None, Some((unit, _))) => format!("{} was restarted", self.cells[*unit].spec.name),
            (None, None) => return false,
        };
        if done {
            // Its work was for what is gone now: it is done again.
            self.enter(at, State::Waiting, reason);
        } else {
            self.cells[at].leaving = Some((Then::Again, reason));
        }
        true
    }

    /// Begins the stop of a unit that shall leave, when nothing that needs it is alive any more.
    fn leave(&mut self, at: usize) -> bool {
        let cell = &self.cells[at];
        if cell.leaving.is_none() || matches!(cell.state, State::Stopping { .. }) {
            return false;
        }
        if self.cells.iter().any(|other| other.alive && other.spec.needs.contains(&at)) {
            return false;
        }
        let Some((then, reason)) = self.cells[at].leaving.take() else { return false };
        let (phase, effect) = if self.cells[at].spec.has_stop_command && self.cells[at].pid.is_some() {
            (Phase::Asked, Effect::Ask(at))
        } else {
            (Phase::Signalled, Effect::Signal(at))
        };
        let deadline = self.now + self.cells[at].spec.stop_timeout;
        self.enter(at, State::Stopping { phase, deadline, then }, reason);
        self.effects.push(effect);
        true
    }

    fn start(&mut self, at: usize) -> bool {
        let cell = &self.cells[at];
        if cell.state != State::Waiting || !cell.wanted || cell.alive || self.stopping.is_some() {
            return false;
        }
        if !cell.spec.needs.iter().all(|need| self.satisfied(*need))
            || cell.spec.after.iter().any(|a| self.pending(*a))
        {
            return false;
        }
        let followed = cell.spec.follows.iter().map(|unit| self.cells[*unit].generation).collect();
        let deadline = cell.spec.start_timeout.map(|limit| self.now + limit);
        let cell = &mut self.cells[at];
        cell.followed = followed;
        cell.alive = true;
        cell.leaving = None;
        self.enter(at, State::Starting { deadline }, String::new());
        self.effects.push(Effect::Spawn(at));
        true
    }

    fn satisfied(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        cell.leaving.is_none() && matches!(cell.state, State::Ready { .. } | State::Done)
    }

    /// Whether `at` is on its way up for the first time, so that what merely comes after it should wait.
    fn pending(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        match cell.state {
            State::Starting { .. } => true,
            State::Waiting | State::Stopping { then: Then::Again, .. } => {
                cell.wanted && cell.spec.needs.iter().all(|need| self.satisfied(*need) || self.pending(*need))
            }
            _ => false,
        }
    }

    fn waits_for(&self, at: usize) -> String {
        let spec = &self.cells[at].spec;
        let needs = spec.needs.iter().filter(|need| !self.satisfied(**need));
        let after = spec.after.iter().filter(|unit| self.pending(**unit));
        let names: Vec<String> = needs
            .chain(after)
            .map(|unit| {
                format!("{} ({})", self.cells[*unit].spec.name, self.cells[*unit].state.shown().name())
            })
            .collect();
        if names.is_empty() { String::new() } else { format!("for {}", names.join(", ")) }
    }

    fn signal(&mut self, at: usize) {
        let limit = self.cells[at].spec.stop_timeout;
        self.escalate(at, Phase::Signalled, limit);
        self.effects.push(Effect::Signal(at));
    }

    fn kill(&mut self, at: usize) {
        self.escalate(at, Phase::Killed, KILL_BUDGET);
        self.effects.push(Effect::Kill(at));
    }

    fn escalate(&mut self, at: usize, to: Phase, limit: Duration) {
        let next = self.now + limit;
        let cell = &mut self.cells[at];
        if let State::Stopping { phase, deadline, .. } = &mut cell.state {
            *phase = to;
            *deadline = next;
        } else {
            let (then, reason) = cell.leaving.take().unwrap_or((Then::Stay, "it was killed".to_owned()));
            self.enter(at, State::Stopping { phase: to, deadline: next, then }, reason);
        }
    }
}

impl Cell {
    fn new(spec: Spec, state: State, reason: String, wanted: bool) -> Self {
        Self {
            spec,
            state,
            since: Now::ZERO,
            reason,
            wanted,
            alive: false,
            pid: None,
            leaving: None,
            backoff: Backoff::default(),
            restarts: 0,
            generation: 0,
            followed: Vec::new(),
        }
    }
}

impl State {
    fn shown(&self) -> UnitState {
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

#[cfg(test)]
mod tests;
