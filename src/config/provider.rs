//! Detects the cloud provider from the environment alone: credentials and links depend on it before any other fact is
//! known.
//!
//! Both known providers give a machine a public address on which each of its ports has a different number, and set a
//! variable with that number for each port. RunPod also has a proxy, with a host name for each port.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::IpAddr;

use super::env::{Raw, Workspace};
use super::problem::Problem;

/// The cloud provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// vast.ai's.
    Vast,
    /// RunPod's; the pod's id.
    Runpod(String),
    /// No known provider.
    #[default]
    Plain,
}

/// The cloud provider, and the addresses under which this machine is reached from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Which provider.
    pub kind: Kind,
    /// The public address that the provider gives, in the form of a URL (IPv6 in brackets).
    public: Option<String>,
    /// The public number of each port, by the inner port or, from 70000 on, by the provider's name for the port.
    ports: BTreeMap<u32, u16>,
}

impl Provider {
    /// Detects the provider.
    pub fn of(raw: &Raw) -> Self {
        let text = |name: &str| raw.get(OsStr::new(name))?.to_str().filter(|text| !text.is_empty());
        let vast = ports(raw, "VAST_TCP_PORT_");
        let relayed = ports(raw, "VAST_UDP_PORT_");
        if text("VAST_CONTAINERLABEL").is_some() || !vast.is_empty() || !relayed.is_empty() {
            Self { kind: Kind::Vast, public: text("PUBLIC_IPADDR").and_then(host), ports: vast }
        } else if let Some(pod) = text("RUNPOD_POD_ID").filter(|pod| is_label(pod)) {
            let public = text("RUNPOD_PUBLIC_IP").and_then(host);
            Self { kind: Kind::Runpod(pod.to_owned()), public, ports: ports(raw, "RUNPOD_TCP_PORT_") }
        } else {
            Self { kind: Kind::Plain, public: None, ports: BTreeMap::new() }
        }
    }

    /// Whether vast.ai's defaults apply.
    pub fn is_vast(&self) -> bool {
        self.kind == Kind::Vast
    }

    /// The public address that the provider gives, in the form of a URL.
    pub fn public(&self) -> Option<&str> {
        self.public.as_deref()
    }

    /// Sets a public address that was found in another way, and returns the previous one.
    pub fn say_public(&mut self, host: String) -> Option<String> {
        self.public.replace(host)
    }

    /// The outer origin (scheme, host and port) of a port on which we listen. `None` if the provider does not give it,
    /// or passes no connections on to the port.
    pub fn origin(&self, port: u16, secure: bool) -> Option<String> {
        let scheme = if secure { "https" } else { "http" };
        let direct = self.public.as_ref().zip(self.outside(port));
        let direct = direct.map(|(host, outside)| format!("{scheme}://{host}:{outside}"));
        match &self.kind {
            Kind::Runpod(pod) => direct.or_else(|| Some(format!("https://{pod}-{port}.proxy.runpod.net"))),
            Kind::Vast | Kind::Plain => direct,
        }
    }

    /// Whether the provider lists the ports that can be reached from outside, and this port is not among them.
    pub fn passes_nothing_to(&self, port: u16) -> bool {
        self.is_vast() && !self.ports.is_empty() && self.outside(port).is_none()
    }

    /// The host names under which browsers reach our ports at the provider; `*` matches a number.
    pub fn names(&self) -> Vec<String> {
        let proxy = match &self.kind {
            Kind::Runpod(pod) => Some(format!("{pod}-*.proxy.runpod.net")),
            Kind::Vast | Kind::Plain => None,
        };
        self.public.iter().cloned().chain(proxy).collect()
    }

    fn outside(&self, port: u16) -> Option<u16> {
        // A port with a name from 70000 on has the same number inside and outside.
        let same =
            || self.ports.iter().any(|(name, outside)| *name > 65535 && *outside == port).then_some(port);
        self.ports.get(&u32::from(port)).copied().or_else(same)
    }
}

/// The ports of all variables with the prefix `kind`.
fn ports(raw: &Raw, kind: &str) -> BTreeMap<u32, u16> {
    let port = |name: &str, value: &str| {
        let inside: u32 = name.strip_prefix(kind)?.parse().ok()?;
        let outside: u16 = value.trim().parse().ok()?;
        (inside != 0 && outside != 0).then_some((inside, outside))
    };
    raw.iter().filter_map(|(name, value)| port(name.to_str()?, value.to_str()?)).collect()
}

/// Checks the ports in the providers' variables. `place` returns the source of a variable. Names from 70000 on are
/// checked where a variable uses them.
pub(super) fn wrong_ports(raw: &Raw, place: &dyn Fn(&str) -> String) -> Vec<Problem> {
    let wrong = |name: &str, value: &str| {
        let mut kinds = ["VAST_TCP_PORT_", "VAST_UDP_PORT_", "RUNPOD_TCP_PORT_"].iter();
        let inside: u16 = kinds.find_map(|kind| name.strip_prefix(kind))?.parse().ok()?;
        let fits = value.trim().is_empty() || value.trim().parse::<u16>().is_ok_and(|port| port != 0);
        let message =
            format!("\"{value}\" is not a port from 1 to 65535; no link leads to port {inside} from outside");
        (!fits).then(|| Problem::new(place(name), name, message))
    };
    raw.iter().filter_map(|(name, value)| wrong(name.to_str()?, value.to_str()?)).collect()
}

/// Whether vast.ai's defaults apply to what was set.
pub(super) fn is_vast(raw: &Raw) -> bool {
    Provider::of(raw).is_vast()
}

/// The port that vast.ai's templates map for a TURN server, by its name there.
const VAST_RELAY: u32 = 73478;

/// The defaults of variables that depend on the provider.
pub(super) fn defaults(raw: &Raw, workspace: &Workspace) -> Vec<(&'static str, String)> {
    let provider = Provider::of(raw);
    // The form of a URL has brackets around an IPv6 address, which this variable must not have.
    let public = provider.public().map(|host| host.trim_matches(['[', ']']).to_owned());
    let address = public.filter(|host| host.parse::<IpAddr>().is_ok());
    let address = address.map(|address| ("COTURN_LISTEN_ADDRESS", address));
    match provider.kind {
        Kind::Plain => Vec::new(),
        Kind::Runpod(_) => address.into_iter().collect(),
        Kind::Vast => {
            let mut defaults = vec![
                ("WEB_USER", "vastai".to_owned()),
                ("HF_HOME", format!("{}.hf_home", workspace.text())),
                // Guides and scripts of vast.ai use this display.
                ("DISPLAY", ":20".to_owned()),
            ];
            defaults.extend(address);
            // A port with a wrong number was mapped all the same; its number is checked where it is used.
            let mapped = |kind: &str| {
                raw.get(OsStr::new(&format!("{kind}{VAST_RELAY}"))).is_some_and(|value| !value.is_empty())
            };
            let (udp, tcp) = (mapped("VAST_UDP_PORT_"), mapped("VAST_TCP_PORT_"));
            if udp || tcp {
                defaults.push(("COTURN_PORT_HOST", VAST_RELAY.to_string()));
                if !udp {
                    defaults.push(("TURN_PROTOCOL", "tcp".to_owned()));
                }
                if raw.get(OsStr::new("TURN_SERVER")).is_none_or(|value| value.is_empty()) {
                    defaults.push(("ENABLE_COTURN", true.to_string()));
                }
            }
            defaults
        }
    }
}

/// A host name or an address in the form of a URL; `None` for a text that would change the rest of the URL.
pub fn host(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => Some(format!("[{address}]")),
        Ok(IpAddr::V4(address)) => Some(address.to_string()),
        Err(_) => {
            let labels = text.strip_suffix('.').unwrap_or(text).split('.');
            (text.len() <= 253 && labels.into_iter().all(is_label)).then(|| text.to_owned())
        }
    }
}

/// Whether a text is one label of a host name. Underscores are allowed: they are not valid in host names, but are
/// common in names of containers.
fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Environment::new(pairs, &[], &mut Vec::new())
    }

    fn provider(pairs: &[(&str, &str)]) -> Provider {
        Provider::of(&environment(pairs).raw)
    }

    #[test]
    fn provider_is_detected_from_the_environment() {
        for (pairs, kind) in [
            (&[][..], Kind::Plain),
            (&[("PUBLIC_IPADDR", "203.0.113.9"), ("CONTAINER_ID", "1")], Kind::Plain),
            (&[("VAST_CONTAINERLABEL", "C.1")], Kind::Vast),
            (&[("VAST_CONTAINERLABEL", "")], Kind::Plain),
            (&[("VAST_TCP_PORT_22", "40022")], Kind::Vast),
            (&[("VAST_UDP_PORT_73478", "40022")], Kind::Vast),
            (&[("VAST_TCP_PORT_", "40022"), ("VAST_TCP_PORT_x", "1"), ("VAST_TCP_PORT_9", "x")], Kind::Plain),
            (&[("RUNPOD_POD_ID", "abc123")], Kind::Runpod("abc123".into())),
            (&[("RUNPOD_POD_ID", "evil.example/")], Kind::Plain),
            (&[("RUNPOD_TCP_PORT_22", "40022")], Kind::Plain),
        ] {
            assert_eq!(provider(pairs).kind, kind, "{pairs:?}");
        }
    }

    #[test]
    fn links_lead_to_the_public_number_of_a_port() {
        let vast = provider(&[
            ("VAST_CONTAINERLABEL", "C.1"),
            ("PUBLIC_IPADDR", " 203.0.113.9 "),
            ("VAST_TCP_PORT_1111", "40111"),
            ("VAST_TCP_PORT_70001", "40701"),
        ]);
        assert_eq!(vast.origin(1111, false).as_deref(), Some("http://203.0.113.9:40111"));
        assert_eq!(vast.origin(1111, true).as_deref(), Some("https://203.0.113.9:40111"));
        assert_eq!(vast.origin(40701, false).as_deref(), Some("http://203.0.113.9:40701"));
        assert_eq!(vast.origin(40111, false), None, "nothing is passed on to it");
        assert_eq!(vast.names(), ["203.0.113.9"]);
        let nowhere = provider(&[("VAST_CONTAINERLABEL", "C.1"), ("VAST_TCP_PORT_1111", "40111")]);
        assert_eq!(nowhere.origin(1111, false), None);
        assert_eq!(provider(&[]).origin(1111, false), None);
    }

    #[test]
    fn runpod_s_proxy_is_used_for_ports_without_a_public_number() {
        let pod = provider(&[
            ("RUNPOD_POD_ID", "abc123"),
            ("RUNPOD_PUBLIC_IP", "2001:db8::1"),
            ("RUNPOD_TCP_PORT_1111", "30111"),
        ]);
        assert_eq!(pod.origin(1111, false).as_deref(), Some("http://[2001:db8::1]:30111"));
        assert_eq!(pod.origin(6100, false).as_deref(), Some("https://abc123-6100.proxy.runpod.net"));
        assert_eq!(pod.names(), ["[2001:db8::1]", "abc123-*.proxy.runpod.net"]);
    }

    #[test]
    fn invalid_ports_are_reported() {
        let label = ("VAST_CONTAINERLABEL", "C.1");
        for (name, value, expected) in [
            (
                "VAST_TCP_PORT_6100",
                "99999",
                "VAST_TCP_PORT_6100: \"99999\" is not a port from 1 to 65535; no link",
            ),
            ("RUNPOD_TCP_PORT_22", "x", "RUNPOD_TCP_PORT_22: \"x\" is not a port"),
            ("VAST_TCP_PORT_6100", "40610", ""),
            ("VAST_TCP_PORT_6100", "", ""),
            (
                "VAST_TCP_PORT_73478",
                "99999",
                "COTURN_PORT_HOST: 73478 means the port in VAST_TCP_PORT_73478, \
                                             where \"99999\" is not a port",
            ),
        ] {
            let mut problems = Vec::new();
            Environment::new([label, (name, value)].map(|(n, v)| (n.into(), v.into())), &[], &mut problems);
            assert_eq!(problems.len(), usize::from(!expected.is_empty()), "{name}={value}: {problems:?}");
            let told: String = problems.iter().map(ToString::to_string).collect();
            assert!(told.contains(expected), "{name}={value}: {told}");
        }
    }

    #[test]
    fn unlisted_ports_are_unreachable_on_vast_ai() {
        let label = ("VAST_CONTAINERLABEL", "C.1");
        for (pairs, port, expected) in [
            (&[label, ("VAST_TCP_PORT_1111", "40111")][..], 8080, true),
            (&[label, ("VAST_TCP_PORT_1111", "40111")], 1111, false),
            // No port is listed.
            (&[label], 8080, false),
            (&[], 8080, false),
            (&[("RUNPOD_POD_ID", "a"), ("RUNPOD_TCP_PORT_22", "1")], 8080, false),
        ] {
            assert_eq!(provider(pairs).passes_nothing_to(port), expected, "{pairs:?} {port}");
        }
    }

    #[test]
    fn only_host_names_and_addresses_are_hosts() {
        for (text, expected) in [
            ("desk.example", Some("desk.example")),
            ("my_box", Some("my_box")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("::1", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            ("a b", None),
            ("a/b", None),
            ("a@b", None),
            ("a:80", None),
            ("http://a", None),
            ("a..b", None),
        ] {
            assert_eq!(host(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn providers_have_their_own_defaults() {
        let label = ("VAST_CONTAINERLABEL", "C.1");
        let relay = ("VAST_UDP_PORT_73478", "40478");
        let address = ("PUBLIC_IPADDR", "203.0.113.9");
        for (pairs, name, expected) in [
            (&[][..], "HF_HOME", ""),
            (&[], "ENABLE_COTURN", "false"),
            (&[], "WEB_USER", "user"),
            (&[label], "HF_HOME", "/workspace/.hf_home"),
            (&[label, ("WORKSPACE", "/data")], "HF_HOME", "/data/.hf_home"),
            (&[label, ("HF_HOME", "/hf")], "HF_HOME", "/hf"),
            (&[label], "WEB_USER", "vastai"),
            (&[label, ("WEB_USERNAME", "ada")], "WEB_USER", "ada"),
            (&[], "DISPLAY", ":0"),
            (&[("DISPLAY", ":0.0")], "DISPLAY", ":0"),
            (&[label], "DISPLAY", ":20"),
            // The image's own.
            (&[label, ("DISPLAY", ":0.0")], "DISPLAY", ":20"),
            (&[label, ("DISPLAY", ":0")], "DISPLAY", ":0"),
            (&[label, ("DISPLAY", ":7")], "DISPLAY", ":7"),
            (&[label], "ENABLE_COTURN", "false"),
            (&[label, relay], "ENABLE_COTURN", "true"),
            (&[label, relay, ("ENABLE_COTURN", "false")], "ENABLE_COTURN", "false"),
            (&[label, relay, ("TURN_SERVER", "turn.example")], "ENABLE_COTURN", "false"),
            (&[label, relay], "COTURN_PORT_HOST", "40478"),
            (&[label, relay], "TURN_PROTOCOL", "udp"),
            (&[label, ("VAST_TCP_PORT_73478", "40479")], "COTURN_PORT_HOST", "40479"),
            (&[label, ("VAST_TCP_PORT_73478", "40479")], "TURN_PROTOCOL", "tcp"),
            // The variable is set, to a number that is not a port.
            (&[label, ("VAST_TCP_PORT_73478", "99999")], "ENABLE_COTURN", "true"),
            (&[label, address], "COTURN_LISTEN_ADDRESS", "203.0.113.9"),
            (&[label, ("PUBLIC_IPADDR", "name.example")], "COTURN_LISTEN_ADDRESS", ""),
            (&[("RUNPOD_POD_ID", "a"), ("RUNPOD_PUBLIC_IP", "::1")], "COTURN_LISTEN_ADDRESS", "::1"),
            (&[("RUNPOD_POD_ID", "a"), relay], "ENABLE_COTURN", "true"),
        ] {
            let env = environment(pairs);
            let row = crate::config::env::row(name).unwrap();
            assert_eq!(env.shown(row), expected, "{name} of {pairs:?}");
        }
        let env = environment(&[label]);
        assert_eq!(
            (env.text("WORKSPACE"), env.text("DATA_DIRECTORY")),
            (Some("/workspace/"), Some("/workspace/"))
        );
        let rows = env.rows();
        let source = |name: &str| rows.iter().find(|row| row.name == name).unwrap().source.clone();
        assert_eq!((source("HF_HOME"), source("TZ")), ("provider".into(), "default".into()));
        assert_eq!(environment(&[]).text("DATA_DIRECTORY"), None);
    }
}
