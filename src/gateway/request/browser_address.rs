//! The address at which a browser reaches the port: links to other ports of the same machine are made from it.

use axum::http::HeaderMap;

use super::origin;

/// Scheme, host and port of the address that the browser shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserAddress {
    /// Whether the browser uses https.
    pub secure: bool,
    /// The host without the port; an IPv6 address in brackets.
    pub host: String,
    /// The port, also if it is the scheme's own.
    pub port: u16,
}

impl BrowserAddress {
    /// From a request's Host header. A request without a valid one gets `localhost` and our own port.
    pub(crate) fn of(headers: &HeaderMap, secure: bool, own_port: u16) -> Self {
        let usual = if secure { 443 } else { 80 };
        let (host, port) = match origin::host(headers).filter(|host| origin::is_host(host)) {
            None => ("localhost", own_port),
            Some(host) => match host.rsplit_once(':') {
                // The colons of an IPv6 address are inside the brackets.
                Some((name, port)) if !port.ends_with(']') => (name, port.parse().unwrap_or(usual)),
                _ => (host, usual),
            },
        };
        Self { secure, host: host.to_owned(), port }
    }

    /// The scheme.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use axum::http::header::HOST;

    #[test]
    fn host_and_port_come_from_the_host_header() {
        for (host, secure, name, port) in [
            ("desk.example", true, "desk.example", 443),
            ("desk.example", false, "desk.example", 80),
            ("10.0.0.7:1111", false, "10.0.0.7", 1111),
            ("[::1]:40123", true, "[::1]", 40123),
            ("[::1]", false, "[::1]", 80),
            ("desk.example/x", false, "localhost", 1111),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            let found = BrowserAddress::of(&headers, secure, 1111);
            assert_eq!(found, BrowserAddress { secure, host: name.to_owned(), port }, "{host}");
        }
        assert_eq!(BrowserAddress::of(&HeaderMap::new(), false, 1111).host, "localhost");
    }
}
