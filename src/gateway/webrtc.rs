//! The way to the desktop's stream without a secure context: WebRTC, which Selkies can speak instead of its WebSocket.
//!
//! It has one mode at a time for everybody, so a person is asked first, and whoever is led to https otherwise is not
//! while it speaks WebRTC already. The page comes from the same host as the stream's, by a click: browsers then let
//! the video play.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::base::Base;
use super::{page, tunnel};
use crate::plan::routes::{Route, Upstream};

/// Where the mode is changed.
pub(super) const PATH: &str = "/desktopd/webrtc";

/// What Selkies says and takes.
const STATUS: &str = "/api/status";
const SWITCH: &str = "/api/switch";

/// How long it may take to say its mode, and to change it: it ends the streams of the other one first.
const ASK: Duration = Duration::from_secs(2);
const CHANGE: Duration = Duration::from_secs(20);

/// More is no answer to these questions.
const ANSWER: usize = 64 * 1024;

/// Whether the service speaks WebRTC now.
pub(super) async fn is_on(upstream: &Upstream) -> bool {
    let asked = tokio::time::timeout(ASK, ask(upstream, Method::GET, STATUS, Bytes::new())).await;
    matches!(asked, Ok(Ok(status)) if status["current_mode"] == "webrtc")
}

/// GET asks whether the mode shall be changed, POST changes it and goes to the stream.
pub(super) async fn answer(route: &Route, method: &Method, base: &Base) -> Response<Body> {
    let title = page::escape(&route.title);
    if *method == Method::POST {
        let wish = json!({ "mode": "webrtc" }).to_string();
        let asked = tokio::time::timeout(CHANGE, ask(&route.upstream, Method::POST, SWITCH, wish.into()));
        let why = match asked.await {
            Ok(Ok(done)) if done["status"] == "success" => return page::redirect(&base.to(&route.path)),
            Ok(Ok(refused)) => refused["message"].as_str().unwrap_or("it refuses").to_owned(),
            Ok(Err(error)) => error,
            Err(_) => "it takes too long".to_owned(),
        };
        let why = page::escape(&why);
        let body = format!("<main class=\"card\">\n<h1>{title} stays as it is</h1>\n<p>{why}</p>\n</main>\n");
        return page::html(StatusCode::BAD_GATEWAY, "WebRTC", (base, ""), &body);
    }
    let address = page::escape(&base.to(PATH));
    let body = format!(
        "<main class=\"card\">\n<h1>{title} by WebRTC</h1>\n\
         <p>WebRTC needs no https. The stream changes for everybody who is connected to it now.</p>\n\
         <form method=\"post\" action=\"{address}\"><button>Switch to WebRTC</button></form>\n</main>\n"
    );
    page::html(StatusCode::OK, "WebRTC", (base, ""), &body)
}

async fn ask(upstream: &Upstream, method: Method, path: &str, body: Bytes) -> Result<Value, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = tunnel::connect(upstream).await.map_err(|error| text(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| text(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| text(&error))?;
        let answer = Limited::new(response.into_body(), ANSWER).collect().await;
        let answer = answer.map_err(|error| text(&error))?.to_bytes();
        serde_json::from_slice(&answer).map_err(|error| text(&error))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // It may end with the last byte of the answer.
        _ = connection => exchange.await,
    }
}
