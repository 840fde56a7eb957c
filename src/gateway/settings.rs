//! What the gateway is told of its work.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderValue;

use super::{forwarded, tls};
use crate::config::Config;

/// Where and as whom the gateway answers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that all ports are opened on; `::` is all addresses of IPv6 and IPv4.
    pub address: IpAddr,
    /// Host names, besides addresses and localhost, under which ports without authentication answer.
    pub names: Vec<String>,
    /// Origins (`https://name:port`) that may make changes besides a port's own.
    pub origins: Vec<String>,
    /// How many threads carry traffic: as many as there are processors, unless it says otherwise. With 0 the runtime
    /// that calls does it.
    pub threads: Option<usize>,
    /// What ports speak TLS with, to those who do.
    pub tls: Option<tls::Tls>,
    /// Whether plain http is sent on to https.
    pub https: bool,
    /// The port of our own pages on loopback, which people reach through tunnels of their own: not sent on to https.
    pub inside: Option<u16>,
    /// Whose word counts about where requests come from.
    pub proxies: forwarded::Proxies,
    /// Whether pages of any origin may use what they show a token for.
    pub any_origin: bool,
    /// The methods that pages of other origins may use.
    pub cors_methods: HeaderValue,
    /// The headers that they may send.
    pub cors_headers: HeaderValue,
    /// Whether texts are compressed that a service has not compressed.
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
    /// What people's variables say. Names and the certificate depend on more than them.
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
