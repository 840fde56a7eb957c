//! What people log in with, for root on the control socket alone.

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

/// Where the control socket tells it. Readers without the right to change things are refused there.
pub(super) const PATH: &str = "/api/credentials";

/// User, password and token of the web services.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The one user.
    pub user: String,
    /// The password, unless only its hash is known.
    pub password: Option<String>,
    /// The token for `Authorization: Bearer` and `?token=`.
    pub token: String,
    /// Whether anybody is asked for them.
    pub enabled: bool,
}

pub(super) fn router(credentials: Credentials) -> Router {
    Router::new().route(PATH, get(move || async move { Json(credentials) }))
}
