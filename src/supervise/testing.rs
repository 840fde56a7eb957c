//! Values for unit tests of this stage and of the stages to the right.

use super::{UnitState, UnitStatus};

/// A unit that has only a name and a state. Tests set other fields by `UnitStatus { …, ..unit(name, state) }`.
pub(crate) fn unit(name: &str, state: UnitState) -> UnitStatus {
    UnitStatus {
        name: name.into(),
        description: String::new(),
        aliases: Vec::new(),
        state,
        reason: String::new(),
        health: None,
        status_text: String::new(),
        stopped_by: None,
        off: false,
        since: 0,
        pid: None,
        restarts: 0,
        oneshot: false,
        needs: Vec::new(),
        after: Vec::new(),
    }
}
