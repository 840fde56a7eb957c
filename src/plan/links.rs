//! The URL of a port as users reach it: preset, from the provider, or from `DIRECT_ADDRESS`.

use std::net::IpAddr;

use crate::config::provider::{Kind, host};
use crate::config::{Config, Provider};

/// The data that links are made from.
#[derive(Clone, Debug)]
pub struct Links {
    provider: Provider,
    /// The host of links for which no provider knows a better one.
    direct: String,
    /// Whether links begin with https.
    secure: bool,
    /// Whether the public address is not configured.
    unsaid: bool,
}

impl Links {
    /// From the environment.
    pub fn of(config: &Config) -> Self {
        let vars = &config.env.vars;
        let provider = Provider::of(&config.env.raw);
        let direct = host(&vars.direct_address.0).unwrap_or_else(|| "localhost".to_owned());
        // RunPod's proxy has its own host names.
        let unsaid = provider.public().is_none() && !matches!(provider.kind, Kind::Runpod(_));
        Self { provider, direct, secure: vars.web_enable_https, unsaid }
    }

    /// Whether links lack only the public address, which can be looked up.
    pub fn lack_the_public_address(&self) -> bool {
        self.unsaid
    }

    /// Takes over the looked-up public address. Returns whether this changes links.
    pub fn found(&mut self, public: IpAddr) -> bool {
        let Some(public) = host(&public.to_string()).filter(|_| self.unsaid) else { return false };
        let previous = match self.provider.kind {
            Kind::Plain => Some(std::mem::replace(&mut self.direct, public.clone())),
            Kind::Vast | Kind::Runpod(_) => self.provider.say_public(public.clone()),
        };
        previous != Some(public)
    }

    /// The link to a port, if one is right for all clients. Without a provider there is none: the browser that shows
    /// the portal knows an address of this machine, and the other ports are at the same address.
    pub fn known(&self, preset: Option<&str>, port: u16, path: &str) -> Option<String> {
        let made = || self.provider.origin(port, self.secure).map(|origin| format!("{origin}{path}"));
        preset.map(str::to_owned).or_else(made)
    }

    /// The same; if no link is known, the one that is most likely right.
    pub fn shown(&self, preset: Option<&str>, port: u16, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        self.known(preset, port, path).unwrap_or_else(|| format!("{scheme}://{}:{port}{path}", self.direct))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn links(pairs: &[(&str, &str)]) -> Links {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let env = Environment::new(pairs, &[], &mut Vec::new());
        Links::of(&Config::read("/nonexistent".into(), env, Vec::new()))
    }

    #[test]
    fn a_preset_link_precedes_the_provider_which_precedes_the_direct_address() {
        let vast = [
            ("VAST_CONTAINERLABEL", "C.1"),
            ("PUBLIC_IPADDR", "203.0.113.9"),
            ("VAST_TCP_PORT_6100", "40610"),
            ("DIRECT_ADDRESS", "desk.example"),
        ];
        let vast = links(&vast);
        assert_eq!(vast.known(Some("https://mine/"), 6100, "/").unwrap(), "https://mine/");
        assert_eq!(vast.known(None, 6100, "/a?b").unwrap(), "http://203.0.113.9:40610/a?b");
        assert_eq!(vast.known(None, 6200, "/"), None);
        assert_eq!(vast.shown(None, 6200, "/"), "http://desk.example:6200/");
        let plain = links(&[("DIRECT_ADDRESS", "2001:db8::1"), ("WEB_ENABLE_HTTPS", "true")]);
        assert_eq!(plain.known(None, 6100, "/"), None);
        assert_eq!(plain.shown(None, 6100, "/"), "https://[2001:db8::1]:6100/");
        assert_eq!(links(&[("DIRECT_ADDRESS", "a b")]).shown(None, 1, "/"), "http://localhost:1/");
    }

    #[test]
    fn the_public_address_is_looked_up_unless_configured() {
        let public: IpAddr = [203, 0, 113, 9].into();
        let mut plain = links(&[]);
        assert!(plain.lack_the_public_address() && plain.found(public) && !plain.found(public));
        assert_eq!(plain.shown(None, 6100, "/"), "http://203.0.113.9:6100/");
        assert_eq!(plain.known(None, 6100, "/"), None, "the browser knows the address");
        let mut vast = links(&[("VAST_CONTAINERLABEL", "C.1"), ("VAST_TCP_PORT_6100", "40610")]);
        assert_eq!(vast.known(None, 6100, "/"), None);
        assert!(vast.lack_the_public_address() && vast.found(public));
        assert_eq!(vast.known(None, 6100, "/").unwrap(), "http://203.0.113.9:40610/");
        let mut pod = links(&[("RUNPOD_POD_ID", "p")]);
        assert!(!pod.lack_the_public_address() && !pod.found(public));
        assert_eq!(pod.known(None, 6100, "/").unwrap(), "https://p-6100.proxy.runpod.net/");
    }
}
