//! Values for unit tests of this stage and of the stages to the right.

use super::RouteStatus;

pub(crate) use crate::supervise::testing::unit;

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
