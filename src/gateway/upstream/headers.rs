//! Names of headers, for those that read them and those that set them.

use axum::http::{HeaderName, HeaderValue};

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

/// Whether a header is a list with this word in it.
pub(crate) fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|value| value.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
}
