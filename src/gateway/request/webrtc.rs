//! Switches Selkies to WebRTC, which shows the desktop's stream without a secure context. Selkies can use WebRTC
//! instead of its WebSocket.
//!
//! Selkies has one mode at a time for all users, so the user is asked first; while Selkies uses WebRTC, plain http
//! requests get no page that leads to https. The page of this module is on the same host as the stream, and the user
//! clicks in it: browsers then allow the video to play.

use std::time::Duration;

use axum::BoxError;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::base::Base;
use super::page;
use crate::gateway::upstream::body::Reply;
use crate::gateway::upstream::connect;
use crate::plan::routes::{Route, Upstream};

/// The path where the mode is changed.
pub(crate) const PATH: &str = "/desktopd/webrtc";

/// The API paths of Selkies: to read and to change the mode.
const STATUS: &str = "/api/status";
const SWITCH: &str = "/api/switch";

/// How long Selkies may take to report its mode, and to change it: it first ends the streams of the old mode.
const ASK: Duration = Duration::from_secs(2);
const CHANGE: Duration = Duration::from_secs(20);

/// Larger answers are rejected. Bytes.
const ANSWER: usize = 64 * 1024;

/// Whether the service uses WebRTC now.
pub(crate) async fn is_on(upstream: &Upstream) -> bool {
    let asked = tokio::time::timeout(ASK, ask(upstream, Method::GET, STATUS, Bytes::new())).await;
    matches!(asked, Ok(Ok(status)) if status["current_mode"] == "webrtc")
}

/// GET asks the user whether to change the mode; POST changes it and redirects to the stream.
pub(crate) async fn answer(route: &Route, method: &Method, base: &Base) -> Response<Reply> {
    let title = page::escape(&route.title);
    if *method == Method::POST {
        let wish = json!({ "mode": "webrtc" }).to_string();
        let asked = tokio::time::timeout(CHANGE, ask(&route.upstream, Method::POST, SWITCH, wish.into()));
        let why = match asked.await {
            Ok(Ok(done)) if done["status"] == "success" => return page::redirect(&base.to(&route.path)),
            Ok(Ok(refused)) => refused["message"].as_str().unwrap_or("the service refuses").to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the service takes too long".to_owned(),
        };
        let why = page::escape(&why);
        let body = format!("<main class=\"card\">\n<h1>{title} is unchanged</h1>\n<p>{why}</p>\n</main>\n");
        return page::html(StatusCode::BAD_GATEWAY, "WebRTC", (base, ""), &body);
    }
    let address = page::escape(&base.to(PATH));
    let body = format!(
        "<main class=\"card\">\n<h1>{title} by WebRTC</h1>\n\
         <p>WebRTC needs no https. The stream changes for all users who are connected to it now.</p>\n\
         <form method=\"post\" action=\"{address}\"><button>Switch to WebRTC</button></form>\n</main>\n"
    );
    page::html(StatusCode::OK, "WebRTC", (base, ""), &body)
}

async fn ask(upstream: &Upstream, method: Method, path: &str, body: Bytes) -> Result<Value, BoxError> {
    let stream = connect::connect(upstream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let answer = Limited::new(response.into_body(), ANSWER).collect().await?;
        Ok(serde_json::from_slice(&answer.to_bytes())?)
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end together with the last byte of the answer.
        _ = connection => exchange.await,
    }
}
