//! Forwarding headers: what a proxy in front of us (of a cloud, an ingress, Cloudflare's tunnel) says about the client.
//!
//! Invariants:
//!
//! * The scheme is accepted from any peer that may be such a proxy. A spoofed X-Forwarded-Proto affects only its
//!   sender, who gets a cookie that the sender's own browser refuses.
//! * The same holds for the path prefix under which a proxy serves us, which becomes part of links and redirects: pages
//!   of other sites cannot send that header.
//! * The client address decides how often a client may guess a password, so it is accepted only from proxies that the
//!   administrator listed, and from our own tunnel. Docker's proxy and `ssh -L` also forward the headers of any client
//!   from loopback: without a tunnel no client address from loopback is accepted.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::base::Prefix;
use super::origin;
use crate::gateway::network::is_shared;
use crate::gateway::upstream::headers::{
    CF_CONNECTING_IP, CF_RAY, CF_VISITOR, FORWARDED_FOR, FORWARDED_PREFIX, FORWARDED_PROTO, SEC_FETCH_MODE,
};

use crate::config::network::Network;

/// The proxies whose headers are trusted.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Proxies that the administrator listed: the client address is accepted from them.
    pub listed: Vec<Network>,
    /// Whether a Cloudflare tunnel ends in this container, so that its requests come from loopback.
    pub tunnel: bool,
}

impl Proxies {
    fn lists(&self, address: IpAddr) -> bool {
        self.listed.iter().any(|network| network.contains(address))
    }

    /// Whether `peer` may be a proxy in front of us.
    fn may_be_proxy(&self, peer: IpAddr) -> bool {
        is_shared(peer) || self.lists(peer)
    }

    /// The path prefix under which `peer` serves us, which it removes from the addresses that it requests.
    pub(crate) fn prefix(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Prefix> {
        let said = single(headers, &FORWARDED_PREFIX)?;
        if !self.may_be_proxy(peer) {
            return None;
        }
        Prefix::parse(said.to_str().ok()?)
    }

    /// Whether the client uses https although `peer` speaks plain HTTP to us: a proxy in front of this container may
    /// have an address that is not routed on the internet.
    pub(crate) fn says_https(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        if !self.may_be_proxy(peer) {
            return false;
        }
        // Of several values the first is that of the proxy that the client connected to.
        let proto = headers.get(FORWARDED_PROTO).and_then(|value| value.to_str().ok());
        let proto = proto.and_then(|value| value.split(',').next()).map(str::trim);
        let cloudflare = headers.get(CF_VISITOR).and_then(|value| {
            let visitor: serde_json::Value = serde_json::from_slice(value.as_bytes()).ok()?;
            Some(visitor.get("scheme")?.as_str()? == "https")
        });
        proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")) || cloudflare == Some(true)
    }

    /// The address of the client, where `peer` is at the other end of the connection.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.lists(peer) {
            return self.before(peer, headers);
        }
        if !self.tunnel || !peer.is_loopback() {
            return peer;
        }
        // Cloudflare sets both headers and does not let clients set them.
        let ray = single(headers, &CF_RAY).is_some_and(|ray| !ray.is_empty());
        let said = single(headers, &CF_CONNECTING_IP).filter(|_| ray);
        said.and_then(|address| address.to_str().ok()?.parse::<IpAddr>().ok())
            .map_or(peer, |address| address.to_canonical())
    }

    /// The client address from X-Forwarded-For. Each proxy appends the address of its peer at the end; everything
    /// before the last address that is not a listed proxy is only a claim of that client.
    fn before(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let lines = headers.get_all(FORWARDED_FOR).iter().rev().filter_map(|value| value.to_str().ok());
        for hop in lines.flat_map(|line| line.rsplit(',')) {
            let Some(address) = address(hop.trim()) else { break };
            client = address;
            if !self.lists(client) {
                break;
            }
        }
        client
    }
}

/// Whether a browser sent this request in a secure context. Browsers send these headers only by https, or to their own
/// machine. So the headers reveal a proxy that terminates TLS without reporting it.
pub(crate) fn is_secure_context(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_FETCH_MODE) && !origin::is_loopback(headers)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Parses an address as proxies write it: some add a port.
fn address(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[').and_then(|text| text.split(']').next());
    let bare = inside.map_or(text, |inside| inside).parse().ok();
    bare.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn scheme_is_accepted_from_private_and_listed_peers() {
        let none = Proxies::default();
        let https = map(&[("x-forwarded-proto", "https")]);
        for near in ["127.0.0.1", "::1", "10.0.0.1", "172.17.0.1", "192.168.1.1", "100.64.0.9", "169.254.1.1"]
        {
            assert!(none.says_https(ip(near), &https), "{near}");
        }
        assert!(none.says_https(ip("fd00::1"), &https) && none.says_https(ip("fe80::1"), &https));
        for far in ["203.0.113.7", "100.128.0.1", "2001:db8::1", "172.32.0.1"] {
            assert!(!none.says_https(ip(far), &https), "{far}");
        }
        let listed = Proxies { listed: vec!["203.0.113.0/24".parse().unwrap()], tunnel: false };
        assert!(listed.says_https(ip("203.0.113.7"), &https));
        for (headers, secure) in [
            (map(&[("x-forwarded-proto", "HTTPS, http")]), true),
            (map(&[("x-forwarded-proto", "http, https")]), false),
            (map(&[("cf-visitor", "{\"scheme\":\"https\"}")]), true),
            (map(&[("cf-visitor", "{\"scheme\":\"http\"}")]), false),
            (map(&[("cf-visitor", "https")]), false),
            (map(&[]), false),
        ] {
            assert_eq!(none.says_https(ip("10.0.0.1"), &headers), secure, "{headers:?}");
        }
    }

    #[test]
    fn prefix_is_accepted_once_from_private_and_listed_peers() {
        let said = map(&[("x-forwarded-prefix", "/desktop/")]);
        let listed = Proxies { listed: vec!["203.0.113.0/24".parse().unwrap()], tunnel: false };
        let prefix = |proxies: &Proxies, peer, headers: &HeaderMap| {
            proxies.prefix(ip(peer), headers).map(|prefix| prefix.as_str().to_owned())
        };
        assert_eq!(prefix(&listed, "203.0.113.7", &said).as_deref(), Some("/desktop"));
        assert_eq!(prefix(&listed, "172.17.0.1", &said).as_deref(), Some("/desktop"));
        assert_eq!(prefix(&listed, "198.51.100.1", &said), None);
        for forged in [
            map(&[("x-forwarded-prefix", "/a"), ("x-forwarded-prefix", "/b")]),
            map(&[("x-forwarded-prefix", "//evil")]),
            map(&[("x-forwarded-prefix", "/")]),
            map(&[]),
        ] {
            assert_eq!(prefix(&listed, "172.17.0.1", &forged), None, "{forged:?}");
        }
    }

    #[test]
    fn client_address_is_accepted_from_listed_proxies_and_our_tunnel() {
        let cloudflare = map(&[("cf-connecting-ip", "198.51.100.1"), ("cf-ray", "8f-TXL")]);
        let chain = map(&[("x-forwarded-for", "9.9.9.9, 198.51.100.1, 10.0.0.2")]);
        let none = Proxies::default();
        for peer in ["127.0.0.1", "172.17.0.1", "203.0.113.7"] {
            assert_eq!(none.client(ip(peer), &cloudflare), ip(peer));
            assert_eq!(none.client(ip(peer), &chain), ip(peer));
        }
        let tunnel = Proxies { listed: Vec::new(), tunnel: true };
        assert_eq!(tunnel.client(ip("127.0.0.1"), &cloudflare), ip("198.51.100.1"));
        assert_eq!(tunnel.client(ip("172.17.0.1"), &cloudflare), ip("172.17.0.1"));
        assert_eq!(tunnel.client(ip("127.0.0.1"), &chain), ip("127.0.0.1"));
        for forged in [
            map(&[("cf-connecting-ip", "198.51.100.1")]),
            map(&[("cf-connecting-ip", "198.51.100.1"), ("cf-connecting-ip", "1.1.1.1"), ("cf-ray", "8f")]),
            map(&[("cf-connecting-ip", "no address"), ("cf-ray", "8f")]),
        ] {
            assert_eq!(tunnel.client(ip("127.0.0.1"), &forged), ip("127.0.0.1"), "{forged:?}");
        }
        let listed = Proxies { listed: vec!["10.0.0.0/8".parse().unwrap()], tunnel: false };
        assert_eq!(listed.client(ip("10.0.0.1"), &chain), ip("198.51.100.1"), "not the addresses before");
        assert_eq!(listed.client(ip("10.0.0.1"), &cloudflare), ip("10.0.0.1"));
        for (said, client) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("unknown", "10.0.0.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("1.1.1.1, x, 10.0.0.2", "10.0.0.2"),
        ] {
            assert_eq!(
                listed.client(ip("10.0.0.1"), &map(&[("x-forwarded-for", said)])),
                ip(client),
                "{said}"
            );
        }
        let two = map(&[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "198.51.100.2")]);
        assert_eq!(listed.client(ip("10.0.0.1"), &two), ip("198.51.100.2"));
    }

    #[test]
    fn sec_fetch_mode_shows_a_secure_context() {
        let fetch = ("sec-fetch-mode", "navigate");
        assert!(is_secure_context(&map(&[("host", "desk.example"), fetch])));
        assert!(!is_secure_context(&map(&[("host", "desk.example")])));
        // Browsers send the header to localhost over plain http as well.
        assert!(!is_secure_context(&map(&[("host", "localhost:6100"), fetch])));
    }
}
