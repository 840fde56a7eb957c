//! Checks of Origin and Host: which pages may make changes, and under which host names a port without login answers.
//!
//! Cookies are shared between all ports of a host, and `SameSite` does not separate ports. So other ports of the same
//! host, which on a cloud may belong to other users, count as foreign here.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

use crate::gateway::auth::Access;
use crate::gateway::upstream::headers::SEC_FETCH_SITE;

/// A host, an IPv6 address without its brackets, and a port.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: Option<u16>,
}

impl Place {
    /// Accepts only what browsers send, and nothing that another program could interpret differently.
    fn parse(text: &str) -> Option<Self> {
        let (host, rest) = if let Some(text) = text.strip_prefix('[') {
            let (address, _) = text.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            text.split_at(address.len() + 1)
        } else {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            (!name.is_empty() && name.bytes().all(plain)).then_some((name, rest))?
        };
        let host = host.trim_end_matches(']').to_ascii_lowercase();
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return None,
            // Each port has only one accepted spelling.
            Some(port) => Some(port.parse::<u16>().ok().filter(|number| number.to_string() == port)?),
        };
        Some(Self { host, port })
    }

    /// The host without the dot that makes it absolute.
    fn bare(&self) -> &str {
        self.host.trim_end_matches('.')
    }
}

/// The error for a page of another origin. The page may be ours, behind a proxy that does not pass on the Host.
const FOREIGN: &str = "the request comes from a page of another origin; if that is this machine's own address at a \
     proxy, the proxy has to pass on the Host header, or WEB_ALLOWED_ORIGINS has to name the origin";

/// Whether a request may change something or upgrade its connection: only from a page of the same host and port, from
/// one of the `allowed` origins, or from a program, which sends no Origin and must send its own credentials.
pub(crate) fn may_change(
    headers: &HeaderMap,
    access: Access,
    allowed: &[String],
) -> Result<(), &'static str> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        // Browsers that omit the Origin still report with `Sec-Fetch-Site` that the page is foreign.
        let foreign =
            headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "same-origin" && site != "none");
        return match access {
            _ if foreign => Err("the request comes from a page of another site"),
            Access::Session(_) | Access::TokenCookie => {
                Err("the request has no Origin, which changes by a session need")
            }
            Access::Credentials | Access::Open => Ok(()),
        };
    };
    let origin = origin.to_str().ok().filter(|_| origins.next().is_none());
    if origin.is_some_and(|origin| is_ours(origin, headers, allowed)) { Ok(()) } else { Err(FOREIGN) }
}

/// Whether an origin is one of the `allowed` origins of the configuration.
pub(crate) fn is_trusted(origin: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// Whether an origin is the request's own host and port, or an `allowed` one.
pub(crate) fn is_ours(origin: &str, headers: &HeaderMap, allowed: &[String]) -> bool {
    is_trusted(origin, allowed) || host(headers).is_some_and(|host| is_same(origin, host))
}

/// Whether a method only reads.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, origin)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let (Some(origin), Some(host)) = (Place::parse(origin), Place::parse(host)) else { return false };
    // Only the proxy that terminates TLS before us knows whether a Host without a port means 80 or 443.
    origin.host == host.host && origin.port.unwrap_or(default) == host.port.unwrap_or(default)
}

/// The request's Host, if there is exactly one.
pub(crate) fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// Whether the text is a host with or without a port, and nothing that a program could interpret differently. Services
/// copy the Host into links and redirects.
pub(crate) fn is_host(text: &str) -> bool {
    Place::parse(text).is_some()
}

/// Whether a Host contains a port; `None` if the text is not a valid Host.
pub(crate) fn has_port(host: &str) -> Option<bool> {
    Place::parse(host).map(|place| place.port.is_some())
}

/// Whether the client reaches us under a loopback name, where browsers treat plain http as secure.
pub(crate) fn is_loopback(headers: &HeaderMap) -> bool {
    let Some(place) = host(headers).and_then(Place::parse) else { return false };
    let host = place.bare();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a port without authentication answers under this Host. A foreign name that resolves to our address would
/// let a foreign page read everything (DNS rebinding); IP addresses cannot be rebound.
pub(crate) fn is_known_host(headers: &HeaderMap, names: &[String]) -> bool {
    let Some(place) = host(headers).and_then(Place::parse) else { return false };
    let host = place.bare();
    host.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || host.ends_with(".localhost")
        || names.iter().any(|name| is_called(host, name))
}

/// Whether a host has this name. A `*` in the name means a decimal number.
fn is_called(host: &str, name: &str) -> bool {
    let host = host.to_ascii_lowercase();
    match name.to_ascii_lowercase().split_once('*') {
        None => name.eq_ignore_ascii_case(&host),
        Some((before, after)) => host
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(host: &'static str, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    #[test]
    fn changes_need_an_origin_with_the_same_host_and_port() {
        for (host, origin, same) in [
            ("desk:6100", "http://desk:6100", true),
            ("desk:6100", "https://DESK:6100", true),
            ("desk:6100", "http://desk:6200", false),
            ("desk:6100", "http://desk", false),
            ("desk:6100", "http://evil:6100", false),
            ("desk:6100", "http://desk:6100.evil", false),
            ("desk:6100", "http://user@desk:6100", false),
            ("desk:6100", "null", false),
            ("desk:6100", "", false),
            ("desk:6100", "file://", false),
            ("desk", "http://desk", true),
            ("desk", "https://desk", true),
            ("desk", "https://desk:443", true),
            ("desk:443", "https://desk", true),
            ("desk:80", "https://desk", false),
            ("[::1]:6100", "http://[::1]:6100", true),
            ("[::1]:6100", "http://[::1]:6101", false),
            ("[::1]", "http://[::1]", true),
            ("10.0.0.1:6100", "http://10.0.0.1:6100", true),
        ] {
            let verdict = may_change(&headers(host, Some(origin)), Access::Credentials, &[]);
            assert_eq!(verdict.is_ok(), same, "{origin} at {host}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        for host in ["a", "a.b-c_d", "a:0", "a:65535", "127.0.0.1:80", "[::1]", "[::1]:80"] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", ":80", "a:", "a:+80", "a:080", "a:65536", "a:80:80", "::1", "[::1", "[::1]:", "[::1]80",
            "[a]", "u@a", "a/b", "a%2e", "\u{fc}",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn changes_by_a_session_need_an_origin() {
        let session = Access::Session(crate::gateway::auth::SessionId::random());
        let mut headers = headers("desk:6100", None);
        assert!(may_change(&headers, session, &[]).is_err());
        assert!(may_change(&headers, Access::Credentials, &[]).is_ok());
        assert!(may_change(&headers, Access::Open, &[]).is_ok());
        headers.insert(SEC_FETCH_SITE, HeaderValue::from_static("same-site"));
        assert!(may_change(&headers, Access::Credentials, &[]).is_err());
        assert!(may_change(&headers, Access::Open, &[]).is_err());
    }

    #[test]
    fn allowed_origins_are_accepted_but_not_two_origin_headers() {
        let allowed = ["https://desk.example/".to_owned()];
        let mut headers = headers("desk:6100", Some("https://desk.example"));
        assert!(may_change(&headers, Access::Open, &allowed).is_ok());
        headers.append(ORIGIN, HeaderValue::from_static("http://desk:6100"));
        assert!(may_change(&headers, Access::Open, &allowed).is_err());
    }

    #[test]
    fn open_ports_accept_only_known_hosts() {
        let names = ["desk.example".to_owned(), "pod-*.proxy.example".to_owned()];
        for (host, known) in [
            ("localhost:1111", true),
            ("127.0.0.1", true),
            ("[::1]:1111", true),
            ("192.168.1.4:1111", true),
            ("Desk.Example:1111", true),
            ("desk.example.:1111", true),
            ("evil.example:1111", false),
            ("pod-6100.proxy.example", true),
            ("Pod-1.proxy.example", true),
            ("pod-.proxy.example", false),
            ("pod-6100.evil.proxy.example", false),
            ("xpod-6100.proxy.example", false),
            ("pod-6100.proxy.example.evil", false),
            ("pod-*.proxy.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil", false),
            ("evil@localhost", false),
            ("", false),
        ] {
            assert_eq!(is_known_host(&headers(host, None), &names), known, "{host}");
        }
        assert!(!is_known_host(&HeaderMap::new(), &names));
    }
}
