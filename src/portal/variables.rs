//! The variables and where their values come from, on the control socket. Secrets are masked before they get here, so
//! that all clients that may read states may read these, too.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch;

use crate::config::env::Row;

/// All variables, as of the last plan.
pub type Rows = Arc<Vec<Row>>;

/// Serves the rows in `rows`.
pub fn router(rows: watch::Receiver<Rows>) -> Router {
    Router::new().route("/api/environment", get(async move || Json(Arc::clone(&rows.borrow()))))
}
