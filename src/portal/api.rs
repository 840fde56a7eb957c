//! The api: what is true as JSON, what changes as events, and the requests that people may make. The same for the
//! portal's pages and, over the control socket, for the command line.
//!
//! Who may ask is decided by whoever serves this router; nothing here changes anything by GET.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use crate::logs::{Line, Logs, OWN_LOG};
use crate::observe::{Snapshot, Watch};
use crate::supervise::{Handle, RequestError, Verb};

/// Lines of a log that are sent when nobody says how many.
const LINES: usize = 200;

/// More lines than a ring holds are never useful.
const MOST_LINES: usize = 100_000;

/// Proxies on the way cut connections on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// Snapshots follow each other no faster than this; what lies between is not worth sending.
const PACE: Duration = Duration::from_millis(100);

/// Where the answers come from. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    watch: Watch,
    logs: Logs,
    handle: watch::Receiver<Option<Handle>>,
}

impl Api {
    /// An api that answers before there is anything to ask for: until `handle` holds one, changes are refused.
    pub fn new(watch: Watch, logs: Logs, handle: watch::Receiver<Option<Handle>>) -> Self {
        Self { watch, logs, handle }
    }

    /// The name of the log that somebody means. Only what exists has one: following makes a log.
    fn log_name(&self, asked: &str) -> Result<String, Problem> {
        let snapshot = self.watch.borrow();
        match snapshot.unit(asked) {
            Some(unit) => Ok(unit.name.clone()),
            None if asked == OWN_LOG => Ok(OWN_LOG.to_owned()),
            None => {
                Err(RequestError::Unknown { name: asked.to_owned(), nearest: nearest(&snapshot, asked) }
                    .into())
            }
        }
    }
}

/// What a changing request carries.
#[derive(Debug, Serialize, Deserialize)]
pub struct Names {
    /// Units or their aliases.
    pub names: Vec<String>,
}

/// The units that a changing request applies to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Units {
    /// Their names.
    pub units: Vec<String>,
}

/// Any answer that is not a success.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence for people.
    pub error: String,
}

/// A refusal on its way to the client.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(ErrorBody { error: self.1 })).into_response()
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

/// The api's paths.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/events", get(events))
        .route("/api/logs/{unit}", get(log))
        .route("/api/logs/{unit}/stream", get(log_stream))
        .route("/api/units/{verb}", post(change))
        .fallback(async || Problem(StatusCode::NOT_FOUND, "there is nothing here".into()))
        .with_state(api)
}

async fn status(State(api): State<Api>) -> Json<Arc<Snapshot>> {
    Json(Arc::clone(&api.watch.borrow()))
}

async fn events(State(api): State<Api>) -> impl IntoResponse {
    let mut watch = api.watch;
    // The first one comes at once.
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

#[derive(Deserialize)]
struct Window {
    lines: Option<usize>,
}

impl Window {
    fn lines(&self) -> usize {
        self.lines.unwrap_or(LINES).min(MOST_LINES)
    }
}

async fn log(
    State(api): State<Api>,
    Path(unit): Path<String>,
    Query(window): Query<Window>,
) -> Result<Json<Vec<Line>>, Problem> {
    let name = api.log_name(&unit)?;
    Ok(Json(api.logs.tail(&name, window.lines())))
}

async fn log_stream(
    State(api): State<Api>,
    Path(unit): Path<String>,
    Query(window): Query<Window>,
) -> Result<impl IntoResponse, Problem> {
    let name = api.log_name(&unit)?;
    let (shown, live) = api.logs.follow(&name, window.lines());
    let backlog = stream::iter(shown).map(|line| event("line", &line));
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

async fn change(
    State(api): State<Api>,
    Path(verb): Path<String>,
    body: Result<Json<Names>, JsonRejection>,
) -> Result<Json<Units>, Problem> {
    let verb = match verb.as_str() {
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        other => {
            return Err(Problem(StatusCode::NOT_FOUND, format!("'{other}' is not start, stop or restart")));
        }
    };
    let Json(Names { names }) = body.map_err(|error| Problem(error.status(), error.body_text()))?;
    if names.is_empty() {
        return Err(Problem(StatusCode::BAD_REQUEST, "no unit is named".into()));
    }
    let handle = api.handle.borrow().clone();
    let Some(handle) = handle else {
        let text = "the daemon is still deciding what to run; try again in a moment";
        return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, text.into()));
    };
    Ok(Json(Units { units: handle.request(verb, names).await? }))
}

fn sse(events: impl Stream<Item = Event> + Send + 'static) -> impl IntoResponse {
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn event(name: &str, value: &impl Serialize) -> Event {
    // Everything that is sent here can be serialized; if not, an event without data says nothing wrong.
    Event::default().event(name).json_data(value).unwrap_or_default()
}

fn nearest(snapshot: &Snapshot, asked: &str) -> Option<String> {
    let names = snapshot.units.iter().flat_map(|unit| std::iter::once(&unit.name).chain(&unit.aliases));
    let (distance, name) = names.map(|name| (strsim::damerau_levenshtein(name, asked), name)).min()?;
    (distance <= 1 + asked.chars().count() / 4).then(|| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{Console, Limits};
    use crate::observe::{Observer, UnitState, UnitStatus};
    use crate::supervise::Request as Asked;
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use tokio::sync::mpsc;

    fn unit(name: &str) -> UnitStatus {
        UnitStatus {
            name: name.into(),
            description: String::new(),
            aliases: vec![format!("{name}-alias")],
            state: UnitState::Ready,
            reason: String::new(),
            since: 0,
            pid: None,
            restarts: 0,
            oneshot: false,
        }
    }

    fn api(handle: Option<Handle>) -> (Router, Observer, Logs, watch::Sender<Option<Handle>>) {
        let (observer, seen) = Observer::new(1, 0);
        observer.update(|snapshot| snapshot.units = vec![unit("selkies"), unit("xorg")]);
        let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 10_000 }, Console::silent());
        let (sender, handle) = watch::channel(handle);
        (router(Api::new(seen, logs.clone(), handle)), observer, logs, sender)
    }

    async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, serde_json::Value) {
        let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn get(path: &str) -> Request<Body> {
        Request::get(path).body(Body::empty()).unwrap()
    }

    fn post(path: &str, body: &str) -> Request<Body> {
        Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap()
    }

    /// A supervisor that answers every request in the same way and tells what it was asked.
    fn answering(answer: Result<Vec<String>, RequestError>) -> (Handle, mpsc::Receiver<(Verb, Vec<String>)>) {
        let (sender, mut requests) = mpsc::channel::<Asked>(1);
        let (told, asked) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                told.send((request.verb, request.names)).await.unwrap();
                request.reply.send(answer.clone()).unwrap();
            }
        });
        (Handle::new(sender), asked)
    }

    #[tokio::test]
    async fn status_is_the_snapshot() {
        let (router, _observer, _, _sender) = api(None);
        let (status, body) = ask(&router, get("/api/status")).await;
        assert_eq!((status, &body["units"][0]["name"]), (StatusCode::OK, &"selkies".into()));
        assert_eq!(serde_json::from_value::<Snapshot>(body).unwrap().units.len(), 2);
    }

    #[tokio::test]
    async fn verbs_reach_the_supervisor() {
        let (handle, mut asked) = answering(Ok(vec!["xorg".into()]));
        let (router, _observer, _, _sender) = api(Some(handle));
        for (path, verb) in [("start", Verb::Start), ("stop", Verb::Stop), ("restart", Verb::Restart)] {
            let request = post(&format!("/api/units/{path}"), r#"{"names": ["x", "y"]}"#);
            let (status, body) = ask(&router, request).await;
            assert_eq!((status, &body["units"][0]), (StatusCode::OK, &"xorg".into()));
            assert_eq!(asked.recv().await.unwrap(), (verb, vec!["x".into(), "y".into()]));
        }
    }

    #[tokio::test]
    async fn refusals_have_their_status() {
        let unknown = RequestError::Unknown { name: "x".into(), nearest: None };
        let refused = RequestError::Refused { name: "x".into(), reason: "no GPU".into() };
        for (error, expected) in [
            (unknown, StatusCode::NOT_FOUND),
            (refused, StatusCode::CONFLICT),
            (RequestError::Stopping, StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let (handle, _asked) = answering(Err(error.clone()));
            let (router, _observer, _, _sender) = api(Some(handle));
            let (status, body) = ask(&router, post("/api/units/start", r#"{"names":["x"]}"#)).await;
            assert_eq!((status, &body["error"]), (expected, &error.to_string().into()));
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_request_is_said() {
        let (router, _observer, _, _sender) = api(None);
        for (request, expected) in [
            (post("/api/units/start", r#"{"names":["x"]}"#), StatusCode::SERVICE_UNAVAILABLE),
            (post("/api/units/start", r#"{"names":[]}"#), StatusCode::BAD_REQUEST),
            (post("/api/units/start", "no json"), StatusCode::BAD_REQUEST),
            (post("/api/units/start", "{}"), StatusCode::UNPROCESSABLE_ENTITY),
            (post("/api/units/explode", r#"{"names":["x"]}"#), StatusCode::NOT_FOUND),
            (get("/api/other"), StatusCode::NOT_FOUND),
        ] {
            let (status, body) = ask(&router, request).await;
            assert!(status == expected && body["error"].is_string(), "{status} {body}");
        }
        let (status, _) = ask(&router, get("/api/units/start")).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn logs_are_found_by_alias_and_unknown_ones_are_not_made() {
        let (router, _observer, logs, _sender) = api(None);
        for n in 0..5 {
            logs.push("selkies", &format!("line {n}"));
        }
        let (_, body) = ask(&router, get("/api/logs/selkies-alias?lines=2")).await;
        let texts: Vec<_> = body.as_array().unwrap().iter().map(|line| line["text"].clone()).collect();
        assert_eq!(texts, ["line 3", "line 4"]);
        let (status, body) = ask(&router, get("/api/logs/selkis")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"], "no unit is named 'selkis'; did you mean 'selkies'?");
        assert_eq!(ask(&router, get("/api/logs/desktopd")).await.0, StatusCode::OK);
        assert_eq!(ask(&router, get("/api/logs/nothing-like-it/stream")).await.0, StatusCode::NOT_FOUND);
    }

    async fn next(body: &mut Body) -> String {
        let frame = body.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn events_follow_the_snapshot() {
        let (router, observer, _, _sender) = api(None);
        let response = TowerToHyperService::new(router).call(get("/api/events")).await.unwrap();
        let mut body = response.into_body();
        assert!(next(&mut body).await.starts_with("event: snapshot\ndata: {"));
        observer.update(|snapshot| snapshot.display = "Xorg on a <GPU>".into());
        assert!(next(&mut body).await.contains("Xorg on a <GPU>"));
    }

    #[tokio::test]
    async fn a_log_stream_goes_on_where_its_backlog_ends() {
        let (router, _observer, logs, _sender) = api(None);
        logs.push("xorg", "one");
        logs.push("xorg", "two\rthree");
        let request = get("/api/logs/xorg/stream?lines=2");
        let mut body = TowerToHyperService::new(router).call(request).await.unwrap().into_body();
        assert!(next(&mut body).await.contains(r#""text":"one""#));
        assert!(next(&mut body).await.contains(r#""text":"two\rthree""#));
        logs.push("xorg", "four");
        assert!(next(&mut body).await.contains(r#""text":"four""#));
    }
}
