//! The API: the state as JSON, changes as events, and the requests that users may make. The portal's pages and, over
//! the control socket, the command line use the same API.
//!
//! The server of this router decides which clients may make requests; a GET request changes nothing.

mod display;
mod environment;
mod events;
mod logs;
mod machine;
mod own;
mod problem;
mod screenshot;
mod sessions;
mod sources;
mod sse;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};

use crate::gateway::builtin;
use crate::observe::Snapshot;
use crate::portal::terminal;
use crate::supervise::{Asker, Taken, Verb};

pub(super) use problem::Problem;
pub(super) use sessions::Client;
use sse::{event, sse};

pub(in crate::portal) use logs::gather;
pub use logs::{LogRows, LogStart};
pub use machine::Sampled;
pub use problem::ErrorBody;
pub use sessions::{EndSessions, Sessions};
pub use sources::{Api, Rows};

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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Names {
    /// Names or aliases of units, or names of the daemon itself.
    pub names: Vec<String>,
    /// Whether a restart leaves out the units that `restart-with` names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only: bool,
}

/// The units that a changing request applies to.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
        .route("/api/environment", get(environment::show))
        .route("/api/sessions", get(sessions::list))
        .route("/api/sessions/end", post(sessions::end))
        .route("/api/machine", get(machine::show))
        .route("/api/machine/stream", get(machine::stream))
        .route("/api/logs", get(logs::rows))
        .route("/api/logs/stream", get(logs::stream))
        .route("/api/logs/download", get(logs::download))
        .route("/api/logs/{unit}", get(logs::one))
        .route("/api/units/{verb}", post(change))
        .route("/api/terminal", get(terminal::status))
        .route("/api/terminal/ticket", post(terminal::ticket))
        .route("/api/terminal/socket", get(terminal::socket))
        .route(builtin::SCREENSHOT, get(screenshot::show))
        .fallback(async || Problem(StatusCode::NOT_FOUND, "there is nothing here".into()))
        .with_state(api)
}

/// The status is never older than the events that the same client can have read before: a client that has read
/// "stopped" from the events finds that state here.
async fn status(State(api): State<Api>) -> Json<Arc<Snapshot>> {
    Json(api.caught_up().await)
}

/// What the stream of states sends.
#[derive(Deserialize)]
struct Shape {
    /// Whether to send only that the state changed, for clients that then ask for what they need.
    #[serde(default)]
    brief: bool,
}

/// That the state changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::portal) struct Changed {
    /// When the daemon started, in milliseconds since the Unix epoch: another value means another daemon.
    started_at: i64,
    /// The number of the last event of a unit.
    seq: u64,
}

async fn status_stream(State(api): State<Api>, Query(Shape { brief }): Query<Shape>) -> impl IntoResponse {
    let (mut watch, look) = (api.watch, api.looks.hold());
    // The first snapshot is sent at once.
    watch.mark_changed();
    let snapshots = stream::unfold((watch, look, brief, true), async |(mut watch, look, brief, first)| {
        if !first {
            tokio::time::sleep(PACE).await;
        }
        watch.changed().await.ok()?;
        let snapshot = Arc::clone(&watch.borrow_and_update());
        let told = if brief {
            event("changed", &Changed { started_at: snapshot.started_at, seq: snapshot.seq })
        } else {
            event("snapshot", &*snapshot)
        };
        Some((told, (watch, look, brief, false)))
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
    api.change(verb, names, only, asker.unwrap_or_default().0).await.map(Json)
}

impl Api {
    /// The newest state, which is never older than the events that a client can have read before.
    pub(super) async fn caught_up(&self) -> Arc<Snapshot> {
        self.looks.look();
        let told = self.events.supervised();
        let mut watch = self.watch.clone();
        let caught_up = watch.wait_for(|snapshot| snapshot.seq >= told);
        // If no newer snapshot comes, the old one is used.
        let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
        Arc::clone(&self.watch.borrow())
    }

    /// Carries out a request of `by` for these units.
    pub(super) async fn change(
        &self,
        verb: Verb,
        names: Vec<String>,
        only: bool,
        by: Asker,
    ) -> Result<Units, Problem> {
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
        let handle = self.handle.borrow().clone();
        let Some(handle) = handle else {
            let text = "the daemon is still deciding what to run; try again in a moment";
            return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, text.into()));
        };
        let (own, names) = own::split(self, verb, names)?;
        let notes = own::attend(self, verb, &own).await?;
        let Taken { units, seq } = if names.is_empty() {
            Taken { units: Vec::new(), seq: self.watch.borrow().seq }
        } else {
            self.request(&handle, verb, names, only, by).await?
        };
        Ok(Units { units, seq, notes })
    }
}

#[cfg(test)]
mod tests;
