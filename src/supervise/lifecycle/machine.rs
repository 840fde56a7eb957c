//! The data of the core. The files beside this one have its transitions.

use super::messages::{Effect, Now, Transition};
use super::unit_runtime::UnitRuntime;

/// All units and their states.
#[derive(Clone, Debug)]
pub struct Core {
    pub(super) runtimes: Vec<UnitRuntime>,
    pub(super) now: Now,
    /// Set while everything is being stopped.
    pub(super) ending: Option<Ending>,
    pub(super) finished: bool,
    pub(super) random: u64,
    /// How many checks were begun, which is also the number of the last one.
    pub(super) checks: u64,
    pub(super) effects: Vec<Effect>,
    pub(super) transitions: Vec<Transition>,
}

/// The stop of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// When the next escalation is due.
    pub(super) deadline: Now,
    /// Whether everything was killed already.
    pub(super) killed: bool,
}

impl Transition {
    pub(super) fn first(unit: usize, runtime: &UnitRuntime) -> Self {
        let (to, reason, when) = (runtime.state.shown(), runtime.reason.clone(), runtime.since);
        Self { unit, from: None, to, reason, when }
    }
}
