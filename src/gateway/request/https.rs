//! Answers to plain http requests where https is needed: the whole gateway can require https, and some services work
//! only in a browser's secure contexts.
//!
//! Invariants: no redirect loops: a client that uses https to a proxy in front of us is not redirected; no cacheable
//! redirects (no 301, no HSTS), because the same address may belong to another container tomorrow.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;

use super::base::{Base, Prefix};
use super::context::RequestContext;
use super::forwarded;
use super::{builtin, login, origin, page, webrtc};
use crate::gateway::auth::Auth;
use crate::gateway::upstream::body::Reply;
use crate::gateway::upstream::target::Target;

/// The answer to a request that must come by https but did not; `None` if the request may continue. `insists`: https
/// is required for all requests.
pub(crate) async fn instead<B>(
    auth: &Auth,
    insists: bool,
    context: &RequestContext<'_>,
    request: &Request<B>,
) -> Option<Response<Reply>> {
    let headers = request.headers();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // Certificate authorities request their challenges by http.
    let public = reads && builtin::is_public(request.uri().path());
    if context.secure || public || forwarded::is_secure_context(headers) {
        return None;
    }
    if insists {
        return Some(redirect(context, request));
    }
    let Target::Service(route) = context.target else { return None };
    if !context.page || !route.secure_context || origin::is_loopback(headers) {
        return None;
    }
    let mut address = address(context, request)?;
    if let Some(crossing) = auth.crossing(headers) {
        let mark = if address.contains('?') { '&' } else { '?' };
        address = format!("{address}{mark}token={crossing}");
    }
    // Switching to WebRTC works without https, so its page and the login page before it must be reachable.
    let path = request.uri().path();
    let on_the_way = route.webrtc == Some(true) && matches!(path, login::PATH | webrtc::PATH);
    if on_the_way || (route.webrtc.is_some() && webrtc::is_on(&route.upstream).await) {
        return None;
    }
    Some(explain(&route.title, &address, route.webrtc == Some(true), &context.base))
}

/// The same address by https.
fn address<B>(context: &RequestContext<'_>, request: &Request<B>) -> Option<String> {
    let host = origin::host(request.headers())?;
    // A Host without a port means port 80. That port also speaks TLS; `https://` without a port would mean 443.
    let port = if origin::has_port(host)? { "" } else { ":80" };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let prefix = context.base.prefix().map_or("", Prefix::as_str);
    Some(format!("https://{host}{port}{prefix}{path}"))
}

fn redirect<B>(context: &RequestContext<'_>, request: &Request<B>) -> Response<Reply> {
    let error = "this port requires https";
    let location = address(context, request).and_then(|address| HeaderValue::try_from(address).ok());
    // A WebSocket follows no redirect.
    let Some(location) = location.filter(|_| context.upgrade.is_none()) else {
        return page::json(StatusCode::FORBIDDEN, &json!({ "error": error }));
    };
    let mut response = page::text(StatusCode::TEMPORARY_REDIRECT, error);
    response.headers_mut().insert(LOCATION, location);
    response
}

fn explain(title: &str, address: &str, webrtc: bool, base: &Base) -> Response<Reply> {
    let (title, address) = (page::escape(title), page::escape(address));
    let other = format!(
        "<p><a class=\"button second\" id=\"webrtc\" href=\"{}\">Use WebRTC instead</a></p>\n",
        page::escape(&base.to(webrtc::PATH))
    );
    let other = if webrtc { other.as_str() } else { "" };
    let body = format!(
        "<main class=\"card\">\n<h1>{title} needs https</h1>\n\
         <p>Browsers show its pictures only over an encrypted connection, or at <i>localhost</i>.</p>\n\
         <p><a class=\"button\" id=\"https\" href=\"{address}\">Continue by https</a></p>\n{other}\
         <p class=\"hint\">Your browser may show a certificate warning once: unless you have installed a \
         certificate, this machine uses one that it has made itself.</p>\n</main>\n"
    );
    page::html(StatusCode::FORBIDDEN, &format!("{title} needs https"), (base, ""), &body)
}
