//! Tests: which headers are passed on, removed and replaced.

use axum::body::Body;

use super::*;
use crate::config::Secret;
use crate::config::rewrite::Rewrite;
use crate::gateway::auth::{Credentials, Password};

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

/// The headers of a request as the service gets them.
fn sent(route: &Route, headers: &HeaderMap, secure: bool, trusted: &[String]) -> HeaderMap {
    let mut request = Request::new(Body::empty());
    *request.headers_mut() = headers.clone();
    let client = HeaderValue::from_static("192.0.2.1");
    to_service(&mut request, route, None, (client, secure, None), trusted);
    request.into_parts().0.headers
}

/// The headers of an answer as the client gets them.
fn answered(route: &Route, headers: &HeaderMap) -> HeaderMap {
    let mut response = Response::new(());
    *response.headers_mut() = headers.clone();
    let credentials = Credentials {
        user: "user".into(),
        password: Password::Plain(Secret::new("given")),
        tokens: Vec::new(),
        password_as_token: false,
        enabled: true,
        excluded: Vec::new(),
        cookie: None,
    };
    let auth = Auth::new(credentials, &[0; 32], 4);
    to_client(&mut response, route, &auth);
    response.into_parts().0.headers
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
        let headers = sent(&local(), &headers(&[(HOST, "desk:7860"), (ORIGIN, page)]), secure, &trusted);
        assert_eq!(headers[ORIGIN], expected, "{page}");
    }
    let headers = headers(&[(HOST, "desk:7860"), (REFERER, "http://desk:7860/a?b=http://c/")]);
    let headers = sent(&local(), &headers, false, &trusted);
    assert_eq!(headers[REFERER], "http://localhost:17860/a?b=http://c/");
    assert_eq!(headers[HOST], "localhost:17860");
}

#[test]
fn default_rewrite_changes_nothing() {
    let given = headers(&[(HOST, "desk"), (ORIGIN, "http://desk"), (LOCATION, "http://localhost:17860/")]);
    let silent = route(Rewrite { forwarded: false, ..Rewrite::default() });
    assert_eq!(sent(&silent, &given, false, &[]), given);
    assert_eq!(answered(&route(Rewrite::default()), &given), given);
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
        let headers = answered(&local(), &headers(&[(LOCATION, to)]));
        assert_eq!(headers[LOCATION], expected, "{to}");
    }
    let permission = |origin| {
        let pairs = [(ACCESS_CONTROL_ALLOW_ORIGIN, origin), (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")];
        answered(&local(), &headers(&pairs)).len()
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

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn hop_by_hop_and_forwarding_headers_are_removed_or_replaced() {
    let headers = map(&[
        ("host", "desk:6100"),
        ("connection", "keep-alive, X-Secret, host"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers, deflate"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "Basic x"),
        ("x_forwarded_for", "1.2.3.4"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-prefix", "/a"),
        ("forwarded", "for=1.2.3.4"),
        ("cf-connecting-ip", "1.2.3.4"),
        ("expect", "100-continue"),
        ("accept", "*/*"),
        ("cookie", "a=1"),
        ("cookie", "b=2; c=3"),
    ]);
    let headers = sent(&route(Rewrite::default()), &headers, true, &[]);
    let mut left: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    left.sort();
    assert_eq!(
        left,
        [
            "accept: */*",
            "connection: te",
            "cookie: a=1; b=2; c=3",
            "host: desk:6100",
            "te: trailers",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: desk:6100",
            "x-forwarded-proto: https",
            "x-real-ip: 192.0.2.1",
        ]
    );
}
