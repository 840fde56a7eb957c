//! Values for unit tests of this stage and of the stages to the right.

use super::{RouteStatus, UnitChange, UnitState};

pub(crate) use crate::supervise::testing::unit;

/// A change of the unit `unit`, without a reason.
pub(crate) fn change(unit: &str, from: Option<UnitState>, to: UnitState) -> UnitChange {
    let (unit, reason) = (unit.into(), String::new());
    UnitChange { unit, from, to, reason, health: None, at: 0, pid: None, failure: false }
}

/// The route to the service `unit`, at a port of localhost. Without a unit it is the portal's.
pub(crate) fn route(unit: &str, title: &str, port: u16) -> RouteStatus {
    RouteStatus {
        unit: unit.into(),
        own: unit.is_empty(),
        title: title.into(),
        port,
        path: "/".into(),
        address: format!("http://localhost:{port}/"),
        ..RouteStatus::default()
    }
}
