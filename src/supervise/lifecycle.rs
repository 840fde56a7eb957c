//! The life of units, as a pure function of events and time.
//!
//! ```text
//!            needs are open             it says so                somebody asks, or a need is lost
//!   Waiting ----------------> Starting -----------> Ready ------------------------> Stopping
//!      ^  ^                      |                    |                                |
//!      |  +------ Backoff <------+--- it ended -------+                                |
//!      |             |                                                                 v
//!      +-------------|----------------- it shall run again -------------------- Stopped, Done,
//!                    +--- too often ------------------------------------------> Failed, (Skipped)
//! ```
//!
//! Invariants: a process is asked for only while none is alive; every state that waits for something has a deadline
//! or an event that ends it; what needs a unit is stopped before the unit is, and before it is started again.
//! Deadlines belong to states: whoever drives this sleeps until [`Core::deadline`].

mod cell;
mod ending;
mod health;
mod main_unit;
mod replan;
mod requests;
mod settle;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::{Fate, Unit};
use crate::sys::reaper::Exit;

use super::backoff::Patience;
use super::{UnitHealth, UnitState};
use cell::{Cell, Phase, Spec, State};
use health::Checks;

/// Time since the daemon started.
pub type Now = Duration;

/// How long everything together may take to stop before it is killed. Docker kills after 10 s.
const STOP_BUDGET: Duration = Duration::from_millis(6500);

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
    /// See whether the unit still does its work; [`Event::Checked`] with this number tells. There is only one at a time.
    Check(usize, u64),
    /// End the check that runs; nobody waits for its answer.
    Recall(usize),
    /// Everything has stopped.
    Finished,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The unit's program runs as this process.
    Launched(usize, i32),
    /// An attempt to see whether the unit is ready came to nothing: what was tried, and what came back.
    Tried(usize, String),
    /// The unit said that it is ready.
    Ready(usize),
    /// The unit said what it does, in words for people.
    Says(usize, String),
    /// The check with this number ended; the error says what came back.
    Checked(usize, u64, Result<(), String>),
    /// Nothing of the unit's process is left.
    Gone(usize, Outcome),
    /// The stop command ended; whether it went well.
    Asked(usize, bool),
    /// Somebody wants these units up, and what they need.
    Start(Vec<usize>),
    /// Somebody wants these units down: who it is, as people are told.
    Stop(Vec<usize>, String),
    /// Somebody wants these units down and up again; who it is.
    Restart(Vec<usize>, String),
    /// Stop everything; a second time means now.
    Shutdown,
    /// Time passed.
    Tick,
}

/// How far a unit that ends for good has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is on its way out.
    Begun,
    /// Nothing of it runs.
    Over,
}

/// How a process came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and ended.
    Ended(Exit),
    /// It could not be started.
    NotStarted(String),
    /// It could not be started because the machine had nothing left to start it with.
    HeldUp(String),
    /// It could not be started because its program does not exist.
    NotFound(String),
}

/// All units and their states.
#[derive(Clone, Debug)]
pub struct Core {
    cells: Vec<Cell>,
    now: Now,
    /// Set while everything is being stopped.
    ending: Option<Ending>,
    finished: bool,
    random: u64,
    /// How many checks were begun: the number of the last one.
    checks: u64,
    effects: Vec<Effect>,
    passages: Vec<Passage>,
}

/// The end of everything.
#[derive(Clone, Copy, Debug)]
struct Ending {
    /// When patience ends.
    deadline: Now,
    /// Whether it has ended before.
    killed: bool,
}

/// A unit came from one state into the next. States that last no time pass by here too: they carry reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The unit.
    pub unit: usize,
    /// Where it came from; `None` for where it begins.
    pub from: Option<UnitState>,
    /// Where it is now.
    pub to: UnitState,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub when: Now,
}

impl Passage {
    fn first(unit: usize, cell: &Cell) -> Self {
        let (to, reason, when) = (cell.state.shown(), cell.reason.clone(), cell.since);
        Self { unit, from: None, to, reason, when }
    }
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
    /// How its checks go, if it is checked.
    pub health: Option<UnitHealth>,
    /// What it says of itself; may be empty.
    pub says: String,
    /// Who asked for its stop, while that holds.
    pub stopped_by: Option<String>,
    /// Whether it starts only when asked to, and was never asked.
    pub off: bool,
}

impl Core {
    /// The units of a plan, all waiting. `seed` feeds the jitter.
    pub fn new(units: &[Unit], seed: u64) -> Self {
        let cells: Vec<Cell> = specs(units)
            .into_iter()
            .zip(units)
            .map(|(spec, unit)| {
                let (state, reason, wanted) = initial(unit);
                Cell::new(spec, state, reason, wanted)
            })
            .collect();
        let passages = cells.iter().enumerate().map(|(at, cell)| Passage::first(at, cell)).collect();
        Self {
            cells,
            now: Now::ZERO,
            ending: None,
            finished: false,
            random: seed,
            checks: 0,
            effects: Vec::new(),
            passages,
        }
    }

    /// Takes in what happened and says what is to be done about it.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.now = self.now.max(now);
        if self.finished {
            return Vec::new();
        }
        match event {
            Event::Launched(at, pid) => self.launched(at, pid),
            Event::Tried(at, what) => self.cells[at].tried = what,
            Event::Ready(at) => self.ready(at),
            Event::Says(at, text) => {
                if self.cells[at].alive {
                    self.cells[at].says = text;
                }
            }
            Event::Checked(at, number, result) => self.checked(at, number, result),
            Event::Gone(at, outcome) => {
                if self.cells[at].alive {
                    let told = self.is_told_to_end(at);
                    self.gone(at, &outcome);
                    self.take_end(at, &outcome, told);
                }
            }
            Event::Asked(at, well) => self.asked(at, well),
            Event::Start(units) => self.want(&units),
            Event::Stop(units, by) => units.into_iter().for_each(|at| self.unwant(at, &by)),
            Event::Restart(units, by) => self.again(&units, &by),
            Event::Shutdown => self.shutdown(),
            Event::Tick => {}
        }
        // A deadline may be as short as nothing: what settled may be due already.
        while self.settle() | self.deadlines() {}
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] is due, if at all. Never before the time that was handled last.
    pub fn deadline(&self) -> Option<Now> {
        if self.finished {
            return None;
        }
        let of_cell = |cell: &Cell| match &cell.state {
            State::Starting { deadline } => *deadline,
            State::Stopping { deadline, .. } => Some(*deadline),
            State::Backoff { until } => Some(*until),
            State::Ready { .. } => cell.check_due(),
            _ => None,
        };
        let ending = self.ending.map(|ending| ending.deadline);
        self.cells.iter().filter_map(of_cell).chain(ending).min()
    }

    /// Every unit's state.
    pub fn status(&self) -> impl Iterator<Item = Status> {
        self.cells.iter().enumerate().map(|(at, cell)| Status {
            state: cell.state.shown(),
            reason: self.reason(at),
            since: cell.since,
            pid: cell.pid,
            restarts: cell.restarts,
            health: cell.health(),
            says: cell.says.clone(),
            stopped_by: cell.stopped_by.clone(),
            off: cell.off,
        })
    }

    /// Every step from state to state since the last call, in their order.
    pub fn passages(&mut self) -> Vec<Passage> {
        std::mem::take(&mut self.passages)
    }

    /// Whether everything that should be up is. What was stopped, and what waits for that, should not.
    pub fn up(&self) -> bool {
        self.ending.is_none() && (0..self.cells.len()).all(|at| !self.expected(at) || self.satisfied(at))
    }

    /// Why `at` cannot be started, if it cannot.
    pub fn refusal(&self, at: usize) -> Option<&str> {
        let cell = &self.cells[at];
        (!cell.spec.runnable).then_some(cell.reason.as_str())
    }

    /// Whether `at` ends for good instead of being started anew, and how far that has come. One that still waits for
    /// its dependents to end has not begun.
    pub fn end_for_good(&self, at: usize) -> Option<Stop> {
        let cell = &self.cells[at];
        match cell.state {
            _ if cell.wanted => None,
            State::Stopping { .. } => Some(Stop::Begun),
            _ => (!cell.alive).then_some(Stop::Over),
        }
    }

    /// Whether it is stopping everything.
    pub fn is_stopping(&self) -> bool {
        self.ending.is_some()
    }

    fn expected(&self, at: usize) -> bool {
        let cell = &self.cells[at];
        cell.wanted && cell.spec.needs.iter().all(|need| self.is_open(*need) || self.expected(*need))
    }

    fn reason(&self, at: usize) -> String {
        let cell = &self.cells[at];
        match cell.state {
            State::Waiting => Some(self.waits_for(at)).filter(|text| !text.is_empty()),
            State::Stopping { phase: Phase::Stuck, .. } => {
                Some(format!("{}; it does not end, even when killed", cell.reason))
            }
            _ => None,
        }
        .unwrap_or_else(|| cell.reason.clone())
    }

    fn enter(&mut self, at: usize, state: State, reason: String) {
        let cell = &mut self.cells[at];
        if cell.is_being_checked() {
            self.effects.push(Effect::Recall(at));
        }
        let from = Some(cell.state.shown());
        let (to, when) = (state.shown(), self.now);
        self.passages.push(Passage { unit: at, from, to, reason: reason.clone(), when });
        cell.state = state;
        cell.reason = reason;
        cell.since = self.now;
    }

    fn launched(&mut self, at: usize, pid: i32) {
        let cell = &mut self.cells[at];
        if !cell.alive {
            return;
        }
        cell.pid = Some(pid);
        let starting = matches!(cell.state, State::Starting { .. }) && cell.leaving.is_none();
        if starting && cell.spec.listens {
            self.open(at);
        }
    }

    fn ready(&mut self, at: usize) {
        let cell = &self.cells[at];
        // One that is on its way out comes too late.
        if matches!(cell.state, State::Starting { .. }) && !cell.spec.oneshot && cell.leaving.is_none() {
            let checks = cell.spec.health.as_ref().map(|health| Checks::new(health, self.now));
            self.enter(at, State::Ready { since: self.now, checks }, String::new());
            self.open(at);
        }
    }

    /// Lets those in who need `at`, and counts that it is there (again), for those that follow it.
    fn open(&mut self, at: usize) {
        let cell = &mut self.cells[at];
        if std::mem::replace(&mut cell.open, true) {
            return;
        }
        cell.generation += 1;
        if cell.generation > 1 {
            return;
        }
        // The first time is no restart, also for those that were started before it.
        for cell in &mut self.cells {
            for (unit, generation) in cell.spec.follows.iter().zip(&mut cell.followed) {
                if *unit == at {
                    *generation = 1;
                }
            }
        }
    }
}

/// The units as cells want them, with names resolved to places.
fn specs(units: &[Unit]) -> Vec<Spec> {
    let index: BTreeMap<&str, usize> =
        units.iter().enumerate().map(|(at, unit)| (unit.name.as_str(), at)).collect();
    let resolve =
        |names: &[String]| names.iter().filter_map(|name| index.get(name.as_str()).copied()).collect();
    let spec = |unit: &Unit| Spec {
        name: unit.name.clone(),
        runnable: unit.fate == Fate::Run,
        oneshot: unit.oneshot,
        needs: resolve(&unit.needs),
        // Whoever restarts with another one starts after it.
        after: resolve(&[&unit.after[..], &unit.follows].concat()),
        follows: resolve(&unit.follows),
        listens: !unit.launch.listen.is_empty(),
        health: unit.health.clone(),
        restart_with: unit.restart_with.iter().find_map(|name| index.get(name.as_str()).copied()),
        main: unit.main,
        last: unit.last,
        start_timeout: unit.start_timeout,
        restart: unit.restart,
        patience: Patience {
            limit: unit.restart_limit,
            first: unit.restart_delay,
            longest: unit.restart_delay_max,
        },
        has_stop_command: unit.stop_command.is_some(),
        stop_timeout: unit.stop_timeout,
    };
    units.iter().map(spec).collect()
}

/// A unit's first state, why it has it, and whether it is wanted.
fn initial(unit: &Unit) -> (State, String, bool) {
    match &unit.fate {
        Fate::Run if unit.autostart => (State::Waiting, String::new(), true),
        Fate::Run => (State::Stopped, "it starts only when asked to".to_owned(), false),
        Fate::Skip(reason) => (State::Skipped, reason.clone(), false),
        Fate::Broken(reason) => (State::Failed, reason.clone(), false),
    }
}

#[cfg(test)]
mod tests;
