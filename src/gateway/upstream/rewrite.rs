//! Rewrites requests and answers as a route is configured: the service is requested as `localhost`, gets no forwarding
//! headers, or its answers get additional headers.
//!
//! Invariants: an Origin becomes the service's own only if it was ours or a trusted one, so that a foreign page stays
//! foreign to the service too; the Host of the client's request is kept in `X-Forwarded-Host`.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, HOST, HeaderName, LOCATION,
    ORIGIN, REFERER, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::gateway::request::{origin, page};
use crate::plan::routes::{Route, Upstream};

/// The headers that services with small buffers copy out of a handshake.
const HANDSHAKE: [HeaderName; 6] =
    [HOST, ORIGIN, CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION];

/// The answer to a request that is longer than the service can read.
pub(crate) fn refuse<B>(route: &Route, request: &Request<B>) -> Option<Response<Body>> {
    let limit = route.rewrite.handshake_limit?;
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers();
    // Missing headers are not counted; old handshakes had other names.
    let old = headers.iter().filter(|(name, _)| name.as_str().starts_with("sec-websocket-"));
    let values = HANDSHAKE.iter().filter_map(|name| headers.get(name)).chain(old.map(|(_, value)| value));
    let longest = values.map(HeaderValue::len).max().unwrap_or(0);
    (path.max(longest) > limit).then(|| {
        let why = format!("{} reads no more than {limit} bytes of an address or a header", route.title);
        page::text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, why)
    })
}

/// Whether a request asks for one of the old paths that the route's configuration redirects (`moved`).
pub(crate) fn is_moved<B>(route: &Route, request: &Request<B>) -> bool {
    let path = request.uri().path();
    let below =
        |moved: &String| path.strip_prefix(&**moved).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    matches!(*request.method(), Method::GET | Method::HEAD) && route.rewrite.moved.iter().any(below)
}

/// Replaces the Origin and Referer of our own pages by those of the service. Must be called before [`request`], which
/// replaces the Host by which our own pages are recognised.
pub(crate) fn pages(route: &Route, headers: &mut HeaderMap, trusted: &[String], secure: bool) {
    if !route.rewrite.localhost {
        return;
    }
    // The scheme is the same as in `X-Forwarded-Proto`, if that header is sent to the service.
    let scheme = if secure && route.rewrite.forwarded { "https" } else { "http" };
    let local = format!("{scheme}://{}", authority(&route.upstream));
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

/// The last changes before a request is sent to the service. Must be called after `headers::prepare_request`.
pub(crate) fn request(route: &Route, headers: &mut HeaderMap) {
    if route.rewrite.localhost
        && let Ok(host) = HeaderValue::try_from(authority(&route.upstream))
    {
        headers.insert(HOST, host);
    }
    if !route.rewrite.forwarded {
        for name in [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-prefix",
            "x-real-ip",
        ] {
            headers.remove(name);
        }
    }
}

/// Changes an answer on its way to the client.
pub(crate) fn answer(route: &Route, headers: &mut HeaderMap) {
    if route.rewrite.localhost {
        let local = authority(&route.upstream);
        let rest = |value: &HeaderValue| {
            let rest = value.to_str().ok()?.split_once("://")?.1.strip_prefix(local.as_str())?;
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
    for (name, value) in &route.rewrite.headers {
        headers.insert(name, value.clone());
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
mod tests {
    use super::*;
    use crate::config::rewrite::Rewrite;

    fn route(rewrite: Rewrite) -> Route {
        Route {
            unit: "app".into(),
            title: "App".into(),
            listen: 7860,
            inner: None,
            upstream: Upstream::Tcp(([127, 0, 0, 1], 17860).into()),
            bridge: None,
            shows: Vec::new(),
            path: "/".into(),
            url: None,
            secure_context: false,
            webrtc: None,
            rewrite,
        }
    }

    fn local() -> Route {
        route(Rewrite { localhost: true, ..Rewrite::default() })
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn own_origins_are_rewritten_and_foreign_origins_are_kept() {
        let trusted = ["https://app.example".to_owned()];
        for (page, secure, expected) in [
            ("http://desk:7860", false, "http://localhost:17860"),
            ("https://desk:7860", true, "https://localhost:17860"),
            ("https://app.example", true, "https://localhost:17860"),
            ("http://evil:7860", false, "http://evil:7860"),
            ("http://desk:6100", false, "http://desk:6100"),
            ("null", false, "null"),
        ] {
            let mut headers = headers(&[(HOST, "desk:7860"), (ORIGIN, page)]);
            pages(&local(), &mut headers, &trusted, secure);
            assert_eq!(headers[ORIGIN], expected, "{page}");
        }
        let mut headers = headers(&[(HOST, "desk:7860"), (REFERER, "http://desk:7860/a?b=http://c/")]);
        pages(&local(), &mut headers, &trusted, false);
        assert_eq!(headers[REFERER], "http://localhost:17860/a?b=http://c/");
        request(&local(), &mut headers);
        assert_eq!(headers[HOST], "localhost:17860");
    }

    #[test]
    fn default_rewrite_changes_nothing() {
        let given =
            headers(&[(HOST, "desk"), (ORIGIN, "http://desk"), (LOCATION, "http://localhost:17860/")]);
        let (mut changed, route) = (given.clone(), route(Rewrite::default()));
        pages(&route, &mut changed, &[], false);
        request(&route, &mut changed);
        answer(&route, &mut changed);
        assert_eq!(changed, given);
    }

    #[test]
    fn redirects_to_localhost_become_local_paths() {
        for (to, expected) in [
            ("http://localhost:17860/login?next=/", "/login?next=/"),
            ("https://localhost:17860", "/"),
            ("http://localhost:17860?a", "/?a"),
            ("http://localhost:178601/", "http://localhost:178601/"),
            ("http://localhost:17860.evil/", "http://localhost:17860.evil/"),
            ("http://localhost:17860//evil/", "http://localhost:17860//evil/"),
            ("http://other/", "http://other/"),
            ("/path", "/path"),
        ] {
            let mut headers = headers(&[(LOCATION, to)]);
            answer(&local(), &mut headers);
            assert_eq!(headers[LOCATION], expected, "{to}");
        }
        let permission = |origin| {
            let pairs = [(ACCESS_CONTROL_ALLOW_ORIGIN, origin), (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")];
            let mut headers = headers(&pairs);
            answer(&local(), &mut headers);
            headers.len()
        };
        assert_eq!((permission("http://localhost:17860"), permission("https://a")), (0, 2));
    }

    #[test]
    fn too_long_handshake_is_refused_with_431() {
        let route = route(Rewrite { handshake_limit: Some(100), ..Rewrite::default() });
        let ask = |path: &str, name: &str, length: usize| {
            let request = Request::get(path).header(name, "x".repeat(length)).body(Body::empty()).unwrap();
            refuse(&route, &request).map(|response| response.status().as_u16())
        };
        for name in ["Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Key1", "Sec-WebSocket-Protocol"] {
            assert_eq!(ask("/websockify", name, 100), None, "{name}");
            assert_eq!(ask("/websockify", name, 101), Some(431), "{name}");
        }
        assert_eq!(ask("/websockify", "User-Agent", 500), None);
        assert_eq!(ask(&format!("/?{}", "x".repeat(99)), "Host", 1), Some(431));
    }
}
