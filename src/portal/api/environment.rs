//! The variables and where their values come from. Secrets are masked before they get here, so that all clients that may
//! read states may read these, too.

use axum::Json;
use axum::extract::State;

use super::sources::{Api, Rows};

pub(super) async fn show(State(api): State<Api>) -> Json<Rows> {
    Json(api.variables())
}
