//! Values for unit tests of this stage and of the stages to the right.

use std::ops::DerefMut;
use std::sync::Arc;

use super::{UnitInfo, UnitState, UnitStatus};

/// A unit that has only a name and a state. Tests set other fields by `UnitStatus { …, ..unit(name, state) }`.
pub(crate) fn unit(name: &str, state: UnitState) -> UnitStatus {
    UnitStatus {
        info: Arc::new(UnitInfo { name: name.into(), ..UnitInfo::default() }),
        state,
        reason: String::new(),
        health: None,
        status_text: String::new(),
        stopped_by: None,
        off: false,
        since: 0,
        pid: None,
        restarts: 0,
    }
}

/// Tests set the fields of [`UnitInfo`] as if they were the unit's own.
impl DerefMut for UnitStatus {
    fn deref_mut(&mut self) -> &mut UnitInfo {
        Arc::make_mut(&mut self.info)
    }
}
