//! Real answers of the real router, held against the document.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::table::{Answer, Endpoint};
use super::{Made, made};
use crate::config::secret::Secret;
use crate::config::{Config, Environment};
use crate::facts::Facts;
use crate::facts::gpu::Answers;
use crate::gateway::auth::{Auth, Password};
use crate::logs::{Console, Limits, Logs};
use crate::observe::{Observer, RouteStatus, UnitState, testing};
use crate::plan::Plan;
use crate::plan::display::Report;
use crate::portal::{self, Api, Credentials, DisplayState, Login};

/// How long the events of a stream may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Desk {
    observer: Observer,
    logs: Logs,
    router: axum::Router,
}

/// What draws on a machine without GPUs.
fn report() -> Arc<Report> {
    let root = tempfile::tempdir().unwrap();
    let env = Environment::new(Vec::new(), &[], &mut Vec::new());
    let config = Config::read("/nowhere".into(), env, Vec::new());
    let facts = Facts::probe(&config, root.path(), &Answers::default());
    Plan::build(&config, &facts).report
}

/// A portal in which everything has something to say.
fn desk() -> Desk {
    let (observer, seen) = Observer::new(1, 0);
    let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 100_000 }, Console::silent());
    let (_, handle) = watch::channel(None);
    let display = DisplayState { report: report(), failures: Vec::new() };
    let (_, displays) = watch::channel(Some(Arc::new(display)));
    let accepted = crate::gateway::auth::Credentials {
        user: "user".to_owned(),
        password: Password::Plain(Secret::new("password")),
        tokens: Vec::new(),
        password_as_token: false,
        enabled: true,
        excluded: Vec::new(),
        cookie: None,
    };
    let auth = Auth::new(accepted, &[0; 32], 4);
    let given = Credentials {
        user: "user".to_owned(),
        password: None,
        token: String::new(),
        enabled: true,
        chosen: false,
    };
    let (_, variables) = watch::channel(Arc::new(Environment::new(Vec::new(), &[], &mut Vec::new()).rows()));
    let api = Api::new(seen, observer.events(), logs.clone(), handle)
        .with_displays(displays)
        .with_variables(variables)
        .with_login(Login::new(auth, given));
    let desk = Desk { observer, logs, router: portal::router(api) };
    desk.change();
    desk
}

impl Desk {
    /// Something happens: an event, a changed state, and rows.
    fn change(&self) {
        self.observer.update(|snapshot| {
            let state = if snapshot.units.is_empty() { UnitState::Ready } else { UnitState::Backoff };
            let units = ["kde", "selkies"].map(|name| testing::unit(name, state));
            snapshot.units = units.into();
            snapshot.routes =
                vec![RouteStatus::new("Desktop", 6100, "/", Some(&"https://desk.example/".to_owned()))];
            snapshot.notes.push("a note".to_owned());
        });
        self.logs.push("kde", "error: one");
        self.logs.show_row("kde", "10 %", None, true);
    }

    async fn call(&self, endpoint: &Endpoint, query: &str) -> Response {
        let path = endpoint.path.replace("{unit}", "kde").replace("{verb}", "stop");
        let request =
            Request::builder().method(endpoint.method.to_uppercase().as_str()).uri(format!("{path}{query}"));
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(r#"{"names":["kde"]}"#))
            .unwrap();
        TowerToHyperService::new(self.router.clone()).call(request).await.unwrap()
    }
}

/// What is wrong with a value.
fn faults(made: &Made, schema: &Value, value: &Value) -> Vec<String> {
    let mut whole = schema.clone();
    whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    whole["components"] = json!({ "schemas": made.schemas });
    let validator = jsonschema::validator_for(&whole).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[tokio::test]
async fn docs_of_the_api_are_true_of_real_answers() {
    let (made, desk) = (made(), desk());
    for endpoint in &made.endpoints {
        let Answer::Json(schema) = &endpoint.answer else { continue };
        let query = if endpoint.path == "/api/logs" { "?mark=o" } else { "" };
        let response = desk.call(endpoint, query).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&body).unwrap();
        // Nothing is supervised here, and there are no terminals: such a request is refused, as the document says.
        let is_refused = endpoint.method == "post" || endpoint.path == "/api/terminal";
        let schema = if is_refused { &endpoint.error } else { schema };
        let expected: &[u16] = if is_refused { &[400, 404, 422, 503] } else { &[200] };
        assert!(expected.contains(&status), "{}: {status} {value}", endpoint.path);
        assert_ne!(value, json!([]), "{}", endpoint.path);
        assert_eq!(faults(&made, schema.as_value(), &value), [""; 0], "{}: {value}", endpoint.path);
    }
    // The check finds what is wrong.
    let answer = json!({ "names": 1 });
    assert!(!faults(&made, &json!({ "$ref": "#/components/schemas/ErrorBody" }), &answer).is_empty());
}

#[tokio::test]
async fn docs_of_the_api_are_true_of_real_events() {
    let (made, desk) = (made(), desk());
    for endpoint in &made.endpoints {
        let Answer::Events(events) = &endpoint.answer else { continue };
        let mut seen = Vec::new();
        for query in ["?follow=0", "?brief=true"] {
            // Each has keys of its own, and the logs refuse those of others.
            let query = match endpoint.path {
                "/api/logs/stream" => "?follow=0",
                "/api/status/stream" | "/api/machine/stream" => query,
                "/api/events/stream" => "?since=0",
                _ => "",
            };
            let mut body = desk.call(endpoint, query).await.into_body();
            let reading = async {
                while let Some(frame) = body.frame().await {
                    let bytes = frame.unwrap().into_data().unwrap();
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let field = |name: &str| {
                        text.lines()
                            .find_map(|line| line.strip_prefix(name))
                            .map(|value| value.trim().to_owned())
                    };
                    let Some(name) = field("event:") else { continue };
                    let schema = events.iter().find(|(known, _)| *known == name);
                    let (known, schema) =
                        schema.unwrap_or_else(|| panic!("{}: {name} is not in the document", endpoint.path));
                    let value: Value =
                        serde_json::from_str(&field("data:").unwrap_or_default()).unwrap_or_default();
                    assert_eq!(
                        faults(&made, schema.as_value(), &value),
                        [""; 0],
                        "{} {name}: {value}",
                        endpoint.path
                    );
                    let again = seen.contains(known);
                    seen.push(*known);
                    let last = ["end", "changed", "sample", "event", "snapshot"].contains(known);
                    if last || again {
                        break;
                    }
                }
            };
            assert!(
                tokio::time::timeout(PATIENCE, reading).await.is_ok(),
                "{}: only {seen:?}",
                endpoint.path
            );
        }
        let missing: Vec<&&str> =
            events.iter().map(|(name, _)| name).filter(|name| !seen.contains(*name)).collect();
        assert!(missing.is_empty() || missing == [&"lost"], "{}: {missing:?}", endpoint.path);
    }
}
