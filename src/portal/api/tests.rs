//! Tests of the API.

use super::*;
use crate::logs::{Console, Limits, Logs};
use crate::observe::machine::Report;
use crate::observe::{Event, Observer, Phase, Timeline, UnitState, UnitStatus, What, testing};
use crate::portal::ReloadRequest;
use crate::supervise::{Change, Command, Handle, RequestError};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{mpsc, watch};

fn unit(name: &str) -> UnitStatus {
    let mut unit = testing::unit(name, UnitState::Ready);
    unit.aliases = vec![format!("{name}-alias")];
    unit
}

fn api(handle: Option<Handle>) -> (Router, Observer, Logs, watch::Sender<Option<Handle>>) {
    let (observer, seen) = Observer::new(1, 0);
    observer.update(|snapshot| snapshot.units = vec![unit("selkies"), unit("xorg")]);
    let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 10_000 }, Console::silent());
    let (sender, handle) = watch::channel(handle);
    (router(Api::new(seen, observer.events(), logs.clone(), handle)), observer, logs, sender)
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
    Request::post(path).header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

/// A supervisor that gives the same answer to every request and reports the requests.
fn answering(answer: Result<Taken, RequestError>) -> (Handle, mpsc::Receiver<(Verb, Vec<String>, bool)>) {
    let (sender, mut requests) = mpsc::channel(16);
    let (told, asked) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(Command::Request(request)) = requests.recv().await {
            told.send((request.verb, request.names, request.only)).await.unwrap();
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
async fn figures_of_the_machine_are_a_report_and_a_stream_that_begins_with_the_past() {
    let (router, _observer, _, _sender) = api(None);
    let (status, body) = ask(&router, get("/api/machine")).await;
    let report = serde_json::from_value::<Report>(body).unwrap();
    assert_eq!((status, report.now.unwrap().disks[0].path.as_str()), (StatusCode::OK, "/"));
    assert_eq!((report.history.seconds.step_seconds, report.history.minutes.step_seconds), (1, 60));
    for (path, names) in [
        (
            "/api/machine/stream",
            [("history", "{\"seconds\":{"), ("sample", "{\"seq\":"), ("sample", "{\"seq\":")],
        ),
        ("/api/machine/stream?brief=true", [("sampled", "{\"seq\":"); 3]),
    ] {
        let response = TowerToHyperService::new(router.clone()).call(get(path)).await.unwrap();
        let mut body = response.into_body();
        for (name, begin) in names {
            let event = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let event = String::from_utf8_lossy(&event).into_owned();
            assert!(event.starts_with(&format!("event: {name}\ndata: {begin}")), "{event}");
            assert_eq!(event.len() < 80, path.contains("brief"), "{event}");
        }
    }
}

#[tokio::test]
async fn status_is_never_older_than_the_events() {
    let (router, observer, _, _sender) = api(None);
    let told = observer.events().take(Change::Up(true, 0));
    // Not an event of the supervisor: no snapshot follows it.
    observer.events().record(0, What::Phase { phase: Phase::Running });
    let asked = tokio::spawn(async move { ask(&router, get("/api/status")).await.1 });
    tokio::task::yield_now().await;
    observer.update(|snapshot| {
        snapshot.seq = told;
        snapshot.units.clear();
    });
    let answered = tokio::time::timeout(CATCH_UP / 2, asked).await.expect("as soon as the snapshot is there");
    assert_eq!(answered.unwrap()["units"].as_array().unwrap().len(), 0, "the snapshot after the event");
}

#[tokio::test(start_paused = true)]
async fn status_is_answered_also_when_no_newer_snapshot_comes() {
    let (router, observer, _, _sender) = api(None);
    observer.events().take(Change::Up(true, 0));
    assert_eq!(ask(&router, get("/api/status")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn verbs_reach_the_supervisor() {
    let (handle, mut asked) = answering(Ok(Taken { units: vec!["xorg".into()], seq: 7 }));
    let (router, _observer, _, _sender) = api(Some(handle));
    for (path, verb) in [("start", Verb::Start), ("stop", Verb::Stop), ("restart", Verb::Restart)] {
        let request = post(&format!("/api/units/{path}"), r#"{"names": ["x", "y"]}"#);
        let (status, body) = ask(&router, request).await;
        assert_eq!((status, &body["units"][0], &body["seq"]), (StatusCode::OK, &"xorg".into(), &7.into()));
        assert_eq!(asked.recv().await.unwrap(), (verb, vec!["x".into(), "y".into()], false));
    }
    let (status, _) = ask(&router, post("/api/units/restart", r#"{"names": ["x"], "only": true}"#)).await;
    assert_eq!((status, asked.recv().await.unwrap().2), (StatusCode::OK, true));
}

#[tokio::test]
async fn the_daemons_own_names_never_reach_the_supervisor() {
    let (handle, mut asked) = answering(Ok(Taken { units: vec!["xorg".into()], seq: 7 }));
    let (observer, seen) = Observer::new(1, 0);
    observer.update(|snapshot| snapshot.units = vec![unit("xorg")]);
    let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 10_000 }, Console::silent());
    let (_sender, handle) = watch::channel(Some(handle));
    let api = Api::new(seen, observer.events(), logs, handle);
    let alone = router(api.clone());
    let (reloads, mut requests) = mpsc::unbounded_channel();
    let router = router(api.with_reloads(reloads));
    let answers = tokio::spawn(async move {
        for answer in [Ok(crate::supervise::Replanned::default()), Err("a mistake".to_owned())] {
            let ReloadRequest { reply, .. } = requests.recv().await.expect("a request to reload");
            reply.unwrap().send(answer).unwrap();
        }
    });
    for (router, verb, names, expected, told) in [
        (
            &router,
            "start",
            r#""caddy""#,
            StatusCode::OK,
            "caddy: part of desktopd itself, which runs already",
        ),
        (&router, "stop", r#""xorg","portal""#, StatusCode::CONFLICT, "'portal' is part of desktopd itself"),
        (&router, "restart", r#""caddy","xork""#, StatusCode::NOT_FOUND, "did you mean 'xorg'?"),
        (&alone, "restart", r#""caddy""#, StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        (
            &router,
            "restart",
            r#""gateway","xorg""#,
            StatusCode::OK,
            "read its configuration again: nothing changed",
        ),
        (&router, "restart", r#""xorg","caddy""#, StatusCode::UNPROCESSABLE_ENTITY, "a mistake"),
    ] {
        let request = post(&format!("/api/units/{verb}"), &format!(r#"{{"names": [{names}]}}"#));
        let (status, body) = ask(router, request).await;
        assert!(status == expected && body.to_string().contains(told), "{verb} {names}: {status} {body}");
    }
    answers.await.unwrap();
    // Once, and without the daemon's own name.
    assert_eq!(asked.recv().await.unwrap(), (Verb::Restart, vec!["xorg".to_owned()], false));
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn a_restart_of_the_x_server_goes_to_the_daemons_task_only_after_a_display_failed() {
    let taken = Taken { units: vec!["xvfb".into()], seq: 7 };
    let (handle, mut asked) = answering(Ok(taken.clone()));
    let (observer, seen) = Observer::new(1, 0);
    let mut server = unit("xvfb");
    std::sync::Arc::make_mut(&mut server.info).aliases = vec!["x-server".into()];
    observer.update(|snapshot| snapshot.units = vec![server, unit("kde")]);
    let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 10_000 }, Console::silent());
    let (_sender, handle) = watch::channel(Some(handle));
    let (reloads, mut requests) = mpsc::unbounded_channel();
    let router = router(Api::new(seen, observer.events(), logs, handle).with_reloads(reloads));
    let body = |name: &str| format!(r#"{{"names": ["{name}"]}}"#);
    for (failed, verb, name) in
        [(false, "restart", "x-server"), (true, "restart", "kde"), (true, "start", "x-server")]
    {
        let reasons = if failed { vec!["Xorg ended".to_owned()] } else { Vec::new() };
        observer.update(|snapshot| snapshot.display_failed = reasons);
        let (status, _) = ask(&router, post(&format!("/api/units/{verb}"), &body(name))).await;
        assert_eq!((status, asked.recv().await.unwrap().1), (StatusCode::OK, vec![name.to_owned()]));
    }
    let answers = tokio::spawn(async move {
        let ReloadRequest { restart, reply, .. } = requests.recv().await.expect("a request");
        let restart = restart.expect("a restart");
        assert!(restart.verb == Verb::Restart && restart.names == ["x-server"] && reply.is_none());
        restart.reply.send(Ok(taken)).unwrap();
        // The second one is not answered: everything is being stopped.
        requests.recv().await;
    });
    for expected in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
        let (status, _) = ask(&router, post("/api/units/restart", &body("xvfb"))).await;
        assert_eq!(status, expected);
    }
    answers.await.unwrap();
    assert!(asked.try_recv().is_err());
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
async fn invalid_requests_get_an_error_message() {
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
async fn logs_are_found_by_alias_and_unknown_logs_are_not_created() {
    let (router, _observer, logs, _sender) = api(None);
    for n in 0..5 {
        logs.push("selkies", &format!("line {n}"));
    }
    let (_, body) = ask(&router, get("/api/logs/selkies-alias?lines=2")).await;
    let texts: Vec<_> = body.as_array().unwrap().iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["line 3", "line 4"]);
    let (status, body) = ask(&router, get("/api/logs/selkis")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body["error"], "no service is named 'selkis'; did you mean 'selkies'?");
    assert_eq!(ask(&router, get("/api/logs/desktopd")).await.0, StatusCode::OK);
    for path in ["", "/stream", "/download"] {
        let (status, body) = ask(&router, get(&format!("/api/logs{path}?service=xorg&service=selkis"))).await;
        assert_eq!(
            (status, &body["error"]),
            (StatusCode::NOT_FOUND, &"no service is named 'selkis'; did you mean 'selkies'?".into())
        );
    }
    assert_eq!(logs.names().len(), 1);
}

async fn next(body: &mut Body) -> String {
    let frame = body.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn the_status_stream_follows_the_snapshot() {
    let (router, observer, _, _sender) = api(None);
    let response = TowerToHyperService::new(router).call(get("/api/status/stream")).await.unwrap();
    let mut body = response.into_body();
    assert!(next(&mut body).await.starts_with("event: snapshot\ndata: {"));
    observer.update(|snapshot| snapshot.display = "Xorg on a <GPU>".into());
    assert!(next(&mut body).await.contains("Xorg on a <GPU>"));
}

fn happened(observer: &Observer, unit: &str, to: UnitState, at: i64) {
    observer.events().record(at, What::Unit(testing::change(unit, None, to)));
}

#[tokio::test]
async fn events_are_listed_after_a_number() {
    let (router, observer, _, _sender) = api(None);
    happened(&observer, "xorg", UnitState::Starting, 5);
    let (status, body) = ask(&router, get("/api/events")).await;
    let events: Vec<Event> = serde_json::from_value(body).unwrap();
    assert_eq!((status, events.len(), events[1].unit()), (StatusCode::OK, 2, Some("xorg")));
    for (since, left) in [(0, 2), (1, 1), (2, 0)] {
        let (_, body) = ask(&router, get(&format!("/api/events?since={since}"))).await;
        assert_eq!(body.as_array().unwrap().len(), left, "{since}");
    }
    assert_eq!(ask(&router, get("/api/events?since=x")).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn events_are_streamed_after_a_number_or_from_now_on() {
    let (router, observer, _, _sender) = api(None);
    happened(&observer, "xorg", UnitState::Starting, 5);
    let come_back = Request::get("/api/events/stream?since=0").header("last-event-id", "1");
    for (request, first) in [
        (get("/api/events/stream?since=0"), "\"seq\":1,"),
        (get("/api/events/stream?since=1"), "\"seq\":2,"),
        (come_back.body(Body::empty()).unwrap(), "\"seq\":2,"),
    ] {
        let mut body = TowerToHyperService::new(router.clone()).call(request).await.unwrap().into_body();
        let text = next(&mut body).await;
        assert!(
            text.starts_with("event: event\n") && text.contains(first) && text.contains("id: "),
            "{text}"
        );
    }
    let live = TowerToHyperService::new(router).call(get("/api/events/stream")).await.unwrap();
    happened(&observer, "xorg", UnitState::Ready, 9);
    assert!(next(&mut live.into_body()).await.contains("\"to\":\"ready\""));
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_gets_the_number_of_lost_events() {
    let (router, observer, _, _sender) = api(None);
    let live = TowerToHyperService::new(router).call(get("/api/events/stream")).await.unwrap();
    (0..2500).for_each(|at| happened(&observer, "xorg", UnitState::Ready, at));
    let mut body = live.into_body();
    assert!(next(&mut body).await.starts_with("event: lost\ndata: 500\n"));
    assert!(next(&mut body).await.contains("\"seq\":502,"));
}

#[tokio::test]
async fn the_timeline_is_served_as_json_and_svg() {
    let (router, observer, _, _sender) = api(None);
    happened(&observer, "xorg", UnitState::Starting, 100);
    happened(&observer, "xorg", UnitState::Ready, 300);
    observer.events().record(300, What::Up);
    let (_, body) = ask(&router, get("/api/timeline")).await;
    let timeline: Timeline = serde_json::from_value(body).unwrap();
    assert_eq!((timeline.up, timeline.critical.len()), (Some(300), 2));
    for (path, colour) in [("/api/timeline.svg", "#1b1e28"), ("/api/timeline.svg?theme=dark", "#e7e9f0")] {
        let response = TowerToHyperService::new(router.clone()).call(get(path)).await.unwrap();
        assert_eq!(response.headers()["content-type"], "image/svg+xml");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(colour), "{path}");
    }
}

#[tokio::test]
async fn log_lines_can_be_limited_by_time() {
    let (router, _observer, logs, _sender) = api(None);
    logs.push("xorg", "now");
    let now = jiff::Timestamp::now().as_millisecond();
    for (since, lines) in [(now - 60_000, 1), (now + 60_000, 0)] {
        let (_, body) = ask(&router, get(&format!("/api/logs/xorg?since={since}"))).await;
        assert_eq!(body.as_array().unwrap().len(), lines);
    }
}
