//! The output of units, as far as it is still in memory.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::logs::Line;

use super::problem::Problem;
use super::sources::Api;
use super::sse::{event, sse};

/// Number of lines if the request has none.
const LINES: usize = 200;

/// More lines than the buffer in memory has.
const MOST_LINES: usize = 100_000;

/// Which lines are sent.
#[derive(Deserialize)]
pub(super) struct Window {
    /// How many of the last lines.
    lines: Option<usize>,
    /// Only lines since this time, in milliseconds since the Unix epoch.
    since: Option<i64>,
}

impl Window {
    fn lines(&self) -> usize {
        let all = if self.since.is_some() { MOST_LINES } else { LINES };
        self.lines.unwrap_or(all).min(MOST_LINES)
    }

    fn cut(&self, mut lines: Vec<Line>) -> Vec<Line> {
        lines.retain(|line| self.since.is_none_or(|since| line.at >= since));
        lines
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    Path(unit): Path<String>,
    Query(window): Query<Window>,
) -> Result<Json<Vec<Line>>, Problem> {
    let name = api.log_name(&unit)?;
    Ok(Json(window.cut(api.logs.tail(&name, window.lines()))))
}

pub(super) async fn stream(
    State(api): State<Api>,
    Path(unit): Path<String>,
    Query(window): Query<Window>,
) -> Result<impl IntoResponse, Problem> {
    let name = api.log_name(&unit)?;
    let (shown, live) = api.logs.follow(&name, window.lines());
    let backlog = stream::iter(window.cut(shown)).map(|line| event("line", &line));
    let live = stream::unfold(live, async |mut live: broadcast::Receiver<Line>| {
        let event = match live.recv().await {
            Ok(next) => event("line", &next),
            Err(RecvError::Lagged(lost)) => event("lost", &lost),
            Err(RecvError::Closed) => return None,
        };
        Some((event, live))
    });
    Ok(sse(backlog.chain(live)))
}
