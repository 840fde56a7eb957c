//! The figures of the machine: now and in the past, and as a stream with one event a second.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};

use crate::observe::machine::Report;

use super::sources::Api;
use super::sse::{event, sse};

/// The figures now and the past.
pub(super) async fn show(State(api): State<Api>) -> Json<Report> {
    api.looks.look();
    Json(api.machine.report().await)
}

/// First the past, as the event `history`, then each sample as the event `sample`. A client that reads slowly misses
/// samples.
pub(super) async fn stream(State(api): State<Api>) -> impl IntoResponse {
    let (view, look) = (api.machine.look(), api.looks.hold());
    let history = event("history", &view.history());
    let samples = stream::unfold((view, look), async |(mut view, look)| {
        let sample = view.next().await?;
        Some((event("sample", &*sample), (view, look)))
    });
    sse(stream::iter([history]).chain(samples))
}
