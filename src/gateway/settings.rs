//! The settings of the gateway.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderValue;

use super::request::forwarded;
use super::tls;
use crate::config::Config;

/// The settings of the gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address on which all ports are opened; `::` means all addresses of IPv6 and IPv4.
    pub address: IpAddr,
    /// Host names, besides addresses and localhost, under which ports without authentication answer.
    pub names: Vec<String>,
    /// Origins (`https://name:port`) that may make changes besides a port's own.
    pub origins: Vec<String>,
    /// Number of worker threads; `None` means as many as there are processors. With 0 the caller's runtime does the
    /// work.
    pub threads: Option<usize>,
    /// The TLS configuration of the ports. They speak TLS with clients that begin with TLS.
    pub tls: Option<tls::Tls>,
    /// Whether plain http is redirected to https.
    pub https: bool,
    /// The port of our own pages on loopback, which users reach through their own SSH port forwarding: not redirected
    /// to https.
    pub inside: Option<u16>,
    /// The proxies whose headers are trusted.
    pub proxies: forwarded::Proxies,
    /// Whether pages of any origin may use what they present a token for.
    pub any_origin: bool,
    /// The methods that pages of other origins may use.
    pub cors_methods: HeaderValue,
    /// The headers that pages of other origins may send.
    pub cors_headers: HeaderValue,
    /// Whether text answers are compressed if the service has not compressed them.
    pub compress: bool,
    /// Whether requests are logged.
    pub access_log: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Ipv6Addr::UNSPECIFIED.into(),
            names: Vec::new(),
            origins: Vec::new(),
            threads: None,
            tls: None,
            any_origin: false,
            cors_methods: HeaderValue::from_static("GET"),
            cors_headers: HeaderValue::from_static("Authorization"),
            compress: true,
            access_log: false,
            https: false,
            inside: None,
            proxies: forwarded::Proxies::default(),
        }
    }
}

impl Settings {
    /// The settings from environment variables. Host names and the certificate depend on more and are set elsewhere.
    pub fn of(config: &Config) -> Self {
        let (env, vars) = (&config.env, &config.env.vars);
        let tunnel = env.text("CF_TUNNEL_TOKEN").is_some() || env.is_on("CF_QUICK_TUNNELS");
        Self {
            https: vars.web_enable_https,
            inside: Some(vars.serviceportal_port_local.0),
            proxies: forwarded::Proxies { listed: vars.web_trusted_proxies.0.clone(), tunnel },
            origins: vars.web_allowed_origins.exact.clone(),
            any_origin: vars.web_allowed_origins.any,
            cors_methods: vars.web_cors_methods.0.clone(),
            cors_headers: vars.web_cors_headers.0.clone(),
            compress: vars.web_enable_compression,
            access_log: vars.web_access_log,
            ..Self::default()
        }
    }
}
