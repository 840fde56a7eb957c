//! The state of the request handler: everything that all requests share.

use std::sync::{Arc, OnceLock};

use axum::Router;

use crate::gateway::Settings;
use crate::gateway::auth::Auth;
use crate::gateway::metrics::Metrics;
use crate::logs::Logs;
use crate::observe::Watch;

/// Everything that is needed to handle requests.
pub(crate) struct RequestHandler {
    pub(crate) auth: Auth,
    pub(crate) settings: Settings,
    pub(crate) watch: Watch,
    pub(crate) logs: Logs,
    pub(crate) metrics: Arc<Metrics>,
    /// The portal's pages and API, once they have a port.
    pub(crate) pages: OnceLock<Router>,
}
