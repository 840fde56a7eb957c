//! One row of the chart: a unit and its states.

use serde::{Deserialize, Serialize};

use crate::observe::UnitState;

/// One unit's bar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "TimelineRow"))]
pub struct Row {
    /// Its name.
    pub unit: String,
    /// Its last state during the boot.
    pub state: UnitState,
    /// The reason for this state.
    pub reason: String,
    /// How often it was started.
    pub attempts: u32,
    /// When it was first started.
    pub started: Option<i64>,
    /// When it was first ready or done.
    pub ready: Option<i64>,
    /// When units that come after it did not have to wait any more.
    #[serde(skip)]
    pub(super) released: Option<i64>,
    /// Whether it is on the critical path.
    pub critical: bool,
    /// Its states in order.
    pub spans: Vec<Span>,
}

/// The time in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Span {
    /// The state.
    pub state: UnitState,
    /// When it began.
    pub from: i64,
    /// When it ended; at most the end of the chart.
    pub to: i64,
}

/// How a state is drawn.
pub(super) struct Look {
    /// For people.
    pub(super) name: &'static str,
    /// One column in a terminal, and the parameter of the escape sequence for its colour.
    pub(super) cell: char,
    pub(super) ansi: u8,
    /// In a picture: the height of a bar, and its colour in a light and a dark theme.
    pub(super) height: i64,
    pub(super) colours: [&'static str; 2],
}

/// All looks: a start on the critical path, another one, waiting, ready, ended.
pub(super) const LOOKS: [Look; 5] = [
    look("starting, on the critical path", '█', 33, 14, ["#c77700", "#f0bd59"]),
    look("starting", '▒', 34, 14, ["#3452d9", "#7d95ff"]),
    look("waiting", '·', 2, 2, ["#c9cedb", "#444b5e"]),
    look("ready", '─', 32, 6, ["#9fd4b3", "#2f6b47"]),
    look("ended", '×', 31, 6, ["#b3261e", "#ff8a80"]),
];

const fn look(name: &'static str, cell: char, ansi: u8, height: i64, colours: [&'static str; 2]) -> Look {
    Look { name, cell, ansi, height, colours }
}

impl Row {
    /// A unit's row without any time.
    pub(super) fn new(unit: &str, state: UnitState) -> Self {
        Self {
            unit: unit.to_owned(),
            state,
            reason: String::new(),
            attempts: 0,
            started: None,
            ready: None,
            released: None,
            critical: false,
            spans: Vec::new(),
        }
    }

    /// How one of its states is drawn, if at all.
    pub(super) fn look(&self, state: UnitState) -> Option<&'static Look> {
        let look = match state {
            UnitState::Starting => usize::from(!self.critical),
            UnitState::Waiting => 2,
            UnitState::Ready | UnitState::Done => 3,
            UnitState::Backoff | UnitState::Failed | UnitState::Stopping => 4,
            UnitState::Stopped | UnitState::Skipped => return None,
        };
        LOOKS.get(look)
    }
}
