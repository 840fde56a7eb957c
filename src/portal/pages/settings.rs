//! Settings: who is connected, the credentials, the variables with their origin, and versions.

mod credentials;
mod sessions;
mod variables;
mod versions;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Query};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::routing::{get, post};
use maud::html;
use serde::Deserialize;

use crate::portal::api::{Api, Client};

use super::shell::{self, Answer, Page};
use super::view::View;

/// The largest form of this page, in bytes: a password and little else.
const FORM: usize = 16 * 1024;

#[derive(Deserialize)]
struct Asked {
    /// What a person is asked about: a session, or all others.
    #[serde(default)]
    ask: String,
}

/// The page, and what its forms send to.
pub(super) fn router() -> Router<Api> {
    // A person who opens the address of a form gets the page with the form.
    let back = async || (StatusCode::SEE_OTHER, [(LOCATION, "./settings")]);
    Router::new()
        .route("/settings", get(page))
        .route("/credentials", post(credentials::show).get(back))
        .route("/end-session", post(sessions::end).get(back))
        .layer(DefaultBodyLimit::max(FORM))
}

async fn page(view: View, client: Client, Query(asked): Query<Asked>) -> Answer {
    let body = html! {
        div.head { h1 { "Settings" } }
        (sessions::section(&view, &client, &asked.ask))
        (credentials::section(&view))
        (variables::section(&view))
        (versions::section())
    };
    shell::page(&view, Page::Settings, "Settings", &body)
}
