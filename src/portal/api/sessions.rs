//! Who is logged in, and the requests to end a session.

use std::convert::Infallible;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use serde::{Deserialize, Serialize};

use crate::gateway::auth::{Program, Visit};
use crate::gateway::{BrowserAddress, Visitor};
use crate::supervise::Asker;

use super::problem::Problem;
use super::sources::Api;

/// Who is logged in.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sessions {
    /// Whether a login is required.
    pub required: bool,
    /// The sessions that made requests since the daemon started: that of the client first, then the last used.
    pub sessions: Vec<Visit>,
    /// Clients that send credentials with each request.
    pub programs: Vec<Program>,
}

/// A request to end one session, or all other sessions than that of the client. Exactly one of the two.
#[derive(Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndSessions {
    /// The id of the session in [`Sessions`].
    #[serde(default)]
    pub id: Option<String>,
    /// Whether all others are meant, also those that are in no list.
    #[serde(default)]
    pub others: bool,
}

pub(super) async fn list(State(api): State<Api>, client: Client) -> Result<Json<Sessions>, Problem> {
    api.sessions(client.visitor.as_ref()).map(Json)
}

pub(super) async fn end(
    State(api): State<Api>,
    client: Client,
    headers: HeaderMap,
    body: Result<Json<EndSessions>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(wish) = body.map_err(|error| Problem(error.status(), error.body_text()))?;
    let cookies = api.end_sessions(&wish, &client, &headers).await?;
    let cookies = cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)).collect::<Vec<_>>();
    Ok((AppendHeaders(cookies), StatusCode::NO_CONTENT))
}

/// The client of a request about sessions.
pub(in crate::portal) struct Client {
    /// `None` on the control socket.
    pub(in crate::portal) visitor: Option<Visitor>,
    /// Whether the client uses https.
    pub(in crate::portal) secure: bool,
    /// The name of the client in messages.
    pub(in crate::portal) by: Asker,
}

impl FromRequestParts<Api> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Self::Rejection> {
        let found = &parts.extensions;
        Ok(Self {
            visitor: found.get().cloned(),
            secure: found.get::<BrowserAddress>().is_some_and(|address| address.secure),
            by: found.get().cloned().unwrap_or_default(),
        })
    }
}

impl Api {
    /// Who is logged in.
    pub(in crate::portal) fn sessions(&self, visitor: Option<&Visitor>) -> Result<Sessions, Problem> {
        let login = self.login()?;
        let (sessions, programs) = login.auth.visitors(visitor.and_then(|visitor| visitor.session));
        Ok(Sessions { required: login.is_required(), sessions, programs })
    }

    /// Ends sessions. Returns the `Set-Cookie` values for the client.
    pub(in crate::portal) async fn end_sessions(
        &self,
        wish: &EndSessions,
        client: &Client,
        headers: &HeaderMap,
    ) -> Result<Vec<HeaderValue>, Problem> {
        let auth = &self.login()?.auth;
        match (&wish.id, wish.others) {
            (Some(id), false) => {
                if !auth.end(id).await {
                    let text =
                        "there is no such session any more: it has ended, or desktopd was started again";
                    return Err(Problem(StatusCode::NOT_FOUND, text.to_owned()));
                }
                tracing::info!("{} ended a session of the web services", client.by.0);
                Ok(Vec::new())
            }
            (None, true) => {
                let own = client.visitor.as_ref().and_then(|visitor| visitor.session);
                let cookies = auth.end_others(headers, own, client.secure).await;
                let cookies = cookies
                    .ok_or_else(|| Problem(StatusCode::FORBIDDEN, "the session has ended".to_owned()))?;
                tracing::info!("{} ended all other sessions of the web services", client.by.0);
                Ok(cookies)
            }
            _ => Err(Problem(StatusCode::BAD_REQUEST, "either 'id' or 'others' is needed".to_owned())),
        }
    }
}
