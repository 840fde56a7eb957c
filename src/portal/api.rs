//! The API: the state as JSON, changes as events, and the requests that users may make. The portal's pages and, over
//! the control socket, the command line use the same API.
//!
//! The server of this router decides which clients may make requests; a GET request changes nothing.

mod display;
mod events;
mod logs;
mod own;
mod problem;
mod sources;
mod sse;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};

use crate::observe::Snapshot;
use crate::supervise::{Asker, Taken, Verb};

pub(super) use problem::Problem;
use sse::{event, sse};

pub use logs::{LogRows, LogStart};
pub use problem::ErrorBody;
pub use sources::Api;

/// The least time between two snapshots; changes in between are not sent one by one.
const PACE: Duration = Duration::from_millis(100);

/// Events are sent a moment before their snapshot; a status request waits at most this long for that snapshot.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Maximum number of units in one request.
const MOST_NAMES: usize = 256;

/// Maximum length of a unit's name: the time to compare a name with all names grows with its length. Bytes.
const LONGEST_NAME: usize = 128;

/// The body of a request that changes units.
#[derive(Debug, Serialize, Deserialize)]
pub struct Names {
    /// Names or aliases of units, or names of the daemon itself.
    pub names: Vec<String>,
    /// Whether a restart leaves out the units that `restart-with` names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only: bool,
}

/// The units that a changing request applies to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Units {
    /// Their names.
    pub units: Vec<String>,
    /// The number of the last event that the request caused at once: later effects have higher numbers.
    pub seq: u64,
    /// What the daemon did itself, if one of its own names was in the request: sentences for the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The router of the API.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/status/stream", get(status_stream))
        .route("/api/display", get(display::show))
        .route("/api/events", get(events::list))
        .route("/api/events/stream", get(events::stream))
        .route("/api/timeline", get(events::timeline))
        .route("/api/timeline.svg", get(events::timeline_svg))
        .route("/api/logs", get(logs::rows))
        .route("/api/logs/stream", get(logs::stream))
        .route("/api/logs/download", get(logs::download))
        .route("/api/logs/{unit}", get(logs::one))
        .route("/api/units/{verb}", post(change))
        .fallback(async || Problem(StatusCode::NOT_FOUND, "there is nothing here".into()))
        .with_state(api)
}

/// The status is never older than the events that the same client can have read before: a client that has read
/// "stopped" from the events finds that state here.
async fn status(State(mut api): State<Api>) -> Json<Arc<Snapshot>> {
    api.looks.look();
    let told = api.events.supervised();
    let caught_up = api.watch.wait_for(|snapshot| snapshot.seq >= told);
    // If no newer snapshot comes, the old one is sent.
    let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
    Json(Arc::clone(&api.watch.borrow()))
}

async fn status_stream(State(api): State<Api>) -> impl IntoResponse {
    let (mut watch, look) = (api.watch, api.looks.hold());
    // The first snapshot is sent at once.
    watch.mark_changed();
    let snapshots = stream::unfold((watch, look, true), async |(mut watch, look, first)| {
        if !first {
            tokio::time::sleep(PACE).await;
        }
        watch.changed().await.ok()?;
        let snapshot = Arc::clone(&watch.borrow_and_update());
        Some((event("snapshot", &*snapshot), (watch, look, false)))
    });
    sse(snapshots)
}

async fn change(
    State(api): State<Api>,
    Path(verb): Path<String>,
    asker: Option<Extension<Asker>>,
    body: Result<Json<Names>, JsonRejection>,
) -> Result<Json<Units>, Problem> {
    let Some(verb) = Verb::ALL.into_iter().find(|known| known.name() == verb) else {
        return Err(Problem(StatusCode::NOT_FOUND, format!("'{verb}' is not start, stop or restart")));
    };
    let Json(Names { names, only }) = body.map_err(|error| Problem(error.status(), error.body_text()))?;
    if names.is_empty() {
        return Err(Problem(StatusCode::BAD_REQUEST, "no service is named".into()));
    }
    if names.len() > MOST_NAMES || names.iter().any(|name| name.len() > LONGEST_NAME) {
        let text = format!("at most {MOST_NAMES} services, by names of at most {LONGEST_NAME} bytes");
        return Err(Problem(StatusCode::BAD_REQUEST, text));
    }
    if only && verb != Verb::Restart {
        return Err(Problem(
            StatusCode::BAD_REQUEST,
            format!("'only' is for restart, not for {}", verb.name()),
        ));
    }
    let handle = api.handle.borrow().clone();
    let Some(handle) = handle else {
        let text = "the daemon is still deciding what to run; try again in a moment";
        return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, text.into()));
    };
    let (own, names) = own::split(&api, verb, names)?;
    let notes = own::attend(&api, verb, &own).await?;
    let Taken { units, seq } = if names.is_empty() {
        Taken { units: Vec::new(), seq: api.watch.borrow().seq }
    } else {
        api.request(&handle, verb, names, only, asker.unwrap_or_default().0).await?
    };
    Ok(Json(Units { units, seq, notes }))
}

#[cfg(test)]
mod tests;
