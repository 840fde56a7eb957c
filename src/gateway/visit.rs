//! What kind of request it is, and the answer to one that does not come in.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;

use super::auth::Denied;
use super::base::Base;
use super::crowd::Place;
use super::forwarded::Proxies;
use super::headers::{CF_RAY, SEC_FETCH_MODE};
use super::workers::Guest;
use super::{headers, login, origin, page};

/// The connection on which a request came.
#[derive(Clone)]
pub(super) struct Arrival {
    /// The port of ours.
    pub(super) port: u16,
    /// The address at the other end.
    pub(super) peer: IpAddr,
    /// The same as text.
    pub(super) from: HeaderValue,
    /// Whether it is encrypted up to here.
    pub(super) tls: bool,
    /// What it takes of the room that there is.
    pub(super) place: Arc<Seat>,
}

/// What a connection takes of the room that there is, as long as it or a tunnel that it became is open.
pub(super) struct Seat {
    /// Of the connections that there may be, to us and from us to services.
    pub(super) place: Arc<Place>,
    /// Of the threads.
    pub(super) _guest: Guest,
}

/// Where a request came from, and what kind it is.
pub(super) struct Visit {
    /// The port of ours.
    pub(super) port: u16,
    /// The address that the request came from, as far as we know.
    pub(super) peer: IpAddr,
    /// The address at the other end of the connection, as text.
    other_end: (IpAddr, HeaderValue),
    /// Whether it came by https, as the client sees it.
    pub(super) secure: bool,
    /// Where our own addresses begin, as the client sees them.
    pub(super) base: Base,
    /// What the connection takes of the room that there is.
    pub(super) place: Arc<Seat>,
    /// Whether a person looks at the answer.
    pub(super) navigation: bool,
    /// Whether it came through Cloudflare, which shows a page of its own in place of a 502. Whoever only says so gets
    /// another status, and nothing else.
    pub(super) by_cloudflare: bool,
    /// The protocol that it asks to switch to.
    pub(super) upgrade: Option<HeaderValue>,
}

impl Visit {
    pub(super) fn of<B>(request: &Request<B>, arrival: &Arrival, proxies: &Proxies) -> Self {
        let Arrival { port, peer, from, tls, place } = arrival.clone();
        let secure = tls || proxies.says_https(peer, request.headers());
        let other_end = (peer, from);
        let peer = proxies.client(peer, request.headers());
        let navigation = is_navigation(request.method(), request.headers());
        let upgrade = headers::upgrade(request.version(), request.headers());
        let by_cloudflare = navigation && is_by_cloudflare(request.headers());
        let base = Base::new(proxies.prefix(other_end.0, request.headers()), request.uri().path());
        Self { port, peer, other_end, secure, base, place, navigation, by_cloudflare, upgrade }
    }

    /// The address that the request came from, as it stands in headers.
    pub(super) fn from(&self) -> HeaderValue {
        let (address, text) = &self.other_end;
        if *address == self.peer { text.clone() } else { text_of(self.peer) }
    }

    /// Whether the answer is a page that a person looks at.
    pub(super) fn is_page(&self) -> bool {
        self.navigation && self.upgrade.is_none()
    }

    /// Whether a request with this method may change something.
    pub(super) fn changes(&self, method: &Method) -> bool {
        !origin::is_safe(method) || self.upgrade.is_some()
    }

    /// The answer to somebody who does not come in.
    pub(super) fn deny<B>(&self, denied: Denied, request: &Request<B>) -> Response<Body> {
        let browser = request.headers().contains_key(SEC_FETCH_MODE);
        if let Denied::TooMany(wait) = denied {
            let error = json!({ "error": "too many attempts; the time to wait is in Retry-After" });
            let mut response = page::json(StatusCode::TOO_MANY_REQUESTS, &error);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            return response;
        }
        // A browser that remembers an old password sends it unasked; the page is its way to a new one.
        if self.navigation && self.upgrade.is_none() && (denied == Denied::Stranger || browser) {
            return page::redirect(&login::address(request.uri(), &self.base));
        }
        let mut response = page::json(StatusCode::UNAUTHORIZED, &json!({ "error": "a login is needed" }));
        if !browser {
            // Pages that ask in the background would make a browser pop up a dialog of its own.
            let challenge = HeaderValue::from_static("Basic realm=\"desktopd\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// An address as it stands in headers.
pub(super) fn text_of(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Refuses what two programs could read in two ways.
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
    // HTTP/1.1 was looked at more closely; in HTTP/2 a length is a header like any other, and is sent on as it is.
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let plain = |length: &HeaderValue| {
        let length = length.as_bytes();
        length == b"0" || (length.iter().all(u8::is_ascii_digit) && !matches!(length, [] | [b'0', ..]))
    };
    if lengths.next().is_some_and(|length| !plain(length) || headers.contains_key(TRANSFER_ENCODING))
        || lengths.next().is_some()
    {
        return bad("a body has one length");
    }
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return bad("a request has one Authorization");
    }
    Ok(())
}

/// Whether a person waits for a page. Browsers of today say so; for the others the wish for HTML counts.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && wants_page(headers)
}

/// Whether a person sees the answer, be it to a form.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let html = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("text/html"));
    headers.get_all(ACCEPT).iter().any(html)
        && headers.get(SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
}

/// Whether a request came through Cloudflare, or says so.
pub(super) fn is_by_cloudflare(headers: &HeaderMap) -> bool {
    headers.contains_key(CF_RAY)
}
