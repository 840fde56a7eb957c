//! The state of the gateway: its open ports, and what the connections to all of them share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::ConnectionLimits;
use super::listener::workers::Workers;
use super::request::handler::RequestHandler;
use super::upstream::target::SharedTarget;

/// What all connections share.
pub(super) struct Inner {
    pub(super) handler: RequestHandler,
    pub(super) ports: Mutex<BTreeMap<u16, Port>>,
    pub(super) limits: ConnectionLimits,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) workers: Workers,
}

/// An open port. Its target can change while the port is open.
pub(super) struct Port {
    pub(super) target: Arc<SharedTarget>,
    /// Whether it is an additional port that is open on loopback only.
    pub(super) inside: bool,
    pub(super) stop: CancellationToken,
}
