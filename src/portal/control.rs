//! Control requests for root alone, on the control socket: web credentials, shutdown, and reload.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use super::api::{Api, Problem};
use super::credentials::Login;
use crate::config::Secret;
use crate::config::env::weak;

/// The path of the credentials on the control socket. Clients that may only read are refused there.
pub(super) const CREDENTIALS: &str = "/api/credentials";

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

/// `shutdown` is notified when everything is to be stopped.
pub(super) fn router(api: Api, login: Login, shutdown: UnboundedSender<()>) -> Router {
    let shown = login.clone();
    let show = async move || Json(shown.current());
    let change = async move |wanted| change(&login, wanted).await;
    let reload = |why| post(async move |State(api): State<Api>| api.reload(why).await.map(Json));
    Router::new()
        .route(CREDENTIALS, get(show).post(change))
        .route(
            "/api/shutdown",
            post(async move || {
                // Without a receiver the daemon is ending already.
                let _ = shutdown.send(());
                StatusCode::ACCEPTED
            }),
        )
        .route("/api/reload", reload("a reload was requested"))
        .route("/api/changed", reload("a boot step changed inputs of the plan"))
        .with_state(api)
}

async fn change(
    login: &Login,
    wanted: Result<Json<NewCredentials>, JsonRejection>,
) -> Result<Json<Changed>, Problem> {
    let refused = |error: String| Problem(StatusCode::UNPROCESSABLE_ENTITY, error);
    // The rejection's own text may quote what was sent.
    let Ok(Json(wanted)) = wanted else {
        return Err(refused("a user and a password are required".to_owned()));
    };
    let weak = weak::password(&wanted.password, &wanted.user)
        .map(|why| format!("the password can be guessed: {why}"));
    let note = login.auth.replace(&wanted.user, Secret::new(wanted.password)).await.map_err(refused)?;
    let open = "no login is required: WEB_ENABLE_AUTH is false".to_owned();
    Ok(Json(Changed {
        notes: note.into_iter().chain((!login.is_required()).then_some(open)).chain(weak).collect(),
    }))
}
