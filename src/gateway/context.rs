//! The request context: connection, client address, scheme and kind of a request; also the first checks for malformed
//! requests.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use super::base::Base;
use super::forwarded::Proxies;
use super::headers::{CF_RAY, SEC_FETCH_MODE};
use super::limits::ConnectionSlot;
use super::metrics::Answers;
use super::workers::WorkerSlot;
use super::{headers, origin};

/// Connection info: the connection on which a request came.
#[derive(Clone)]
pub(super) struct ConnectionInfo {
    /// Our port.
    pub(super) port: u16,
    /// The address at the other end.
    pub(super) peer: IpAddr,
    /// The same as text.
    pub(super) from: HeaderValue,
    /// Whether the connection to us uses TLS.
    pub(super) tls: bool,
    /// What it occupies.
    pub(super) resources: Arc<ConnectionResources>,
}

/// The resources that a connection occupies as long as it, or the upgraded connection that it became, is open.
pub(super) struct ConnectionResources {
    /// Its share of the connection limits, for connections from clients and to services.
    pub(super) slot: Arc<ConnectionSlot>,
    /// The counters of its port.
    pub(super) answers: Arc<Answers>,
    /// Its share of a worker thread.
    pub(super) _worker: WorkerSlot,
}

/// The request context: where a request came from, and what kind of request it is.
pub(super) struct RequestContext {
    /// Our port.
    pub(super) port: u16,
    /// The address that the request came from, as far as we know.
    pub(super) peer: IpAddr,
    /// The address at the other end of the connection, and the same as text.
    other_end: (IpAddr, HeaderValue),
    /// Whether it came by https, as the client sees it.
    pub(super) secure: bool,
    /// The base for links to our own addresses, as the client sees them.
    pub(super) base: Base,
    /// The resources of its connection.
    pub(super) resources: Arc<ConnectionResources>,
    /// Whether a browser will show the answer to the user as a page.
    pub(super) navigation: bool,
    /// Whether it came through Cloudflare, which replaces a 502 with its own page. A client that only claims this gets
    /// another status code, and nothing else.
    pub(super) by_cloudflare: bool,
    /// The protocol that the request asks to switch to.
    pub(super) upgrade: Option<HeaderValue>,
}

impl RequestContext {
    pub(super) fn of<B>(request: &Request<B>, connection: &ConnectionInfo, proxies: &Proxies) -> Self {
        let ConnectionInfo { port, peer, from, tls, resources } = connection.clone();
        let secure = tls || proxies.says_https(peer, request.headers());
        let other_end = (peer, from);
        let peer = proxies.client(peer, request.headers());
        let navigation = is_navigation(request.method(), request.headers());
        let upgrade = headers::upgrade(request.version(), request.headers());
        let by_cloudflare = navigation && is_by_cloudflare(request.headers());
        let base = Base::new(proxies.prefix(other_end.0, request.headers()), request.uri().path());
        Self { port, peer, other_end, secure, base, resources, navigation, by_cloudflare, upgrade }
    }

    /// The address that the request came from, as a header value.
    pub(super) fn from(&self) -> HeaderValue {
        let (address, text) = &self.other_end;
        if *address == self.peer { text.clone() } else { text_of(self.peer) }
    }

    /// Whether the user sees the answer as a page.
    pub(super) fn is_page(&self) -> bool {
        self.navigation && self.upgrade.is_none()
    }

    /// Whether a request with this method may change something.
    pub(super) fn changes(&self, method: &Method) -> bool {
        !origin::is_safe(method) || self.upgrade.is_some()
    }
}

/// An address as a header value.
pub(super) fn text_of(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Refuses requests that two programs could interpret differently.
pub(super) fn well_formed<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    let bad = |why| Err((StatusCode::BAD_REQUEST, why));
    let headers = request.headers();
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "this method is not served"));
    }
    if !request.uri().path().starts_with('/') {
        return bad("the address has no path");
    }
    let host = origin::host(headers);
    if host.is_none() && (headers.contains_key(HOST) || request.version() != axum::http::Version::HTTP_10) {
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

/// Whether the user waits for a page. Current browsers send `Sec-Fetch-Mode`; for all other clients it is enough that
/// they accept HTML.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && wants_page(headers)
}

/// Whether the user sees the answer as a page, whatever the method (a form is sent with POST).
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let html = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("text/html"));
    headers.get_all(ACCEPT).iter().any(html)
        && headers.get(SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
}

/// Whether a request came through Cloudflare, or claims to.
pub(super) fn is_by_cloudflare(headers: &HeaderMap) -> bool {
    headers.contains_key(CF_RAY)
}
