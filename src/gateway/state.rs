//! The state of the gateway: its open ports, and what all connections and requests share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::auth::Auth;
use super::limits::ConnectionLimits;
use super::listener::workers::Workers;
use super::metrics::Metrics;
use super::upstream::target::Target;
use crate::logs::Logs;
use crate::observe::Watch;

/// Everything that is needed to handle requests.
pub(super) struct RequestHandler {
    pub(super) auth: Auth,
    pub(super) settings: Settings,
    pub(super) watch: Watch,
    pub(super) logs: Logs,
    pub(super) metrics: Arc<Metrics>,
    /// The portal's pages and API, once they have a port.
    pub(super) pages: OnceLock<Router>,
}

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
    pub(super) target: watch::Sender<Arc<Target>>,
    /// Whether it is an additional port that is open on loopback only.
    pub(super) inside: bool,
    pub(super) stop: CancellationToken,
}
