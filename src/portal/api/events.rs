//! Events: as a list, as a live stream, and as the timeline of the boot.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use futures_util::stream;
use serde::Deserialize;

use crate::observe::events::{Event, Followed};
use crate::observe::timeline::{self, Theme, Timeline};

use super::sources::Api;
use super::sse::{event, sse};

/// Which events to send.
#[derive(Deserialize)]
pub(super) struct From {
    /// The number of the last event that the client knows already.
    since: Option<u64>,
}

pub(super) async fn list(State(api): State<Api>, Query(from): Query<From>) -> Json<Vec<Event>> {
    Json(api.events.since(from.since.unwrap_or(0)))
}

/// Events after a number, or new events only. A browser that reconnects sends the number of its last event by itself.
pub(super) async fn stream(
    State(api): State<Api>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let follower = api.events.follow(last.or(from.since));
    sse(stream::unfold(follower, async |mut follower| {
        let told = match follower.next().await? {
            Followed::Event(next) => event("event", &next).id(next.seq.to_string()),
            Followed::Lost(count) => event("lost", &count),
        };
        Some((told, follower))
    }))
}

fn chart(api: &Api) -> Timeline {
    let snapshot = api.watch.borrow().clone();
    api.events.timeline(&snapshot.units, jiff::Timestamp::now().as_millisecond())
}

pub(super) async fn timeline(State(api): State<Api>) -> Json<Timeline> {
    Json(chart(&api))
}

#[derive(Deserialize)]
pub(super) struct Look {
    theme: Option<String>,
}

pub(super) async fn timeline_svg(State(api): State<Api>, Query(look): Query<Look>) -> impl IntoResponse {
    let theme = if look.theme.as_deref() == Some("dark") { Theme::Dark } else { Theme::Light };
    ([(CONTENT_TYPE, "image/svg+xml")], timeline::svg(&chart(&api), theme))
}
