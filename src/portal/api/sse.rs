//! Streams of events to the client (server-sent events).

use std::convert::Infallible;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use serde::Serialize;

/// Proxies close connections without traffic.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

pub(super) fn sse(events: impl Stream<Item = Event> + Send + 'static) -> impl IntoResponse {
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

pub(super) fn event(name: &str, value: &impl Serialize) -> Event {
    // All values sent here can be serialized; if not, the event has no data.
    Event::default().event(name).json_data(value).unwrap_or_default()
}
