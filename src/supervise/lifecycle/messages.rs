//! What the core and the driver say to each other.

use std::ops::{Index, IndexMut};
use std::time::Duration;

use crate::sys::reaper::Exit;

/// Time since the daemon started.
pub type Now = Duration;

/// The number of a unit. A unit keeps its number while the daemon runs, also across plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitId(pub usize);

impl<T> Index<UnitId> for Vec<T> {
    type Output = T;

    fn index(&self, UnitId(at): UnitId) -> &T {
        &self[at]
    }
}

impl<T> IndexMut<UnitId> for Vec<T> {
    fn index_mut(&mut self, UnitId(at): UnitId) -> &mut T {
        &mut self[at]
    }
}

/// What the core asks the driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start the unit's process. Exactly one [`Event::Exited`] must follow, sooner or later.
    Spawn(UnitId),
    /// Run the unit's stop command.
    RunStopCommand(UnitId),
    /// Send the unit's stop signal.
    Signal(UnitId),
    /// Kill the unit and all processes that belong to it.
    Kill(UnitId),
    /// Check whether the unit still works; [`Event::Checked`] with this number reports the result. A unit has at most
    /// one running check.
    Check(UnitId, u64),
    /// End the running check; its result is not used any more.
    CancelCheck(UnitId),
    /// Everything has stopped.
    Finished,
}

/// What happened, as the driver reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The unit's program runs as this process.
    Launched(UnitId, i32),
    /// An attempt to see whether the unit is ready failed: what was tried, and the result.
    ProbeFailed(UnitId, String),
    /// The unit said that it is ready.
    Ready(UnitId),
    /// The unit reported what it does, as a text for users.
    StatusText(UnitId, String),
    /// The check with this number ended; the error says why it failed.
    Checked(UnitId, u64, Result<(), String>),
    /// All processes of the unit have ended.
    Exited(UnitId, Outcome),
    /// The stop command ended, with success or not.
    StopCommandEnded(UnitId, bool),
    /// Start these units, and what they need.
    Start(Vec<UnitId>),
    /// Stop these units; the text names the requester.
    Stop(Vec<UnitId>, String),
    /// Restart these units; the text names the requester.
    Restart(Vec<UnitId>, String),
    /// Stop everything; the second time, kill everything.
    Shutdown,
    /// Time passed.
    Tick,
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
