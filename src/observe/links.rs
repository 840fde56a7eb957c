//! The links that lead to a route from outside: several a route, each with its source, the most likely one first.

use std::net::IpAddr;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use crate::config::provider::{Kind, host};
use crate::config::{Config, Provider};

/// Where a link comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A variable such as `SELKIES_URL`.
    Preset,
    /// The provider, which has a number or a name of its own for the port.
    Provider,
    /// The public address that was looked up.
    PublicAddress,
    /// `DIRECT_ADDRESS`.
    Direct,
}

/// A link to a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Link {
    /// Where it comes from.
    pub source: Source,
    /// The whole URL.
    pub url: String,
}

impl Link {
    /// Whether it is right for all clients. The browser that shows the portal knows a better address than
    /// `DIRECT_ADDRESS` or a looked-up one: its own.
    pub fn is_for_all(&self) -> bool {
        matches!(self.source, Source::Preset | Source::Provider)
    }
}

/// The addresses of this machine, from which links are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    provider: Provider,
    /// The public address that was looked up, if no provider has numbers for its ports.
    public: Option<String>,
    /// `DIRECT_ADDRESS`.
    direct: Option<String>,
    /// Whether links begin with https.
    secure: bool,
}

impl Addresses {
    /// From the environment.
    pub fn of(config: &Config) -> Self {
        let vars = &config.env.vars;
        let (provider, direct) = (Provider::of(&config.env.raw), host(&vars.direct_address.0));
        Self { provider, public: None, direct, secure: vars.web_enable_https }
    }

    /// Whether links lack only the public address, which can be looked up. RunPod's proxy has its own host names.
    pub fn lack_the_public_address(&self) -> bool {
        self.provider.public().is_none() && !matches!(self.provider.kind, Kind::Runpod(_))
    }

    /// Takes over the looked-up public address. Returns whether this changes links.
    pub fn found(&mut self, public: IpAddr) -> bool {
        let Some(public) = host(&public.to_string()) else { return false };
        let previous = match self.provider.kind {
            Kind::Plain => self.public.replace(public.clone()),
            Kind::Vast | Kind::Runpod(_) => self.provider.say_public(public.clone()),
        };
        previous != Some(public)
    }

    /// The links to a port, the most likely one first; `preset` is that of a variable.
    pub fn links(&self, preset: Option<Link>, port: u16, path: &str) -> Vec<Link> {
        let scheme = if self.secure { "https" } else { "http" };
        let at = |host: &str| format!("{scheme}://{host}:{port}");
        let origins = [
            (Source::Provider, self.provider.origin(port, self.secure)),
            (Source::PublicAddress, self.public.as_deref().map(at)),
            (Source::Direct, Some(at(self.direct.as_deref().unwrap_or("localhost")))),
        ];
        let made = origins
            .into_iter()
            .filter_map(|(source, origin)| Some(Link { source, url: format!("{}{path}", origin?) }));
        preset.into_iter().chain(made).collect()
    }
}

/// The host names under which ports without a login answer: the names that were configured.
pub fn names(config: &Config) -> Vec<String> {
    let vars = &config.env.vars;
    let preset = [&vars.serviceportal_url, &vars.selkies_url, &vars.vnc_url];
    let hosts =
        preset.into_iter().flatten().filter_map(|url| Some(url.0.parse::<Uri>().ok()?.host()?.to_owned()));
    let provider = Provider::of(&config.env.raw).names();
    std::iter::once(vars.direct_address.0.clone()).chain(provider).chain(hosts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn addresses(pairs: &[(&str, &str)]) -> Addresses {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let env = Environment::new(pairs, &[], &mut Vec::new());
        Addresses::of(&Config::read("/nonexistent".into(), env, Vec::new()))
    }

    /// The link that is right for all clients.
    fn known(addresses: &Addresses, port: u16, path: &str) -> Option<String> {
        addresses.links(None, port, path).into_iter().find(Link::is_for_all).map(|link| link.url)
    }

    /// The most likely link.
    fn shown(addresses: &Addresses, port: u16, path: &str) -> String {
        addresses.links(None, port, path).remove(0).url
    }

    #[test]
    fn a_preset_link_precedes_the_provider_which_precedes_the_direct_address() {
        let vast = [
            ("VAST_CONTAINERLABEL", "C.1"),
            ("PUBLIC_IPADDR", "203.0.113.9"),
            ("VAST_TCP_PORT_6100", "40610"),
            ("DIRECT_ADDRESS", "desk.example"),
        ];
        let vast = addresses(&vast);
        let preset = Link { source: Source::Preset, url: "https://mine/".into() };
        let links = vast.links(Some(preset), 6100, "/");
        let urls: Vec<_> = links.iter().map(|link| (link.source, &*link.url)).collect();
        assert_eq!(
            urls,
            [
                (Source::Preset, "https://mine/"),
                (Source::Provider, "http://203.0.113.9:40610/"),
                (Source::Direct, "http://desk.example:6100/"),
            ]
        );
        assert_eq!(known(&vast, 6100, "/a?b").unwrap(), "http://203.0.113.9:40610/a?b");
        assert_eq!(known(&vast, 6200, "/"), None);
        assert_eq!(shown(&vast, 6200, "/"), "http://desk.example:6200/");
        let plain = addresses(&[("DIRECT_ADDRESS", "2001:db8::1"), ("WEB_ENABLE_HTTPS", "true")]);
        assert_eq!(known(&plain, 6100, "/"), None);
        assert_eq!(shown(&plain, 6100, "/"), "https://[2001:db8::1]:6100/");
        assert_eq!(shown(&addresses(&[("DIRECT_ADDRESS", "a b")]), 1, "/"), "http://localhost:1/");
    }

    #[test]
    fn the_public_address_is_looked_up_unless_configured() {
        let public: IpAddr = [203, 0, 113, 9].into();
        let mut plain = addresses(&[]);
        assert!(plain.lack_the_public_address() && plain.found(public) && !plain.found(public));
        assert_eq!(shown(&plain, 6100, "/"), "http://203.0.113.9:6100/");
        assert_eq!(known(&plain, 6100, "/"), None, "the browser knows the address");
        let mut vast = addresses(&[("VAST_CONTAINERLABEL", "C.1"), ("VAST_TCP_PORT_6100", "40610")]);
        assert_eq!(known(&vast, 6100, "/"), None);
        assert!(vast.lack_the_public_address() && vast.found(public) && !vast.found(public));
        assert_eq!(known(&vast, 6100, "/").unwrap(), "http://203.0.113.9:40610/");
        assert!(vast.found([203, 0, 113, 10].into()), "it may change");
        let pod = addresses(&[("RUNPOD_POD_ID", "p")]);
        assert!(!pod.lack_the_public_address());
        assert_eq!(known(&pod, 6100, "/").unwrap(), "https://p-6100.proxy.runpod.net/");
    }
}
