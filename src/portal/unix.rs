//! The control socket: the api without passwords, because the kernel says who asks.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::api::ErrorBody;
use super::control;
use crate::gateway::listen;

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Everything.
    Change,
    /// Look.
    Read,
    /// Nothing.
    Nothing,
}

/// Serves `router` on a socket until `stop`. `right` decides by the peer's user id, which the kernel vouches for; the
/// socket file's mode decides who gets this far.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    right: impl Fn(u32) -> Right + Send + Sync + 'static,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                listen::not_accepted(error).await;
                continue;
            }
        };
        let right = stream.peer_cred().map_or(Right::Nothing, |peer| right(peer.uid()));
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            let ended = stop.clone();
            let connection =
                listen::serve(stream, move |request| answer(router.clone(), right, request), stop);
            // Streams of events have no end of their own.
            tokio::select! {
                () = connection => {}
                () = async { ended.cancelled().await; tokio::time::sleep(listen::LAST_ANSWER).await } => {}
            }
        });
    }
}

async fn answer(router: Router, right: Right, request: Request<Body>) -> Response {
    let allowed = match right {
        Right::Change => true,
        Right::Read => {
            matches!(*request.method(), Method::GET | Method::HEAD)
                && request.uri().path() != control::CREDENTIALS
        }
        Right::Nothing => false,
    };
    if !allowed {
        let error = "this needs root or the user that the daemon runs as".to_owned();
        return (StatusCode::FORBIDDEN, Json(ErrorBody { error })).into_response();
    }
    match TowerToHyperService::new(router).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
