//! The request context: connection, client address, scheme and kind of a request; also the first checks for malformed
//! requests.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};

use super::base::Base;
use super::forwarded::Proxies;
use super::origin;
use crate::gateway::auth::Recorded;
use crate::gateway::limits::ConnectionSlot;
use crate::gateway::listener::workers::WorkerSlot;
use crate::gateway::metrics::Answers;
use crate::gateway::upstream::headers::{CF_RAY, SEC_FETCH_MODE, has_token};
use crate::gateway::upstream::target::Target;
use crate::plan::routes::Route;

/// Connection info: the connection on which a request came.
#[derive(Clone)]
pub(crate) struct ConnectionInfo {
    /// Our port.
    pub(crate) port: u16,
    /// The address at the other end.
    pub(crate) peer: IpAddr,
    /// The same as text.
    pub(crate) from: HeaderValue,
    /// Whether the connection to us uses TLS.
    pub(crate) tls: bool,
    /// What it occupies.
    pub(crate) resources: Arc<ConnectionResources>,
}

/// The resources that a connection occupies as long as it, or the upgraded connection that it became, is open.
pub(crate) struct ConnectionResources {
    /// Its share of the connection limits, for connections from clients and to services.
    pub(crate) slot: Arc<ConnectionSlot>,
    /// The counters of its port.
    pub(crate) answers: Arc<Answers>,
    /// When its requests were last recorded.
    pub(crate) recorded: Recorded,
    /// Its share of a worker thread.
    pub(crate) _worker: WorkerSlot,
}

/// The request context: where a request came from, what it is for, and what kind of request it is.
pub(crate) struct RequestContext<'a> {
    pub(crate) connection: &'a ConnectionInfo,
    /// What the port serves.
    pub(crate) target: &'a Target,
    /// The address that the request came from, as far as we know.
    pub(crate) peer: IpAddr,
    /// Whether it came by https, as the client sees it.
    pub(crate) secure: bool,
    /// The base for links to our own addresses, as the client sees them.
    pub(crate) base: Base,
    /// Whether a browser will show the answer to the user as a page, whatever the method (a form is sent with POST).
    pub(crate) wants_page: bool,
    /// The same, and the request only reads: the user opens a page.
    pub(crate) page: bool,
    /// Whether a page is asked for through Cloudflare, which replaces a 502 with its own page. A client that only
    /// claims this gets another status code, and nothing else.
    pub(crate) by_cloudflare: bool,
    /// The protocol that the request asks to switch to.
    pub(crate) upgrade: Option<HeaderValue>,
}

impl<'a> RequestContext<'a> {
    pub(crate) fn of<B>(
        request: &Request<B>,
        target: &'a Target,
        connection: &'a ConnectionInfo,
        proxies: &Proxies,
    ) -> Self {
        let (headers, other_end) = (request.headers(), connection.peer);
        let wants_page = wants_page(headers);
        let upgrade = upgrade(request.version(), headers);
        Self {
            connection,
            target,
            peer: proxies.client(other_end, headers),
            secure: connection.tls || proxies.says_https(other_end, headers),
            base: Base::new(proxies.prefix(other_end, headers), request.uri().path()),
            wants_page,
            page: wants_page && reads(request.method()) && upgrade.is_none(),
            by_cloudflare: wants_page && headers.contains_key(CF_RAY),
            upgrade,
        }
    }

    /// The address that the request came from, as a header value.
    pub(crate) fn from(&self) -> HeaderValue {
        let ConnectionInfo { peer, from, .. } = self.connection;
        if *peer == self.peer { from.clone() } else { text_of(self.peer) }
    }

    /// Whether a request with this method may change something.
    pub(crate) fn changes(&self, method: &Method) -> bool {
        !origin::is_safe(method) || self.upgrade.is_some()
    }
}

/// An address as a header value.
pub(crate) fn text_of(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Refuses requests that two programs could interpret differently.
pub(crate) fn well_formed<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    let bad = |why| Err((StatusCode::BAD_REQUEST, why));
    let headers = request.headers();
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "this method is not served"));
    }
    if !request.uri().path().starts_with('/') {
        return bad("the address has no path");
    }
    let host = origin::host(headers);
    if host.is_none() && (headers.contains_key(HOST) || request.version() != Version::HTTP_10) {
        return bad("a request needs exactly one Host");
    }
    if host.is_some_and(|host| !origin::is_host(host)) {
        return bad("the Host is not the name or the address of a host");
    }
    if request.uri().authority().is_some_and(|authority| Some(authority.as_str()) != host) {
        return bad("the address and the Host name different hosts");
    }
    // For HTTP/1.1 the request validator has checked more; in HTTP/2 the length is an ordinary header and is passed on
    // unchanged.
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let plain = |length: &HeaderValue| {
        let length = length.as_bytes();
        length == b"0" || (length.iter().all(u8::is_ascii_digit) && !matches!(length, [] | [b'0', ..]))
    };
    if lengths.next().is_some_and(|length| !plain(length) || headers.contains_key(TRANSFER_ENCODING))
        || lengths.next().is_some()
    {
        return bad("a body needs exactly one valid length");
    }
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return bad("a request may have only one Authorization header");
    }
    Ok(())
}

/// Whether a request with this method asks for something to show.
pub(crate) fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a request asks for one of the old paths that the route's configuration redirects (`moved`).
pub(crate) fn is_moved<B>(route: &Route, request: &Request<B>) -> bool {
    let path = request.uri().path();
    let below =
        |moved: &String| path.strip_prefix(&**moved).is_some_and(|r| r.is_empty() || r.starts_with('/'));
    reads(request.method()) && route.rewrite.moved.iter().any(below)
}

/// Whether the user sees the answer as a page. Current browsers send `Sec-Fetch-Mode`; for all other clients it is
/// enough that they accept HTML.
fn wants_page(headers: &HeaderMap) -> bool {
    let html = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("text/html"));
    headers.get_all(ACCEPT).iter().any(html)
        && headers.get(SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
}

/// The protocol that a request asks to switch to. We do not pass on upgrades to HTTP/2 and TLS: requests on such an
/// upgraded connection would bypass all checks of the gateway.
fn upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next()?;
    let asked = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    let text = protocol.to_str().ok()?.to_ascii_lowercase();
    let hides =
        text.split(',').map(str::trim).any(|p| p.is_empty() || p.starts_with("h2") || p.starts_with("tls"));
    let hides = hides || text.contains("http/");
    (version == Version::HTTP_11 && asked && !hides && protocols.next().is_none()).then(|| protocol.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    #[test]
    fn upgrades_are_recognised() {
        let map = |pairs: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name, HeaderValue::from_static(value));
            }
            headers
        };
        let asks = |pairs: &[(HeaderName, &'static str)]| upgrade(Version::HTTP_11, &map(pairs)).is_some();
        assert!(asks(&[(CONNECTION, "keep-alive, Upgrade"), (UPGRADE, "websocket")]));
        assert!(!asks(&[(UPGRADE, "websocket")]));
        assert!(!asks(&[(CONNECTION, "upgrade")]));
        for hidden in ["h2c", "websocket, h2c", "H2C", "TLS/1.2", "HTTP/2.0", "", "websocket,"] {
            assert!(!asks(&[(CONNECTION, "upgrade"), (UPGRADE, hidden)]), "{hidden}");
        }
        assert!(!asks(&[(CONNECTION, "upgrade"), (UPGRADE, "websocket"), (UPGRADE, "h2c")]));
        let headers = map(&[(CONNECTION, "upgrade"), (UPGRADE, "websocket")]);
        assert!(upgrade(Version::HTTP_10, &headers).is_none());
    }
}
