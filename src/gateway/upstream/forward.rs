//! The proxy: sends requests to services and returns their answers. Both are streamed; no body is delayed or collected.

use std::sync::Arc;

use axum::http::header::{CONNECTION, HeaderValue, UPGRADE};
use axum::http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;

use super::body::Reply;
use super::failed::Failed;
use super::headers::{announce_chunks, prepare_request, strip_hop_by_hop};
use super::upgrade::Hold;
use super::{pool, rewrite, upgrade};
use crate::gateway::auth::SessionGuard;
use crate::gateway::metrics::Upgrade;
use crate::gateway::request::context::RequestContext;
use crate::plan::routes::Route;

/// Sends a request to a service. Our own credentials were already removed from the request.
pub(crate) async fn forward(
    route: &Route,
    mut request: Box<Request<Incoming>>,
    context: &RequestContext,
    guard: impl Fn() -> SessionGuard,
) -> Result<Response<Reply>, Failed> {
    let upstream = &route.upstream;
    let forward_permit = context.resources.slot.forward_permit().ok_or(Failed::Crowded)?;
    prepare_request(request.headers_mut(), &context.from(), (context.secure, context.base.prefix()));
    rewrite::request(route, request.headers_mut());
    announce_chunks(&mut request);
    *request.version_mut() = Version::HTTP_11;
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or(Uri::from_static("/"), Uri::from);
    let mut response = if let Some(protocol) = context.upgrade.clone() {
        let upgrade = Upgrade::of(&request);
        let hold = Hold { guard: guard(), resources: Arc::clone(&context.resources), upgrade };
        let response = Box::pin(upgrade::open(route, *request, protocol, hold)).await?;
        response.map(|body| Reply::of_service(body, None, forward_permit).guarded(guard))
    } else {
        let (response, pooled) = pool::send(upstream, request).await?;
        response.map(|body| Reply::of_service(body, Some(pooled), forward_permit).guarded(guard))
    };
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switched && context.upgrade.is_none() {
        return Err(Failed::broken("the service switched protocols without being asked"));
    }
    let protocol = response.headers().get(UPGRADE).cloned();
    strip_hop_by_hop(response.headers_mut());
    if let Some(protocol) = protocol.filter(|_| switched) {
        response.headers_mut().insert(UPGRADE, protocol);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}
