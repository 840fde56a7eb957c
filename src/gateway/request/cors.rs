//! CORS: pages of other origins that may use this machine because the configuration allows it. Without such
//! configuration no CORS header is sent.
//!
//! Invariants: only an origin that is listed by name may use a user's session; with `*`, pages can read and change only
//! what they present a token for; CORS headers of a service are not overwritten.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION,
    ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::origin;
use crate::gateway::Settings;
use crate::gateway::auth::Access;
use crate::gateway::upstream::body::Reply;

/// How long browsers may cache the answer to a preflight request. Seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// What the answer allows to the page that made the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// This origin may read the answer, also with a session.
    Named(HeaderValue),
    /// Any origin may read it.
    Any,
    /// This origin may not read it; another origin might.
    None,
}

/// What the answer to a request will allow; `None` if CORS is not configured.
pub(crate) fn grant(settings: &Settings, headers: &HeaderMap) -> Option<Grant> {
    if settings.origins.is_empty() && !settings.any_origin {
        return None;
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let origin = origins.next().filter(|_| origins.next().is_none());
    let named = origin
        .filter(|origin| origin.to_str().is_ok_and(|origin| origin::is_trusted(origin, &settings.origins)));
    Some(match named {
        Some(origin) => Grant::Named(origin.clone()),
        None if settings.any_origin => Grant::Any,
        None => Grant::None,
    })
}

/// The answer to a preflight request, by which a browser asks what its page may do. Such a request carries no
/// credentials; the answer says only what is allowed.
pub(crate) fn preflight<B>(settings: &Settings, request: &Request<B>) -> Option<Response<Reply>> {
    let headers = request.headers();
    let asks = *request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || grant(settings, headers)? == Grant::None {
        return None;
    }
    let mut response = Response::new(Reply::from(Body::empty()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allowed = response.headers_mut();
    allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, settings.cors_methods.clone());
    allowed.insert(ACCESS_CONTROL_ALLOW_HEADERS, settings.cors_headers.clone());
    allowed.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    Some(response)
}

/// Whether a page of any origin may make a change: only with a token that the page itself has put into the request.
/// Basic does not count, because browsers send it automatically.
pub(crate) fn trusts(settings: &Settings, headers: &HeaderMap, access: Access) -> bool {
    let bearer = |value: &HeaderValue| {
        value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
    };
    settings.any_origin && access == Access::Credentials && headers.get(AUTHORIZATION).is_none_or(bearer)
}

impl Grant {
    /// Adds the headers to an answer, unless the service has sent its own CORS headers.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        if !matches!(self, Self::Any) {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        match self {
            Self::Named(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            Self::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                // Browsers refuse credentials together with `*`, and a service that allows credentials did not mean
                // all origins.
                headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
            }
            Self::None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::auth::SessionId;

    fn settings(origins: &[&str], any: bool) -> Settings {
        let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
        Settings { origins, any_origin: any, ..Settings::default() }
    }

    fn request(origin: &'static str) -> Request<Body> {
        Request::options("/")
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "PUT")
            .body(Body::empty())
            .unwrap()
    }

    #[test]
    fn without_configuration_no_headers_are_sent() {
        let (settings, request) = (Settings::default(), request("https://a"));
        assert_eq!(grant(&settings, request.headers()), None);
        assert!(preflight(&settings, &request).is_none());
    }

    #[test]
    fn only_named_origins_may_use_a_session() {
        let of = |settings: &Settings, origin| {
            let mut headers = HeaderMap::new();
            grant(settings, request(origin).headers()).unwrap().apply(&mut headers);
            let get = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (get(ACCESS_CONTROL_ALLOW_ORIGIN), get(ACCESS_CONTROL_ALLOW_CREDENTIALS), get(VARY))
        };
        let some = |text: &str| Some(text.to_owned());
        let named = settings(&["https://a"], false);
        assert_eq!(of(&named, "https://a"), (some("https://a"), some("true"), some("origin")));
        assert_eq!(of(&named, "https://b"), (None, None, some("origin")));
        assert_eq!(of(&named, "null"), (None, None, some("origin")));
        let any = settings(&["https://a"], true);
        assert_eq!(of(&any, "https://a"), (some("https://a"), some("true"), some("origin")));
        assert_eq!(of(&any, "https://b"), (some("*"), None, None));
        assert!(preflight(&named, &request("https://a")).is_some());
        assert!(preflight(&named, &request("https://b")).is_none());
        assert!(preflight(&any, &request("https://b")).is_some());
    }

    #[test]
    fn with_any_origin_changes_need_a_token_of_the_page() {
        let (any, none) = (settings(&[], true), settings(&[], false));
        let headers = |value| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert!(trusts(&any, &headers("Bearer x"), Access::Credentials));
        assert!(trusts(&any, &HeaderMap::new(), Access::Credentials));
        assert!(!trusts(&any, &headers("Basic x"), Access::Credentials));
        assert!(!trusts(&any, &headers("Bearer x"), Access::Session(SessionId::random())));
        assert!(!trusts(&any, &headers("Bearer x"), Access::Open));
        assert!(!trusts(&none, &headers("Bearer x"), Access::Credentials));
    }

    #[test]
    fn cors_headers_of_the_service_are_kept() {
        let mut headers =
            HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://c"))]);
        Grant::Any.apply(&mut headers);
        Grant::Named(HeaderValue::from_static("https://a")).apply(&mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://c");
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
}
