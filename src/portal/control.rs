//! Control requests for root alone, on the control socket: web credentials, shutdown, and reload.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::api::ErrorBody;
use super::control_request::ControlRequest;
use crate::config::Secret;
use crate::config::env::weak;
use crate::gateway::auth::Auth;
use crate::supervise::Replanned;

/// The path of the credentials on the control socket. Clients that may only read are refused there.
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
    /// Whether a login is required.
    pub enabled: bool,
    /// Whether user and password were set while the daemon ran, with `set-web-credentials`.
    #[serde(default)]
    pub chosen: bool,
}

/// A new user name and password.
#[derive(Serialize, Deserialize)]
pub struct NewCredentials {
    /// The one user.
    pub user: String,
    /// The password in plain text.
    pub password: String,
}

/// The answer to a change of the credentials.
#[derive(Debug, Serialize, Deserialize)]
pub struct Changed {
    /// Further messages for the user.
    pub notes: Vec<String>,
}

/// `control_requests` receives the control requests.
pub(super) fn router(
    auth: Auth,
    given: Credentials,
    control_requests: mpsc::Sender<ControlRequest>,
) -> Router {
    let enabled = given.enabled;
    let shown = auth.clone();
    let show = async move || Json(current(&shown, given));
    let change = async move |wanted| change(&auth, enabled, wanted).await;
    Router::new()
        .route(CREDENTIALS, get(show).post(change))
        .route("/api/shutdown", post(shutdown))
        .route(
            "/api/reload",
            post(async |control_requests| reload(control_requests, ControlRequest::Reload).await),
        )
        .route(
            "/api/changed",
            post(async |control_requests| reload(control_requests, ControlRequest::Changed).await),
        )
        .with_state(control_requests)
}

/// The credentials that are valid now.
fn current(auth: &Auth, given: Credentials) -> Credentials {
    match auth.user() {
        (user, true) => Credentials { user, password: None, chosen: true, ..given },
        (_, false) => given,
    }
}

async fn change(auth: &Auth, enabled: bool, wanted: Result<Json<NewCredentials>, JsonRejection>) -> Response {
    let refused =
        |error: String| (StatusCode::UNPROCESSABLE_ENTITY, Json(ErrorBody { error })).into_response();
    // The rejection's own text may quote what was sent.
    let Ok(Json(wanted)) = wanted else { return refused("a user and a password are required".to_owned()) };
    let weak = weak::password(&wanted.password, &wanted.user)
        .map(|why| format!("the password can be guessed: {why}"));
    match auth.replace(&wanted.user, Secret::new(wanted.password)).await {
        Err(error) => refused(error),
        Ok(note) => {
            let open = "no login is required: WEB_ENABLE_AUTH is false".to_owned();
            let notes = note.into_iter().chain((!enabled).then_some(open)).chain(weak).collect();
            Json(Changed { notes }).into_response()
        }
    }
}

async fn shutdown(State(control_requests): State<mpsc::Sender<ControlRequest>>) -> StatusCode {
    // If the receiver was dropped, the daemon is ending already.
    let _ = control_requests.send(ControlRequest::Shutdown).await;
    StatusCode::ACCEPTED
}

async fn reload(
    State(control_requests): State<mpsc::Sender<ControlRequest>>,
    kind: fn(oneshot::Sender<Result<Replanned, String>>) -> ControlRequest,
) -> Response {
    let (reply, answer) = oneshot::channel();
    let _ = control_requests.send(kind(reply)).await;
    match answer.await {
        Ok(Ok(changes)) => Json(changes).into_response(),
        Ok(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(ErrorBody { error })).into_response(),
        Err(_) => {
            let error = "the daemon is stopping".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, Json(ErrorBody { error })).into_response()
        }
    }
}
