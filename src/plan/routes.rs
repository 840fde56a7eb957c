//! Which ports the gateway opens, and what stands behind each.

use std::net::SocketAddr;

use serde::Serialize;

/// One listening port of the front door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// The unit that answers: its state decides between the service and the waiting page.
    pub unit: String,
    /// What a person reads.
    pub title: String,
    /// The port that the gateway listens on, on all addresses.
    pub listen: u16,
    /// Where the service listens, on loopback.
    pub upstream: SocketAddr,
    /// The path that a link opens.
    pub path: String,
}
