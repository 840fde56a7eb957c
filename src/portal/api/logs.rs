//! The output of services, as far as it is still in memory: rows of any set of services in one order, as JSON, as a
//! stream of events, and as text; and the lines of a single log.

mod query;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::logs::{Line, Reader, Row, width};
use crate::sys::terminal;

use super::problem::Problem;
use super::sources::{Api, MOST_VIEWERS};
use super::sse::{event, sse};
use query::Asked;

/// Number of lines of a single log if the request has none.
const LINES: usize = 200;

/// More lines than the buffer in memory has.
const MOST_LINES: usize = 100_000;

/// Number of rows if the request has none.
const ROWS: usize = 500;

/// The most rows in one event, or in one piece of a text.
const ROWS_AT_ONCE: usize = 2000;

/// The most text in one event, or in one piece of a text. A client that reads nothing keeps a few times as much in
/// memory. Bytes.
const TEXT_AT_ONCE: usize = 128 << 10;

/// The most text in one answer. Bytes.
const TEXT_OF_ANSWER: usize = 4 << 20;

/// What a row needs beside its text, about. Bytes.
const OVERHEAD: usize = 100;

/// A hit of a row, about. Bytes.
const HIT: usize = 20;

/// The least time between two events of a stream that has caught up.
const PACE: Duration = Duration::from_millis(50);

/// Which lines of a single log are sent.
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

/// The lines of a single log.
pub(super) async fn one(
    State(api): State<Api>,
    Path(unit): Path<String>,
    Query(window): Query<Window>,
) -> Result<Json<Vec<Line>>, Problem> {
    let name = api.log_name(&unit)?;
    Ok(Json(window.cut(api.logs.tail(&name, window.lines()))))
}

/// Rows of several services.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogRows {
    /// The services that the rows can be of.
    pub services: Vec<String>,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// What `after` has to be in a request that continues here.
    pub after: String,
    /// Whether there is more already.
    pub more: bool,
}

/// The first event of a stream.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogStart {
    /// The services that the rows can be of.
    pub services: Vec<String>,
}

type Words = Query<Vec<(String, String)>>;

pub(super) async fn rows(State(api): State<Api>, Query(words): Words) -> Result<Json<LogRows>, Problem> {
    gather(&api, &words).await.map(Json)
}

/// The rows that the keys and values of a query ask for, as far as one answer may be long.
pub(in crate::portal) async fn gather(api: &Api, words: &[(String, String)]) -> Result<LogRows, Problem> {
    let asked = Asked::read(api, words, None)?;
    let mut reader = asked.reader(api, if asked.row.is_some() { ROWS / 2 } else { ROWS });
    let mut answer = LogRows { services: asked.services, rows: Vec::new(), after: String::new(), more: true };
    let mut size = 0;
    // Around a row, not all that came later.
    let most = asked.row.map_or(usize::MAX, |_| ROWS);
    while answer.more && size < TEXT_OF_ANSWER && answer.rows.len() < most {
        let step = reader.step(TEXT_AT_ONCE, ROWS_AT_ONCE.min(most - answer.rows.len()));
        size += step.rows.iter().map(|row| row.text.len() + row.hits.len() * HIT + OVERHEAD).sum::<usize>();
        answer.rows.extend(step.rows);
        answer.more = step.more;
        // Others have their turn.
        tokio::task::yield_now().await;
    }
    answer.after = reader.cursor().to_string();
    Ok(answer)
}

/// Rows that come one after the other.
struct Feed {
    reader: Reader,
    follow: bool,
    /// Whether the client has all rows that were there when it came.
    caught_up: bool,
    last: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    fn new(api: &Api, asked: &Asked, rows: usize) -> Result<Self, Problem> {
        let permit = Arc::clone(&api.viewers).try_acquire_owned().map_err(|_| {
            let text = format!("{MOST_VIEWERS} clients read logs already, and no more may; end one of them");
            Problem(StatusCode::SERVICE_UNAVAILABLE, text)
        })?;
        let reader = asked.reader(api, rows);
        Ok(Self { reader, follow: asked.follow, caught_up: false, last: Instant::now(), _permit: permit })
    }

    /// The next rows; `None` at the end.
    async fn next(&mut self) -> Option<Vec<Row>> {
        loop {
            if self.caught_up {
                if !self.follow {
                    return None;
                }
                // Some tens of events a second are enough for the eye; a client that has not caught up needs more.
                tokio::time::sleep_until(self.last + PACE).await;
            }
            let step = self.reader.step(TEXT_AT_ONCE, ROWS_AT_ONCE);
            self.caught_up |= !step.more;
            if !step.rows.is_empty() {
                self.last = Instant::now();
                return Some(step.rows);
            }
            if step.more {
                tokio::task::yield_now().await;
            } else if self.follow {
                self.reader.changed().await;
            }
        }
    }
}

/// Rows as events. The number of an event is what `after` has to be to continue there.
pub(super) async fn stream(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(words): Words,
) -> Result<impl IntoResponse, Problem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let asked = Asked::read(&api, &words, last)?;
    let feed = Feed::new(&api, &asked, ROWS)?;
    let follow = asked.follow;
    let start = event("start", &LogStart { services: asked.services });
    let rows = stream::unfold(feed, async |mut feed| {
        let rows = feed.next().await?;
        let id = feed.reader.cursor().to_string();
        Some((event("rows", &rows).id(id), feed))
    });
    // A browser would connect again after the end; this event says that there is no more.
    let end = stream::iter((!follow).then(|| event("end", &())));
    Ok(sse(stream::iter([start]).chain(rows).chain(end)))
}

/// Rows as text, as `desktopd logs` prints them.
pub(super) async fn download(State(api): State<Api>, Query(words): Words) -> Result<Response, Problem> {
    let mut asked = Asked::read(&api, &words, None)?;
    asked.follow = false;
    let width = width(asked.services.iter().map(String::as_str));
    let colours = asked.colours;
    let feed = Feed::new(&api, &asked, usize::MAX)?;
    let text = stream::unfold((feed, width, colours), async |(mut feed, width, colours)| {
        let rows = feed.next().await?;
        let text: String = rows.iter().flat_map(|row| [line(row, width, colours), "\n".into()]).collect();
        Some((Ok::<_, Infallible>(Bytes::from(text)), (feed, width, colours)))
    });
    let name = format!("attachment; filename=\"{}\"", file_name(&host(), jiff::Timestamp::now()));
    let mut response = Body::from_stream(text).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn line(row: &Row, width: Option<usize>, colours: bool) -> String {
    let name = width.map(|width| format!("{:width$}", row.service));
    let text = if colours { (&*row.text).into() } else { terminal::without_colours(&row.text) };
    row.line(name.as_deref(), &text)
}

fn host() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// The name of a downloaded file: where and when.
fn file_name(host: &str, at: jiff::Timestamp) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let host: String = host.chars().filter(|c| plain(*c)).take(64).collect();
    let host = if host.is_empty() { "desktop" } else { &host };
    format!("logs-{host}-{}.txt", at.strftime("%Y%m%dT%H%M%SZ"))
}

#[cfg(test)]
mod tests;
