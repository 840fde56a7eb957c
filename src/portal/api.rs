//! The API: the state as JSON, changes as events, and the requests that users may make. The portal's pages and, over
//! the control socket, the command line use the same API.
//!
//! The server of this router decides which clients may make requests; a GET request changes nothing.

mod events;
mod logs;
mod own;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::Wish;
use crate::config::own::{NAMES, is_own};
use crate::gateway::page;
use crate::logs::{ACCESS_LOG, Logs, OWN_LOG};
use crate::observe::{Events, Snapshot, Watch};
use crate::supervise::{Asker, Handle, RequestError, Taken, Verb};

/// Proxies close connections without traffic.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// The least time between two snapshots; changes in between are not sent one by one.
const PACE: Duration = Duration::from_millis(100);

/// Events are sent a moment before their snapshot; a status request waits at most this long for that snapshot.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Maximum number of units in one request.
const MOST_NAMES: usize = 256;

/// Maximum length of a unit's name: the time to compare a name with all names grows with its length. Bytes.
const LONGEST_NAME: usize = 128;

/// The sources of the answers. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    watch: Watch,
    events: Events,
    logs: Logs,
    handle: watch::Receiver<Option<Handle>>,
    /// For control requests to read the configuration again.
    wishes: Option<mpsc::Sender<Wish>>,
}

impl Api {
    /// An API that answers before the first plan exists: until `handle` has a value, changes are refused.
    pub fn new(watch: Watch, events: Events, logs: Logs, handle: watch::Receiver<Option<Handle>>) -> Self {
        Self { watch, events, logs, handle, wishes: None }
    }

    /// The same API, for clients that may have the configuration read again.
    #[must_use]
    pub fn with_wishes(self, wishes: mpsc::Sender<Wish>) -> Self {
        Self { wishes: Some(wishes), ..self }
    }

    /// The name of the log that `asked` means. Only existing logs have one, because following a log creates it.
    fn log_name(&self, asked: &str) -> Result<String, Problem> {
        let snapshot = self.watch.borrow();
        match snapshot.unit(asked) {
            // The access log's name is also an own name of the daemon: the access log is meant if it exists.
            _ if asked == ACCESS_LOG && !self.logs.tail(ACCESS_LOG, 1).is_empty() => Ok(asked.to_owned()),
            _ if is_own(asked) => Ok(OWN_LOG.to_owned()),
            Some(unit) => Ok(unit.name.clone()),
            None => {
                Err(RequestError::Unknown { name: asked.to_owned(), nearest: nearest(&snapshot, asked) }
                    .into())
            }
        }
    }
}

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

/// The body of every error response.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence for the user.
    pub error: String,
}

/// A refusal, with its status code and message.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let response = (self.0, Json(ErrorBody { error: self.1.clone() })).into_response();
        page::said(response, self.1)
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let status = match error {
            RequestError::Unknown { .. } => StatusCode::NOT_FOUND,
            RequestError::Refused { .. } => StatusCode::CONFLICT,
            RequestError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

/// The router of the API.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/status/stream", get(status_stream))
        .route("/api/events", get(events::list))
        .route("/api/events/stream", get(events::stream))
        .route("/api/timeline", get(events::timeline))
        .route("/api/timeline.svg", get(events::timeline_svg))
        .route("/api/logs/{unit}", get(logs::list))
        .route("/api/logs/{unit}/stream", get(logs::stream))
        .route("/api/units/{verb}", post(change))
        .fallback(async || Problem(StatusCode::NOT_FOUND, "there is nothing here".into()))
        .with_state(api)
}

/// The status is never older than the events that the same client can have read before: a client that has read
/// "stopped" from the events finds that state here.
async fn status(State(mut api): State<Api>) -> Json<Arc<Snapshot>> {
    let told = api.events.supervised();
    let caught_up = api.watch.wait_for(|snapshot| snapshot.seq >= told);
    // If no newer snapshot comes, the old one is sent.
    let _ = tokio::time::timeout(CATCH_UP, caught_up).await;
    Json(Arc::clone(&api.watch.borrow()))
}

async fn status_stream(State(api): State<Api>) -> impl IntoResponse {
    let mut watch = api.watch;
    // The first snapshot is sent at once.
    watch.mark_changed();
    let snapshots = stream::unfold((watch, true), async |(mut watch, first)| {
        if !first {
            tokio::time::sleep(PACE).await;
        }
        watch.changed().await.ok()?;
        let snapshot = Arc::clone(&watch.borrow_and_update());
        Some((event("snapshot", &*snapshot), (watch, false)))
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
    let split = own::Split::new(&api, verb, names)?;
    let notes = split.attend(&api, verb).await?;
    let Taken { units, seq } = if split.units.is_empty() {
        Taken { units: Vec::new(), seq: api.watch.borrow().seq }
    } else {
        handle.request(verb, split.units, only, asker.unwrap_or_default().0).await?
    };
    Ok(Json(Units { units, seq, notes }))
}

fn sse(events: impl Stream<Item = Event> + Send + 'static) -> impl IntoResponse {
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn event(name: &str, value: &impl Serialize) -> Event {
    // All values sent here can be serialized; if not, the event has no data.
    Event::default().event(name).json_data(value).unwrap_or_default()
}

/// The name or alias that is most similar to `asked`, if one is similar enough.
pub(crate) fn nearest(snapshot: &Snapshot, asked: &str) -> Option<String> {
    if asked.len() > LONGEST_NAME {
        return None;
    }
    let names = snapshot.units.iter().flat_map(|unit| std::iter::once(&unit.name).chain(&unit.aliases));
    let names = names.map(String::as_str).chain(NAMES);
    let (distance, name) = names.map(|name| (strsim::damerau_levenshtein(name, asked), name)).min()?;
    (distance <= 1 + asked.chars().count() / 4).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
