//! The figures of the machine: now and in the past, and as a stream with one event a second.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::observe::machine::Report;

use super::sources::Api;
use super::sse::{event, sse};

/// The figures now and the past.
pub(super) async fn show(State(api): State<Api>) -> Json<Report> {
    api.looks.look();
    Json(api.machine.report().await)
}

/// What the stream sends.
#[derive(Deserialize)]
pub(super) struct Shape {
    /// Whether to send only that there is a sample, for pages that then ask for what they show.
    #[serde(default)]
    brief: bool,
}

/// That there is a sample.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sampled {
    /// The number of the sample.
    seq: u64,
    /// When it was taken, in milliseconds since the Unix epoch.
    at: i64,
}

/// First the past, as the event `history`, then each sample as the event `sample`, or only that there is one as the event `sampled`. A client that reads slowly misses
/// samples.
pub(super) async fn stream(
    State(api): State<Api>,
    Query(Shape { brief }): Query<Shape>,
) -> impl IntoResponse {
    let (view, look) = (api.machine.look(), api.looks.hold());
    let history = (!brief).then(|| event("history", &view.history()));
    let samples = stream::unfold((view, look), move |(mut view, look)| async move {
        let sample = view.next().await?;
        let told = if brief {
            event("sampled", &Sampled { seq: sample.seq, at: sample.at })
        } else {
            event("sample", &*sample)
        };
        Some((told, (view, look)))
    });
    sse(stream::iter(history).chain(samples))
}
