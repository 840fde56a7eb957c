//! Sends requests to services and returns their answers. Both are streamed; no body is delayed or collected.
//!
//! All changes of headers are here, each in the order of its function: [`to_service`] for a request, [`to_client`] for
//! an answer.
//!
//! Invariants: hop-by-hop headers are not passed on; the headers that say where a request came from are set by us only,
//! and our credentials never reach a service; an Origin becomes the service's own only if it was ours or a trusted one,
//! so that a foreign page stays foreign to the service too.

use std::sync::Arc;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CONNECTION, CONTENT_LENGTH,
    COOKIE, EXPECT, HOST, HeaderName, LOCATION, ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER,
    SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};

use super::body::Reply;
use super::connect::Failed;
use super::headers::{FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PREFIX, FORWARDED_PROTO, REAL_IP, has_token};
use super::upgrade::{self, Hold};
use super::{bridge, compress, pool};
use crate::gateway::auth::{Access, Auth, SessionGuard};
use crate::gateway::metrics::Upgrade;
use crate::gateway::request::base::Prefix;
use crate::gateway::request::context::RequestContext;
use crate::gateway::request::{origin, page};
use crate::gateway::state::RequestHandler;
use crate::plan::routes::{Route, Upstream};

/// Headers by which proxies say where a request came from, who sent it, and which address it is really for. Services
/// trust these headers, so clients must not be able to set them.
const CLAIMS: [&str; 16] = [
    "client-ip",
    "forwarded",
    "front-end-https",
    "remote-user",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-remote-user",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
    "x-webauth-user",
];

/// The same, as prefixes of header names.
const FAMILIES: [&str; 3] = ["x-forwarded", "x-auth-request", "cf-"];

/// Sends a request to the service of a route, or to the bridge in front of it, and returns the answer for the client.
pub(crate) async fn forward(
    handler: &RequestHandler,
    route: &Route,
    mut request: Box<Request<Incoming>>,
    access: Access,
    context: &RequestContext<'_>,
) -> Result<Response<Reply>, Failed> {
    if let Some(refusal) = refuse(route, &request) {
        return Ok(refusal);
    }
    let auth = &handler.auth;
    // Taken before the request is sent: if the session is revoked while the service works, its answer ends.
    let guard = auth.guard(access, context.connection.port);
    let wish = compress::Wish::of(handler.settings.compress, request.method(), request.headers());
    auth.strip(request.headers_mut(), access.is_inside());
    if access == Access::Open && !auth.is_open(context.connection.port) {
        // A public path of a port that needs a login.
        request.headers_mut().remove(AUTHORIZATION);
    }
    let sender = (context.from(), context.secure, context.base.prefix());
    to_service(&mut request, route, context.upgrade.clone(), sender, &handler.settings.origins);
    if context.upgrade.is_some() {
        handler.metrics.attach(&mut request);
    }
    let mut response = if request.body().is_end_stream() {
        answer(route, request, context, &guard).await?
    } else {
        // The request body may never end either. Dropping this future cancels the request to the service.
        tokio::select! {
            response = Box::pin(answer(route, request, context, &guard)) => response?,
            () = guard.ended().cancelled() => return Ok(over()),
        }
    };
    if guard.is_revoked() {
        return Ok(over());
    }
    to_client(&mut response, route, auth);
    Ok(compress::answer(wish, response))
}

/// The answer when the session ended while the service was still working on the request.
fn over() -> Response<Reply> {
    page::text(StatusCode::SERVICE_UNAVAILABLE, "the session has ended, or desktopd is stopping")
}

/// The answer of the service, or of the bridge in front of it.
async fn answer(
    route: &Route,
    request: Box<Request<Incoming>>,
    context: &RequestContext<'_>,
    guard: &SessionGuard,
) -> Result<Response<Reply>, Failed> {
    let resources = &context.connection.resources;
    let hold = context.upgrade.as_ref().map(|_| Hold {
        guard: guard.clone(),
        resources: Arc::clone(resources),
        upgrade: Upgrade::of(&request),
    });
    if let Some(bridge) = &route.bridge {
        return Box::pin(bridge::answer(bridge, route, *request, &context.base, hold, guard)).await;
    }
    let forward_permit = resources.slot.forward_permit().ok_or(Failed::Crowded)?;
    let (response, pooled) = if let Some(hold) = hold {
        (Box::pin(upgrade::open(route, *request, hold)).await?, None)
    } else {
        let (response, pooled) = pool::send(&route.upstream, request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failed::broken("the service switched protocols without being asked"));
        }
        (response, Some(pooled))
    };
    Ok(response.map(|body| Reply::of_service(body, pooled, forward_permit).guarded(guard)))
}

/// Makes a client's request into the one for the service. `sender`: the address of the client, whether it uses https,
/// and the path prefix under which it sees us.
fn to_service<B: hyper::body::Body>(
    request: &mut Request<B>,
    route: &Route,
    upgrade: Option<HeaderValue>,
    sender: (HeaderValue, bool, Option<&Prefix>),
    trusted: &[String],
) {
    // A bridge answers by itself.
    if route.bridge.is_some() {
        return;
    }
    *request.version_mut() = Version::HTTP_11;
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or(Uri::from_static("/"), Uri::from);
    let chunks = !request.body().is_end_stream() && request.body().size_hint().exact().is_none();
    let headers = request.headers_mut();
    let (peer, secure, prefix) = sender;
    let local = route.rewrite.localhost.then(|| authority(&route.upstream));
    if let Some(local) = &local {
        // Our own pages are recognised by the Host, so this comes before the Host is replaced. The scheme is the same
        // as in `X-Forwarded-Proto`, if that header is sent to the service.
        let scheme = if secure && route.rewrite.forwarded { "https" } else { "http" };
        own_pages_to(&format!("{scheme}://{local}"), headers, trusted);
    }
    let host = headers.get(HOST).cloned();
    let trailers = headers.get_all(TE).iter().any(|te| has_token(te, "trailers"));
    strip_hop_by_hop(headers);
    join_cookies(headers);
    // `Expect` is answered here, when the service begins to read the body.
    let unwanted = |name: &&HeaderName| **name == EXPECT || is_claim(name.as_str());
    for name in headers.keys().filter(unwanted).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    if headers.contains_key(TRAILER) {
        announce_trailers(headers);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if route.rewrite.forwarded {
        headers.insert(FORWARDED_FOR, peer.clone());
        headers.insert(REAL_IP, peer);
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
        if let Some(prefix) = prefix.and_then(|prefix| HeaderValue::from_str(prefix.as_str()).ok()) {
            headers.insert(FORWARDED_PREFIX, prefix);
        }
        if let Some(host) = &host {
            headers.insert(FORWARDED_HOST, host.clone());
        }
    }
    // `Connection` may have named the Host.
    if let Some(host) = local.and_then(|local| HeaderValue::try_from(local).ok()).or(host) {
        headers.insert(HOST, host);
    }
    if chunks {
        // Otherwise a GET whose length is unknown would silently lose its body.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}

/// Makes a service's answer into the one for the client.
fn to_client<B>(response: &mut Response<B>, route: &Route, auth: &Auth) {
    *response.version_mut() = Version::HTTP_11;
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    // A bridge has no other hop behind it.
    if route.bridge.is_none() {
        let protocol = headers.get(UPGRADE).filter(|_| switched).cloned();
        strip_hop_by_hop(headers);
        if let Some(protocol) = protocol {
            headers.insert(UPGRADE, protocol);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
    }
    if route.rewrite.localhost {
        own_addresses_from(&authority(&route.upstream), headers);
    }
    for (name, value) in &route.rewrite.headers {
        headers.insert(name, value.clone());
    }
    if headers.get_all(SET_COOKIE).iter().any(|cookie| auth.is_our_cookie(cookie)) {
        let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        headers.remove(SET_COOKIE);
        for cookie in cookies.into_iter().filter(|cookie| !auth.is_our_cookie(cookie)) {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

/// The answer to a request that is longer than the service can read.
fn refuse<B>(route: &Route, request: &Request<B>) -> Option<Response<Reply>> {
    let limit = route.rewrite.handshake_limit?;
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    // Services with small buffers copy these out of a handshake; old handshakes had other names.
    let copied = |name: &HeaderName| {
        [HOST, ORIGIN, CONNECTION].contains(name) || name.as_str().starts_with("sec-websocket-")
    };
    let values = request.headers().iter().filter(|(name, _)| copied(name));
    let longest = values.map(|(_, value)| value.len()).max().unwrap_or(0);
    (path.max(longest) > limit).then(|| {
        let why = format!("{} reads no more than {limit} bytes of an address or a header", route.title);
        page::text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why)
    })
}

/// Replaces the Origin and Referer of our own pages by those of the service.
fn own_pages_to(local: &str, headers: &mut HeaderMap, trusted: &[String]) {
    for name in [ORIGIN, REFERER] {
        let Some(page) = headers.get(&name).and_then(|value| value.to_str().ok()) else { continue };
        let path = page.find("://").and_then(|at| page[at + 3..].find('/').map(|end| at + 3 + end));
        let (page, path) = page.split_at(path.unwrap_or(page.len()));
        if origin::is_ours(page, headers, trusted)
            && let Ok(page) = HeaderValue::try_from(format!("{local}{path}"))
        {
            headers.insert(name, page);
        }
    }
}

/// Replaces the service's own addresses in an answer, which a client cannot use.
fn own_addresses_from(local: &str, headers: &mut HeaderMap) {
    let rest = |value: &HeaderValue| {
        let rest = value.to_str().ok()?.split_once("://")?.1.strip_prefix(local)?;
        matches!(rest.as_bytes().first(), None | Some(b'/' | b'?' | b'#')).then(|| rest.to_owned())
    };
    // Redirects to `localhost` would lead clients to their own machine.
    if let Some(path) = headers.get(LOCATION).and_then(rest) {
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        // Two slashes would lead to another host.
        if !path.starts_with("//")
            && let Ok(path) = HeaderValue::try_from(path)
        {
            headers.insert(LOCATION, path);
        }
    }
    // This allows the Origin that we inserted, which is not the Origin of the browser's page.
    if headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).and_then(rest).is_some_and(|rest| rest.is_empty()) {
        headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    }
}

/// Whether a header must not come from a client.
fn is_claim(name: &str) -> bool {
    // Many services read `a_b` as `a-b`, which would bypass what we remove or set.
    name.as_bytes().contains(&b'_')
        || FAMILIES.iter().any(|begin| name.starts_with(begin))
        || CLAIMS.contains(&name)
}

/// Keeps only announcements of trailers that are safe: some services read trailers as headers, so a trailer must not
/// carry a header that we remove or set. Trailers that are not announced are not passed on.
fn announce_trailers(headers: &mut HeaderMap) {
    let announced = headers.get_all(TRAILER).iter().filter_map(|value| value.to_str().ok());
    let announced: Vec<_> = announced
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| {
            let ours = [COOKIE.as_str(), ORIGIN.as_str(), AUTHORIZATION.as_str()];
            !name.is_empty() && !is_claim(name) && !ours.contains(&name.as_str())
        })
        .collect();
    headers.remove(TRAILER);
    if let Some(announced) =
        HeaderValue::try_from(announced.join(", ")).ok().filter(|value| !value.is_empty())
    {
        headers.insert(TRAILER, announced);
    }
}

/// Removes the hop-by-hop headers: the known ones and those that `Connection` names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // One pass over the headers costs less than one search for each possible name.
    let mut unwanted: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    if unwanted.contains(&TRANSFER_ENCODING) {
        // The chunks define the length of the body; a length beside them is wrong, perhaps on purpose.
        headers.remove(CONTENT_LENGTH);
    }
    if unwanted.contains(&CONNECTION) {
        let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let named = named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
        unwanted.extend(named.collect::<Vec<_>>());
    }
    for name in unwanted {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 8] = [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    NAMES.iter().any(|hop| hop == name)
}

/// HTTP/2 may send each cookie in a separate header; HTTP/1.1 allows one header only (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

fn authority(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Tcp(address) => format!("localhost:{}", address.port()),
        Upstream::Name { port, .. } => format!("localhost:{port}"),
        Upstream::Unix { .. } => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests;
