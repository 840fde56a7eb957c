//! What only the control socket has: what people log in with, and the end. Readers without the right to change things
//! are refused both there.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Where the control socket tells what people log in with.
pub(super) const CREDENTIALS: &str = "/api/credentials";

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

/// `shutdown` is told when somebody asks for the end.
pub(super) fn router(credentials: Credentials, shutdown: Arc<Notify>) -> Router {
    let end = async move || {
        shutdown.notify_one();
        StatusCode::ACCEPTED
    };
    Router::new()
        .route(CREDENTIALS, get(move || async move { Json(credentials) }))
        .route("/api/shutdown", post(end))
}
