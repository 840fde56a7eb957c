//! What the core and the driver say to each other.

use std::time::Duration;

use crate::supervise::{UnitHealth, UnitState};
use crate::sys::reaper::Exit;

/// Time since the daemon started.
pub type Now = Duration;

/// What the core asks the driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start the unit's process. Exactly one [`Event::Exited`] must follow, sooner or later.
    Spawn(usize),
    /// Run the unit's stop command.
    Ask(usize),
    /// Send the unit's stop signal.
    Signal(usize),
    /// Kill the unit and all processes that belong to it.
    Kill(usize),
    /// Check whether the unit still works; [`Event::Checked`] with this number reports the result. A unit has at most
    /// one running check.
    Check(usize, u64),
    /// End the running check; its result is not used any more.
    Recall(usize),
    /// Everything has stopped.
    Finished,
}

/// What happened, as the driver reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The unit's program runs as this process.
    Launched(usize, i32),
    /// An attempt to see whether the unit is ready failed: what was tried, and the result.
    ProbeFailed(usize, String),
    /// The unit said that it is ready.
    Ready(usize),
    /// The unit reported what it does, as a text for users.
    StatusText(usize, String),
    /// The check with this number ended; the error says why it failed.
    Checked(usize, u64, Result<(), String>),
    /// All processes of the unit have ended.
    Exited(usize, Outcome),
    /// The stop command ended, with success or not.
    Asked(usize, bool),
    /// Start these units, and what they need.
    Start(Vec<usize>),
    /// Stop these units; the text names the requester.
    Stop(Vec<usize>, String),
    /// Restart these units; the text names the requester.
    Restart(Vec<usize>, String),
    /// Stop everything; the second time, kill everything.
    Shutdown,
    /// Time passed.
    Tick,
}

/// The progress of a unit that ends for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is being stopped.
    Begun,
    /// None of its processes runs.
    Over,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and ended.
    Ended(Exit),
    /// It could not be started.
    NotStarted(String),
    /// It could not be started because the machine lacked a resource for it.
    HeldUp(String),
    /// It could not be started because its program does not exist.
    NotFound(String),
}

/// A transition of a unit from one state to the next. States that last no time appear here as well: they carry reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The unit.
    pub unit: usize,
    /// The state before; `None` for the first state.
    pub from: Option<UnitState>,
    /// The state now.
    pub to: UnitState,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub when: Now,
}

/// A unit's state as other modules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: UnitState,
    /// Why it is in this state.
    pub reason: String,
    /// Since when it is in this state.
    pub since: Now,
    /// Its main process.
    pub pid: Option<i32>,
    /// How often it was restarted automatically.
    pub restarts: u32,
    /// The result of its checks, if it has checks.
    pub health: Option<UnitHealth>,
    /// Its own status text; may be empty.
    pub status_text: String,
    /// Who requested its stop, until it is wanted again.
    pub stopped_by: Option<String>,
    /// Whether it starts only on request, and was never requested.
    pub off: bool,
}
