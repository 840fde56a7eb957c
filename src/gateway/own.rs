//! What the gateway answers by itself on every port, and what it lets through without a login because the outside
//! asks for it without one (browsers for manifests, certificate authorities for challenges).

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL,
};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};

use serde_json::json;

use super::base::Base;
use super::page;
use crate::observe::{RouteStatus, Snapshot};

/// Paths under here belong to the gateway, whatever stands behind the port.
pub(super) const PREFIX: &str = "/desktopd/";

/// Whom pages of providers ask whether this machine can be reached.
const RESOLVER: &str = "/portal-resolver";

/// Whether people can get in and see what they should: for load balancers and orchestrators. That the daemon lives at
/// all is `/desktopd/health`, which is no reason to send anybody here, and never one to start the container anew.
pub(super) const READY: &str = "/desktopd/ready";

/// The answer there: 200, or 503 with the reason. A stranger learns no more than the status says.
pub(super) fn ready(snapshot: &Snapshot, inside: bool) -> Response<Body> {
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

/// The answer to a GET that everybody may send and that no service sees.
pub(super) fn open(path: &str, base: &Base) -> Option<Response<Body>> {
    let response = match path {
        "/desktopd/health" | "/ai-dock/health-check" => page::text(StatusCode::OK, "ok"),
        "/desktopd/gateway.css" => asset("text/css; charset=utf-8", include_str!("assets/gateway.css")),
        "/desktopd/wait.js" => asset("text/javascript; charset=utf-8", include_str!("assets/wait.js")),
        "/ai-dock/pre-auth" => page::redirect(&base.to("/")),
        RESOLVER => for_any_page(page::text(StatusCode::OK, "ok")),
        _ => return None,
    };
    Some(response)
}

/// The answer to a browser that asks beforehand what a page may ask the resolver.
pub(super) fn preflight(path: &str) -> Option<Response<Body>> {
    (path == RESOLVER).then(|| {
        let mut response = for_any_page(page::text(StatusCode::OK, "ok"));
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
            // Asked for where a page of the internet reaches a machine of one's own network.
            (HeaderName::from_static("access-control-allow-private-network"), "true"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    })
}

fn for_any_page(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

/// Whether a GET for this path goes to the service without a login. Exact names only: a service may read `..` or an
/// escape in another way than we do.
pub(super) fn is_public(path: &str) -> bool {
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

fn asset(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = page::answer(StatusCode::OK, kind, text);
    // Asked for again after an update, and cheap to send.
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
