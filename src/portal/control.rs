//! What root alone may see and do, on the control socket: what people log in with, the end, and a new plan.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::api::ErrorBody;
use crate::supervise::Replanned;

/// Where the control socket tells who may log in. Readers without the right to change things are refused there.
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

/// What only the composition root can do.
pub enum Wish {
    /// Stop everything and end.
    Shutdown,
    /// Read the configuration again. The answer says what changed, or what is wrong with it.
    Reload(oneshot::Sender<Result<Replanned, String>>),
}

/// `wishes` goes to whoever fulfils them.
pub(super) fn router(credentials: Credentials, wishes: mpsc::Sender<Wish>) -> Router {
    Router::new()
        .route(CREDENTIALS, get(move || async move { Json(credentials) }))
        .route("/api/shutdown", post(shutdown))
        .route("/api/reload", post(reload))
        .with_state(wishes)
}

async fn shutdown(State(wishes): State<mpsc::Sender<Wish>>) -> StatusCode {
    // Nobody to hear it means that the end has come already.
    let _ = wishes.send(Wish::Shutdown).await;
    StatusCode::ACCEPTED
}

async fn reload(State(wishes): State<mpsc::Sender<Wish>>) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = wishes.send(Wish::Reload(reply)).await;
    match answer.await {
        Ok(Ok(changes)) => Json(changes).into_response(),
        Ok(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(ErrorBody { error })).into_response(),
        Err(_) => {
            let error = "the daemon is stopping".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, Json(ErrorBody { error })).into_response()
        }
    }
}
