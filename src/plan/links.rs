//! Under which address a person reaches a port: preset, as the provider says it, or as `DIRECT_ADDRESS` does.

use std::net::IpAddr;

use crate::config::provider::{Kind, host};
use crate::config::{Config, Provider};

/// What links are made of.
#[derive(Clone, Debug)]
pub struct Links {
    provider: Provider,
    /// What stands in a link where no provider says better.
    direct: String,
    /// Whether links begin with https.
    secure: bool,
    /// Whether the public address is one that nobody said.
    unsaid: bool,
}

impl Links {
    /// As the environment says it.
    pub fn of(config: &Config) -> Self {
        let vars = &config.env.vars;
        let provider = Provider::of(&config.env);
        let direct = host(&vars.direct_address.0).unwrap_or_else(|| "localhost".to_owned());
        // RunPod's proxy has names of its own.
        let unsaid = provider.public().is_none() && !matches!(provider.kind, Kind::Runpod(_));
        Self { provider, direct, secure: vars.web_enable_https, unsaid }
    }

    /// Whether only the public address is missing that somebody could look up.
    pub fn lack_the_public_address(&self) -> bool {
        self.unsaid
    }

    /// Takes the public address over that was looked up. Returns whether anything is another one now.
    pub fn found(&mut self, public: IpAddr) -> bool {
        let Some(public) = host(&public.to_string()).filter(|_| self.unsaid) else { return false };
        let stands = match self.provider.kind {
            Kind::Plain => Some(std::mem::replace(&mut self.direct, public.clone())),
            Kind::Vast | Kind::Runpod(_) => self.provider.say_public(public.clone()),
        };
        stands != Some(public)
    }

    /// The link to a port that is right for everybody. Without a provider nobody knows one: whoever looks at the portal
    /// reached this machine under an address of which the other ports are the neighbours.
    pub fn known(&self, preset: Option<&str>, port: u16, path: &str) -> Option<String> {
        let made = || self.provider.origin(port, self.secure).map(|origin| format!("{origin}{path}"));
        preset.map(str::to_owned).or_else(made)
    }

    /// The same, and where it is not known the one that is most likely right.
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
    fn a_preset_link_stands_over_the_provider_and_that_over_the_direct_address() {
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
    fn the_public_address_is_looked_up_where_nobody_says_it() {
        let public: IpAddr = [203, 0, 113, 9].into();
        let mut plain = links(&[]);
        assert!(plain.lack_the_public_address() && plain.found(public) && !plain.found(public));
        assert_eq!(plain.shown(None, 6100, "/"), "http://203.0.113.9:6100/");
        assert_eq!(plain.known(None, 6100, "/"), None, "who looks at the portal knows better");
        let mut vast = links(&[("VAST_CONTAINERLABEL", "C.1"), ("VAST_TCP_PORT_6100", "40610")]);
        assert_eq!(vast.known(None, 6100, "/"), None);
        assert!(vast.lack_the_public_address() && vast.found(public));
        assert_eq!(vast.known(None, 6100, "/").unwrap(), "http://203.0.113.9:40610/");
        let mut pod = links(&[("RUNPOD_POD_ID", "p")]);
        assert!(!pod.lack_the_public_address() && !pod.found(public));
        assert_eq!(pod.known(None, 6100, "/").unwrap(), "https://p-6100.proxy.runpod.net/");
    }
}
