//! The waiting page, in place of a service that is not ready or has nothing to show. It shows which service is the
//! reason and since when, the services that it waits for, its last lines of output, a button where a service has to be
//! started, and links to the other ports. The page opens the service automatically when there is something to see; it
//! does not poll: the gateway sends it events.
//!
//! Streams that are already open stay open: after a restart of the desktop they continue without a reload.

mod markup;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::base::Base;
use super::page;
use crate::gateway::upstream::body::Reply;
use crate::gateway::upstream::connect::{self, Failed};
use crate::logs::{Line, Logs};
use crate::observe::{Seen, Sight, Snapshot, UnitState, Watch, sight};
use crate::plan::routes::Route;
use crate::supervise::Asker;
pub(crate) use markup::START;
use markup::{ANYWAY, LINES, Need, Standing};

/// The path of the event stream.
pub(crate) const EVENTS: &str = "/desktopd/wait/events";

/// How long a page waits for an answer of a service that is unhealthy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Interval of keep-alive messages: proxies in between close idle connections.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// Pause between attempts to connect to a service that is ready, while a page waits for it: at first, and at most.
const RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

const BY_ITSELF: &str = "This page opens it by itself as soon as it answers.";

/// The state of the service behind a route; `None` when requests should be sent to the service. `person`: a user opens
/// a page, so the result is also a state when the page would show nothing. In that case the requests of programs, and
/// of pages that are already open, still go to the service.
pub(crate) fn standing(snapshot: &Snapshot, route: &Route, person: bool) -> Option<Standing> {
    let unit = snapshot.unit(&route.unit)?;
    if !matches!(unit.state, UnitState::Ready | UnitState::Done) {
        return Some(told(snapshot, route, &sight::look(snapshot, &route.unit, &route.shows)));
    }
    let shown = person.then(|| match route.bridge {
        // The pages are files, which are served even if the service does not answer.
        Some(_) => sight::look(snapshot, &route.unit, &route.shows),
        None => sight::shown(snapshot, &route.shows),
    });
    shown.filter(|shown| !shown.sight.is_well()).map(|shown| told(snapshot, route, &shown))
}

/// The same for a waiting page: it does not open the service as long as the service itself is not well.
fn waits(snapshot: &Snapshot, route: &Route) -> Option<Standing> {
    snapshot.unit(&route.unit)?;
    let seen = sight::look(snapshot, &route.unit, &route.shows);
    (seen.sight != Sight::Ready).then(|| told(snapshot, route, &seen))
}

/// Whether the service behind a route, or a service that it needs, runs but is unhealthy.
pub(crate) fn is_unhealthy(snapshot: &Snapshot, route: &Route) -> bool {
    sight::look(snapshot, &route.unit, &route.shows).sight == Sight::Unhealthy
}

/// Whether the user wants to open the service although it is not well.
pub(crate) fn insists(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|part| part == ANYWAY))
}

fn told(snapshot: &Snapshot, route: &Route, seen: &Seen) -> Standing {
    let state = match (seen.sight, seen.state) {
        (Sight::Failed, _) => "has failed",
        (Sight::Unhealthy, _) => "does not answer",
        (_, Some(UnitState::Backoff)) => "ended and will be started again",
        (_, Some(UnitState::Stopping)) => "is stopping",
        (Sight::Stopped, _) | (Sight::Off, Some(UnitState::Stopped)) => "is stopped",
        (Sight::Off, _) => "is not available here",
        (Sight::Starting | Sight::Ready, _) => "is starting",
    };
    let hint = match seen.sight {
        Sight::Off if seen.start.is_empty() => "",
        Sight::Off | Sight::Stopped | Sight::Failed => {
            "It does not start again by itself. When it is started, this page opens it."
        }
        Sight::Unhealthy | Sight::Starting | Sight::Ready => BY_ITSELF,
    };
    let named = |name: &str| {
        seen.text.split(|c: char| !(c.is_alphanumeric() || "-_.".contains(c))).any(|word| word == name)
    };
    let needs = snapshot.units.iter().filter(|other| {
        let own = other.name == seen.unit || other.name == route.unit;
        !own && named(&other.name)
    });
    let unhealthy = seen.sight == Sight::Unhealthy;
    let own_ready = snapshot.unit(&route.unit).is_some_and(|unit| unit.state == UnitState::Ready);
    Standing {
        headline: format!("{} {state}", page::plain(&route.title)),
        unit: seen.unit.clone(),
        state: if unhealthy { seen.sight.name() } else { seen.state.map_or("", UnitState::name) },
        reason: page::plain(&seen.text),
        // `since` is the time since the service is ready, not since it is unhealthy.
        since: if unhealthy { 0 } else { seen.since },
        needs: needs.map(|other| Need { name: other.name.clone(), state: other.state.name() }).collect(),
        hint,
        start: seen.start.clone(),
        anyway: own_ready,
    }
}

/// The state of a service that is ready but cannot be reached.
pub(crate) fn silent(snapshot: &Snapshot, route: &Route, reason: &str) -> Standing {
    let title = page::plain(&route.title);
    if let Some(standing) = waits(snapshot, route) {
        return standing;
    }
    let (headline, state, reason, hint) = if route.unit.is_empty() {
        // An entry of PORTAL_CONFIG: desktopd does not know whether the program behind it was ever started.
        let headline = format!("Nothing answers at {}", route.upstream);
        let reason = format!(
            "{title} is an entry of PORTAL_CONFIG, not a service of this machine: another program must \
             start it ({reason})"
        );
        (headline, "unknown", reason, "This page opens it if something answers there later.")
    } else {
        (format!("{title} does not answer"), "ready", reason.to_owned(), BY_ITSELF)
    };
    Standing { headline, unit: route.unit.clone(), state, reason, hint, ..Standing::default() }
}

/// The answer of a service, or an error if there is none within the limit.
pub(crate) async fn within(
    limit: Option<Duration>,
    answer: impl Future<Output = Result<Response<Reply>, Failed>>,
) -> Result<Response<Reply>, Failed> {
    let Some(limit) = limit else { return answer.await };
    let late = |_| Err(Failed::Unreachable(io::Error::other(format!("no answer within {limit:?}"))));
    tokio::time::timeout(limit, answer).await.unwrap_or_else(late)
}

/// Starts the services without which there is nothing to see, through the portal's API, which has its own rules.
/// `page`: the request came from a page, so the answer redirects back to it; this is the base for its address.
pub(crate) async fn start(
    route: &Route,
    watch: &Watch,
    api: Option<&Router>,
    asker: Asker,
    page: Option<&Base>,
) -> Response<Reply> {
    let names = sight::look(&watch.borrow(), &route.unit, &route.shows).start;
    let back = page.map(|base| base.to(&route.path));
    if names.is_empty() {
        // The button was pressed twice: the service was already started.
        return back.map_or_else(|| page::json(StatusCode::OK, &json!({})), |back| page::redirect(&back));
    }
    let body = Body::from(json!({ "names": names }).to_string());
    let request = Request::post("/api/units/start").header(CONTENT_TYPE, "application/json").body(body);
    let (Some(api), Ok(mut request)) = (api, request) else {
        let error = "the portal has no port, so nothing can be started";
        let error = json!({ "error": error, "service": route.title });
        return page::json(StatusCode::SERVICE_UNAVAILABLE, &error);
    };
    request.extensions_mut().insert(asker);
    let Ok(response) = TowerToHyperService::new(api.clone()).call(request).await;
    match back {
        Some(back) if response.status().is_success() => page::redirect(&back),
        _ => response.map(Reply::from),
    }
}

/// The waiting page for users, or the same information as JSON for programs.
pub(crate) fn answer(
    standing: &Standing,
    snapshot: &Snapshot,
    route: &Route,
    logs: &Logs,
    page: Option<&Base>,
) -> Response<Reply> {
    let mut response = if let Some(base) = page {
        // Without scripts the page reloads itself, unless the user has to start a service first.
        let again = "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n";
        let again = if standing.start.is_empty() { again } else { "" };
        let script = page::escape(&base.to("/desktopd/wait.js"));
        let head = format!("<script src=\"{script}\" defer></script>\n{again}");
        let body = markup::body(standing, snapshot, route, (base, logs));
        page::html(StatusCode::BAD_GATEWAY, &standing.headline, (base, &head), &body)
    } else {
        let Standing { headline, state, reason, .. } = standing;
        let unit = Some(&standing.unit).filter(|unit| !unit.is_empty());
        let value = json!({ "error": headline, "unit": unit, "state": state, "reason": reason });
        page::json(StatusCode::BAD_GATEWAY, &value)
    };
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

/// The events for the page: `status`, `lines` (replaces all shown lines), `line` (one more line) and `enter`.
pub(crate) fn events(route: Arc<Route>, watch: Watch, logs: &Logs) -> Response<Reply> {
    let (logs, retry) = (logs.clone(), RETRY);
    let follower =
        Follower { route, watch, logs, followed: None, shown: None, last: None, entered: false, retry };
    let stream = futures_util::stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    page::protect(response.headers_mut());
    response.map(Reply::from)
}

struct Follower {
    route: Arc<Route>,
    watch: Watch,
    logs: Logs,
    /// The service whose log is followed, which is the one that is the reason, and its lines from now on.
    followed: Option<(String, Receiver<Line>)>,
    shown: Option<Vec<Line>>,
    last: Option<Standing>,
    entered: bool,
    retry: Duration,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let standing = waits(&self.watch.borrow_and_update(), &self.route);
            self.follow(standing.as_ref());
            if let Some(shown) = self.shown.take() {
                let lines: Vec<_> = shown.iter().map(|line| page::plain(&line.text)).collect();
                return event("lines", &lines);
            }
            let ready = standing.is_none();
            if standing.is_some() {
                (self.entered, self.retry) = (false, RETRY);
                if self.last != standing {
                    self.last = standing;
                    return event("status", &self.last);
                }
            } else if !self.entered && connect::connect(&self.route.upstream).await.is_ok() {
                // The ready state alone is not enough: a page that reloads too early would get the waiting page again.
                self.entered = true;
                return event("enter", &());
            }
            let followed = &mut self.followed;
            tokio::select! {
                changed = self.watch.changed() => changed.ok()?,
                Some(line) = async { Some(followed.as_mut()?.1.recv().await) } => match line {
                    // The page cannot replace a line, so it gets a line only when the line is complete.
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

    /// Follows the log of the service that is the reason, or of the route's own service.
    fn follow(&mut self, standing: Option<&Standing>) {
        let unit = standing.map_or(&self.route.unit, |standing| &standing.unit);
        // Following a log would create it, and a route without a unit has no log.
        if unit.is_empty() || self.followed.as_ref().is_some_and(|(followed, _)| followed == unit) {
            return;
        }
        let (shown, live) = self.logs.follow(unit, LINES);
        (self.shown, self.followed) = (Some(shown), Some((unit.clone(), live)));
    }
}

fn event(name: &str, value: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(value).ok()
}
