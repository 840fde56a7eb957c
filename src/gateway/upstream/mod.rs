//! The side of the services: what a request and its answer become on their way, and the connections.

pub(super) mod body;
pub(super) mod bridge;
pub(super) mod compress;
pub(super) mod connect;
pub(super) mod forward;
pub(super) mod headers;
mod pool;
mod relay;
pub(crate) mod socket;
pub(super) mod target;
pub(super) mod upgrade;
