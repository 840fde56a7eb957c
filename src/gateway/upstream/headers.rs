//! Headers between client and service: hop-by-hop headers are not passed on, and the headers that say where a request
//! came from are set by us only.

use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, ORIGIN, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Request, Version};
use hyper::body::Body;

use crate::gateway::request::base::Prefix;

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

/// The headers by which services learn from us where a request came from.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The headers by which browsers say which page makes a request, and for what (Fetch Metadata Request Headers).
pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
pub(crate) const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The headers that Cloudflare adds to a request.
pub(crate) const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
pub(crate) const CF_VISITOR: HeaderName = HeaderName::from_static("cf-visitor");
pub(crate) const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

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
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
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

/// Makes a client's headers into those of the request to the service.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    peer: &HeaderValue,
    (secure, prefix): (bool, Option<&Prefix>),
) {
    let host = headers.get(HOST).cloned();
    let trailers = headers.get_all(TE).iter().any(|te| has_token(te, "trailers"));
    strip_hop_by_hop(headers);
    join_cookies(headers);
    let mut announces = false;
    let mut unwanted = Vec::new();
    for name in headers.keys() {
        announces |= *name == TRAILER;
        // `Expect` is answered here, when the service begins to read the body.
        if *name == EXPECT || is_claim(name.as_str()) {
            unwanted.push(name.clone());
        }
    }
    for name in unwanted {
        headers.remove(name);
    }
    if announces {
        announce_trailers(headers);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    headers.insert(FORWARDED_FOR, peer.clone());
    headers.insert(REAL_IP, peer.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
    if let Some(prefix) = prefix.and_then(|prefix| HeaderValue::from_str(prefix.as_str()).ok()) {
        headers.insert(FORWARDED_PREFIX, prefix);
    }
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host.clone());
        // `Connection` may have named it.
        headers.insert(HOST, host);
    }
}

/// Announces chunks where the length of a body is unknown: otherwise a GET would silently lose its body.
pub(crate) fn announce_chunks<B: Body>(request: &mut Request<B>) {
    if !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The protocol that a request asks to switch to. We do not pass on upgrades to HTTP/2 and TLS: requests on such an
/// upgraded connection would bypass all checks of the gateway.
pub(crate) fn upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next()?;
    let asked = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    let text = protocol.to_str().ok()?.to_ascii_lowercase();
    let hides =
        text.split(',').map(str::trim).any(|p| p.is_empty() || p.starts_with("h2") || p.starts_with("tls"));
    let hides = hides || text.contains("http/");
    (version == Version::HTTP_11 && asked && !hides && protocols.next().is_none()).then(|| protocol.clone())
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|value| value.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn hop_by_hop_and_forwarding_headers_are_removed_or_replaced() {
        let mut headers = map(&[
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
        prepare_request(&mut headers, &HeaderValue::from_static("192.0.2.1"), (true, None));
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

    #[test]
    fn upgrades_are_recognised() {
        let asks = |pairs: &[(&'static str, &'static str)]| upgrade(Version::HTTP_11, &map(pairs)).is_some();
        assert!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]));
        assert!(!asks(&[("upgrade", "websocket")]));
        assert!(!asks(&[("connection", "upgrade")]));
        for hidden in ["h2c", "websocket, h2c", "H2C", "TLS/1.2", "HTTP/2.0", "", "websocket,"] {
            assert!(!asks(&[("connection", "upgrade"), ("upgrade", hidden)]), "{hidden}");
        }
        assert!(!asks(&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")]));
        let headers = map(&[("connection", "upgrade"), ("upgrade", "websocket")]);
        assert!(upgrade(Version::HTTP_10, &headers).is_none());
    }
}
