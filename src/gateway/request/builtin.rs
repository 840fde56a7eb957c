//! The paths that the gateway itself answers on every port, and the public paths of services: these need no login
//! because clients request them without one (browsers request manifests, certificate authorities challenges).

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

use serde_json::json;

use super::base::Base;
use super::page;
use crate::gateway::upstream::body::Reply;
use crate::observe::{RouteStatus, Snapshot};

/// Paths with this prefix belong to the gateway, whatever the target of the port is.
pub(crate) const PREFIX: &str = "/desktopd/";

/// Pages of cloud providers request this path to find out whether this machine can be reached.
const RESOLVER: &str = "/portal-resolver";

/// Readiness, for load balancers and orchestrators: whether users can log in and see what they should. Not to be
/// confused with `/desktopd/health`, which says only that the daemon runs. A machine that is not ready should get no
/// users, but must not be restarted for that reason.
pub(crate) const READY: &str = "/desktopd/ready";

/// A picture of the desktop, on the portal's port, for clients with a login.
pub(crate) const SCREENSHOT: &str = "/desktopd/screenshot.png";

/// Paths of the portal that show who is connected, the user's name, how this machine is set up, or what is on the screen: only for clients
/// with a login, also where the portal's port needs none.
pub(crate) fn is_private(path: &str) -> bool {
    const NAMES: [&str; 6] =
        [SCREENSHOT, "/settings", "/terminal", "/api/environment", "/api/sessions", "/api/terminal"];
    NAMES.contains(&path)
}

/// The readiness answer: 200 or 503. Clients with a login (`inside`) also get the reason and the state of each route.
pub(crate) fn ready(snapshot: &Snapshot, inside: bool) -> Response<Reply> {
    let status = if snapshot.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut value = json!({ "ready": snapshot.ready });
    if inside {
        let ways = snapshot.routes.iter().map(|RouteStatus { title, port, seen, .. }| {
            json!({ "title": title, "port": port, "state": seen.sight, "service": seen.unit, "reason": seen.text })
        });
        value["reason"] = snapshot.not_ready.join("; ").into();
        value["ways"] = ways.collect();
    }
    page::json(status, &value)
}

/// The answer to a GET that is allowed for all clients and never reaches a service.
pub(crate) fn open(path: &str, base: &Base) -> Option<Response<Reply>> {
    let response = match path {
        "/desktopd/health" | "/ai-dock/health-check" => page::text(StatusCode::OK, "ok"),
        "/desktopd/gateway.css" => asset(
            "text/css; charset=utf-8",
            concat!(include_str!("../assets/tokens.css"), include_str!("../assets/gateway.css")),
        ),
        "/desktopd/wait.js" => asset("text/javascript; charset=utf-8", include_str!("../assets/wait.js")),
        "/ai-dock/pre-auth" => page::redirect(&base.to("/")),
        RESOLVER => for_any_page(page::text(StatusCode::OK, "ok")),
        _ => return None,
    };
    Some(response)
}

/// The answer to a browser's preflight request for the resolver.
pub(crate) fn preflight(path: &str) -> Option<Response<Reply>> {
    (path == RESOLVER).then(|| {
        let mut response = for_any_page(page::text(StatusCode::OK, "ok"));
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
            // Browsers require this when a page from the internet accesses a machine in a private network.
            (HeaderName::from_static("access-control-allow-private-network"), "true"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    })
}

fn for_any_page(mut response: Response<Reply>) -> Response<Reply> {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

/// Whether a GET for this path goes to the service without a login. Only exact names: a service may interpret `..` or
/// an escape sequence differently than we do.
pub(crate) fn is_public(path: &str) -> bool {
    const NAMES: [&str; 6] = [
        "/.well-known/change-password",
        "/.well-known/security.txt",
        "/security.txt",
        "/manifest.json",
        "/manifest.webmanifest",
        "/site.webmanifest",
    ];
    let challenge = path.strip_prefix("/.well-known/acme-challenge/").is_some_and(|token| {
        !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    challenge || NAMES.contains(&path)
}

fn asset(kind: &'static str, text: &'static str) -> Response<Reply> {
    let mut response = page::answer(StatusCode::OK, kind, text);
    // Browsers always ask for it again, so updates take effect; it is cheap to send.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_paths_are_exact() {
        for path in ["/manifest.json", "/.well-known/acme-challenge/abc-_1", "/security.txt"] {
            assert!(is_public(path), "{path}");
        }
        for path in [
            "/",
            "/manifest.json/",
            "/manifest.json/../secret",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/../secret",
            "/.well-known/acme-challenge/..",
            "/.well-known/acme-challenge/%2e%2e",
            "/.well-known/other",
        ] {
            assert!(!is_public(path), "{path}");
        }
    }
}
