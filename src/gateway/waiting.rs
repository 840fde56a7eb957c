//! What stands in for a service that is not ready: where it stands, what it waits for and what it printed last. The
//! page enters by itself when the service answers, and asks for nothing until then: the gateway tells it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::{page, tunnel};
use crate::logs::{Line, Logs};
use crate::observe::{Snapshot, UnitState, Watch};
use crate::plan::routes::Route;

/// Lines of the log that are shown.
const LINES: usize = 12;

/// Where the events come from.
pub(super) const EVENTS: &str = "/desktopd/wait/events";

/// Proxies on the way cut connections on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// How often a service that calls itself ready is tried while somebody waits for it: at first, and at most.
const RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// Where a service stands, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    /// What a person reads first.
    headline: String,
    /// The state's name.
    state: &'static str,
    /// Why.
    reason: String,
    /// What it waits for, with the states of those.
    needs: Vec<Need>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Need {
    name: String,
    state: &'static str,
}

/// Where the service behind a route stands; `None` when requests should simply be sent there.
pub(super) fn standing(snapshot: &Snapshot, route: &Route) -> Option<Standing> {
    let unit = snapshot.unit(&route.unit)?;
    let stands = match unit.state {
        UnitState::Ready | UnitState::Done => return None,
        UnitState::Waiting | UnitState::Starting => "is starting",
        UnitState::Backoff => "ended and will be started again",
        UnitState::Stopping => "is stopping",
        UnitState::Stopped => "is stopped",
        UnitState::Failed => "has failed",
        UnitState::Skipped => "is not available here",
    };
    let headline = format!("{} {stands}", page::plain(&route.title));
    let named = |name: &str| {
        unit.reason.split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).any(|word| word == name)
    };
    let needs = snapshot.units.iter().filter(|other| other.name != unit.name && named(&other.name));
    let needs = needs.map(|other| Need { name: other.name.clone(), state: other.state.name() }).collect();
    Some(Standing { headline, state: unit.state.name(), reason: page::plain(&unit.reason), needs })
}

/// Where a service stands that is ready and yet cannot be reached.
pub(super) fn silent(route: &Route, reason: &str) -> Standing {
    let title = page::plain(&route.title);
    if route.unit.is_empty() {
        // Somebody else's: of a service that was not started yet nothing is known.
        let headline = format!("{title} does not answer yet");
        let reason = format!("nothing answers at {}: {reason}", route.upstream);
        return Standing { headline, state: "unknown", reason, needs: Vec::new() };
    }
    let headline = format!("{title} does not answer");
    Standing { headline, state: "ready", reason: reason.to_owned(), needs: Vec::new() }
}

/// The page for people, and the same for programs.
pub(super) fn answer(standing: &Standing, route: &Route, logs: &Logs, page: bool) -> Response<Body> {
    let mut response = if page {
        let head = "<script src=\"/desktopd/wait.js\" defer></script>\n\
                    <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n";
        page::html(StatusCode::BAD_GATEWAY, &standing.headline, head, &body(standing, route, logs))
    } else {
        let Standing { headline, state, reason, .. } = standing;
        let unit = Some(&route.unit).filter(|unit| !unit.is_empty());
        let value = json!({ "error": headline, "unit": unit, "state": state, "reason": reason });
        page::json(StatusCode::BAD_GATEWAY, &value)
    };
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

fn body(standing: &Standing, route: &Route, logs: &Logs) -> String {
    let Standing { headline, state, reason, needs } = standing;
    let item = |need: &Need| {
        let name = page::escape(&need.name);
        format!("<li>{name} <span class=\"state {0}\">{0}</span></li>", need.state)
    };
    let needs = needs.iter().map(item).collect::<Vec<_>>().concat();
    let lines: String = logs
        .tail(&route.unit, LINES)
        .iter()
        .map(|line| page::escape(&page::plain(&line.text)) + "\n")
        .collect();
    format!(
        "<main class=\"card wide\">\n<h1 id=\"headline\">{}</h1>\n\
         <p aria-live=\"polite\"><span id=\"state\" class=\"state {state}\">{state}</span> \
         <span id=\"reason\">{}</span></p>\n<ul id=\"needs\">{needs}</ul>\n\
         <pre id=\"log\" aria-label=\"log\">{lines}</pre>\n\
         <p class=\"hint\">This page opens it by itself as soon as it answers.</p>\n</main>\n",
        page::escape(headline),
        page::escape(reason),
    )
}

/// The events for the page: `status`, `lines` (all that is shown), `line` (one more) and `enter`.
pub(super) fn events(route: Arc<Route>, watch: Watch, logs: &Logs) -> Response<Body> {
    // To follow a log makes it, and who is no unit of ours has none.
    let (shown, live) = (!route.unit.is_empty()).then(|| logs.follow(&route.unit, LINES)).unzip();
    let follower = Follower { route, watch, live, shown, last: None, entered: false, retry: RETRY };
    let stream = futures_util::stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    page::protect(response.headers_mut());
    response
}

struct Follower {
    route: Arc<Route>,
    watch: Watch,
    live: Option<tokio::sync::broadcast::Receiver<Line>>,
    shown: Option<Vec<Line>>,
    last: Option<Standing>,
    entered: bool,
    retry: Duration,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        if let Some(shown) = self.shown.take() {
            let lines: Vec<_> = shown.iter().map(|line| page::plain(&line.text)).collect();
            return event("lines", &lines);
        }
        loop {
            let standing = standing(&self.watch.borrow_and_update(), &self.route);
            let ready = standing.is_none();
            if standing.is_some() {
                (self.entered, self.retry) = (false, RETRY);
                if self.last != standing {
                    self.last = standing;
                    return event("status", &self.last);
                }
            } else if !self.entered && tunnel::connect(&self.route.upstream).await.is_ok() {
                // Ready by its own word is not enough: a page that entered too early would only come back.
                self.entered = true;
                return event("enter", &());
            }
            tokio::select! {
                changed = self.watch.changed() => changed.ok()?,
                line = next(self.live.as_mut()) => match line {
                    // The page has no way to replace a row; it gets the row when that has ended.
                    Ok(line) if line.open => {}
                    Ok(line) => return event("line", &page::plain(&line.text)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(self.retry), if ready && !self.entered => {
                    self.retry = (self.retry * 2).min(LONGEST_RETRY);
                }
            }
        }
    }
}

async fn next(live: Option<&mut tokio::sync::broadcast::Receiver<Line>>) -> Result<Line, RecvError> {
    match live {
        Some(live) => live.recv().await,
        None => std::future::pending().await,
    }
}

fn event(name: &str, value: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(value).ok()
}
