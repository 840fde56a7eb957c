//! The state of the request handler: everything that all requests share.

use std::sync::{Arc, OnceLock};

use axum::Router;

use crate::gateway::Settings;
use crate::gateway::auth::Auth;
use crate::gateway::metrics::Metrics;
use crate::logs::Logs;
use crate::observe::Watch;

/// Everything that is needed to handle requests.
pub(in crate::gateway) struct RequestHandler {
    pub(in crate::gateway) auth: Auth,
    pub(in crate::gateway) settings: Settings,
    pub(in crate::gateway) watch: Watch,
    pub(in crate::gateway) logs: Logs,
    pub(in crate::gateway) metrics: Arc<Metrics>,
    /// The portal's pages and API, once they have a port.
    pub(in crate::gateway) pages: OnceLock<Router>,
}
