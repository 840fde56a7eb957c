//! The variables and where they come from, on the control socket. Secrets are masked before they get here, so that
//! everybody who may look at states may look at these.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch;

use crate::config::env::Row;

/// All variables, as they were at the last plan.
pub type Rows = Arc<Vec<Row>>;

/// Serves what `rows` holds.
pub fn router(rows: watch::Receiver<Rows>) -> Router {
    Router::new().route("/api/environment", get(async move || Json(Arc::clone(&rows.borrow()))))
}
