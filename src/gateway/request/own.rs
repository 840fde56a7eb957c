//! Requests to our own pages.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::page;
use crate::gateway::auth::SessionGuard;
use crate::gateway::upstream::body::Reply;
use crate::gateway::upstream::compress;

/// The largest body of a request to our own pages. Bytes.
const LARGEST: usize = 2 << 20;

/// Answers a request. `is_compressed`: whether style sheets and scripts may be compressed.
pub(super) async fn answer(
    router: Router,
    request: Request<Incoming>,
    guard: SessionGuard,
    is_compressed: bool,
) -> Response<Reply> {
    let wish = compress::Wish::of(is_compressed, request.method(), request.headers());
    let request = match whole(request, &guard).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let Ok(response) = TowerToHyperService::new(router).call(request).await;
    compress::asset(wish, response.map(|body| Reply::from(body).guarded(&guard)))
}

/// Reads the body before the request counts. A client that holds the body back must not act after its session has ended.
async fn whole(request: Request<Incoming>, guard: &SessionGuard) -> Result<Request<Body>, Response<Reply>> {
    if request.body().is_end_stream() {
        return Ok(request.map(Body::new));
    }
    let (parts, body) = request.into_parts();
    let read = tokio::select! {
        biased;
        () = guard.ended().cancelled() => return Err(over()),
        read = Limited::new(body, LARGEST).collect() => read,
    };
    if guard.is_revoked() {
        return Err(over());
    }
    match read {
        Ok(body) => Ok(Request::from_parts(parts, Body::from(body.to_bytes()))),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("the body is too large: at most {LARGEST} bytes are read");
            Err(page::text(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(error) => Err(page::text(StatusCode::BAD_REQUEST, format!("read the body: {error}"))),
    }
}

/// The answer to a client whose session ended while the request arrived.
fn over() -> Response<Reply> {
    page::text(StatusCode::FORBIDDEN, "the session has ended")
}
