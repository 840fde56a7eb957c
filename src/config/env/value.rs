//! The types of variables: the texts that each type accepts, and the messages for other texts.

use std::ffi::OsStr;
use std::path::Path;

use crate::config::network::Network;
use crate::config::secret::Secret;
use crate::sys::env_file::Raw;

/// A type that a variable can have.
pub(super) trait FromVariable: Sized {
    const SECRET: bool = false;
    /// What a wrong value counts as, if not as the default.
    const INSTEAD: Option<&'static str> = None;
    fn parse(text: &str) -> Result<Self, &'static str>;
    /// Resolves a text whose meaning depends on other variables; the error is a sentence.
    fn resolve(text: String, _raw: &Raw) -> Result<String, String> {
        Ok(text)
    }
}

impl FromVariable for bool {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("true or false"),
        }
    }
}

impl FromVariable for u32 {
    fn parse(text: &str) -> Result<Self, &'static str> {
        text.parse().map_err(|_| "a whole number")
    }
}

/// A TCP port to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromVariable for Port {
    fn parse(text: &str) -> Result<Self, &'static str> {
        text.parse().ok().filter(|port| *port != 0).map(Port).ok_or("a port from 1 to 65535")
    }
}

/// A TCP port that clients reach from outside. A number from 70000 on is a provider's name for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort(pub u16);

impl FromVariable for HostPort {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Port::parse(text).map(|Port(port)| Self(port))
    }

    fn resolve(text: String, raw: &Raw) -> Result<String, String> {
        named_port(text, &WEB_PORTS, raw)
    }
}

/// Like [`HostPort`] for a relay, whose traffic is UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPort(pub u16);

impl FromVariable for RelayPort {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Port::parse(text).map(|Port(port)| Self(port))
    }

    fn resolve(text: String, raw: &Raw) -> Result<String, String> {
        named_port(text, &RELAY_PORTS, raw)
    }
}

/// The first number that is not a port but a provider's name for a port. That port has the same number inside and
/// outside, and a variable has the number.
const FIRST_NAME: u32 = 70_000;

/// Prefixes of the variables in which providers give the port of such a name.
pub(super) const WEB_PORTS: [&str; 2] = ["VAST_TCP_PORT_", "RUNPOD_TCP_PORT_"];

/// Like [`WEB_PORTS`] for a relay.
pub(super) const RELAY_PORTS: [&str; 3] = ["VAST_UDP_PORT_", "VAST_TCP_PORT_", "RUNPOD_TCP_PORT_"];

pub(super) fn named_port(text: String, variables: &[&str], raw: &Raw) -> Result<String, String> {
    let Some(name) = text.parse::<u32>().ok().filter(|number| *number >= FIRST_NAME) else { return Ok(text) };
    let variables: Vec<String> = variables.iter().map(|variable| format!("{variable}{name}")).collect();
    let set = variables.iter().find_map(|variable| {
        let value = raw.get(OsStr::new(variable)).filter(|value| !value.is_empty())?;
        Some((variable, value.to_string_lossy().trim().to_owned()))
    });
    match set {
        Some((_, value)) if Port::parse(&value).is_ok() => Ok(value),
        Some((variable, value)) => Err(format!(
            "{name} means the port in {variable}, where \"{value}\" is not a port from 1 to 65535"
        )),
        None => Err(format!(
            "{name} means the port that the provider sets in {}, and the provider set none",
            variables.join(" or ")
        )),
    }
}

/// The parts of a list that commas separate, without empty ones.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// The name of a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(pub String);

impl FromVariable for CookieName {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let fits = !text.is_empty() && text.len() <= 128 && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned())).ok_or("a name of letters, digits, dots, dashes and underscores")
    }
}

/// Networks, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl FromVariable for Networks {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let networks = list(text).map(str::parse).collect::<Result<_, _>>();
        networks.map(Self).map_err(|()| "a list of addresses and networks such as 192.0.2.1,10.0.0.0/8")
    }
}

/// TCP ports, separated by commas. Empty: none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl FromVariable for Ports {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let ports = list(text).map(|port| Port::parse(port).map(|port| port.0)).collect::<Result<_, _>>();
        ports.map(Self).map_err(|_| "a list of ports from 1 to 65535, separated by commas, such as 1111,6100")
    }

    fn resolve(text: String, raw: &Raw) -> Result<String, String> {
        let ports = text.split(',').map(|port| HostPort::resolve(port.trim().to_owned(), raw));
        Ok(ports.collect::<Result<Vec<_>, _>>()?.join(","))
    }
}

/// The folder where users keep their work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace(String);

impl Workspace {
    /// The folder.
    pub fn folder(&self) -> &Path {
        Path::new(self.0.trim_end_matches('/'))
    }

    /// The folder with a slash at its end, which scripts need that append a name to it.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl FromVariable for Workspace {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let names: Vec<_> = text.split('/').filter(|name| !name.is_empty()).collect();
        let fits = !names.is_empty() && !names.iter().any(|name| [".", ".."].contains(name));
        // Older images take the folder from `/`, with or without the first slash.
        fits.then(|| Self(format!("/{}/", names.join("/")))).ok_or("a folder such as /workspace/")
    }
}

impl FromVariable for String {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(text.to_owned())
    }
}

impl FromVariable for Secret {
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self::new(text))
    }
}

impl<T: FromVariable> FromVariable for Option<T> {
    const SECRET: bool = T::SECRET;
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn resolve(text: String, raw: &Raw) -> Result<String, String> {
        T::resolve(text, raw)
    }
}

/// A bcrypt hash that the user provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash(pub Secret);

impl FromVariable for PasswordHash {
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<Self, &'static str> {
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        if known && text.parse::<bcrypt::HashParts>().is_ok() {
            return Ok(Self(Secret::new(text)));
        }
        Err("a bcrypt hash such as $2b$12$… with 60 characters (in a compose file each $ is written $$)")
    }
}

/// A password that is short enough for bcrypt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password(pub Secret);

/// The longest password: bcrypt ignores bytes after this. Bytes.
pub const PASSWORD_LIMIT: usize = 72;

impl FromVariable for Password {
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > PASSWORD_LIMIT {
            return Err("a password of at most 72 bytes: bcrypt ignores what is beyond them");
        }
        Ok(Self(Secret::new(text)))
    }
}

/// An X display on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(pub u32);

impl FromVariable for DisplayName {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let number = text.strip_prefix(':').map(|text| text.strip_suffix(".0").unwrap_or(text));
        number.and_then(|text| text.parse().ok()).map(Self).ok_or("a local display such as :0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(pairs: &[(&str, &str)]) -> Raw {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn numbers_from_70000_on_are_resolved_to_ports() {
        let raw = raw(&[
            ("VAST_TCP_PORT_70001", "40123"),
            ("VAST_TCP_PORT_73478", "40200"),
            ("VAST_UDP_PORT_73478", "40201"),
            ("VAST_TCP_PORT_70002", "0"),
            ("VAST_TCP_PORT_70003", ""),
            ("RUNPOD_TCP_PORT_70004", "30004"),
        ]);
        for (text, host, relay) in [
            ("6100", Ok("6100"), Ok("6100")),
            ("70001", Ok("40123"), Ok("40123")),
            ("73478", Ok("40200"), Ok("40201")),
            ("70004", Ok("30004"), Ok("30004")),
            ("69999", Ok("69999"), Ok("69999")),
            (
                "70002",
                Err("in VAST_TCP_PORT_70002, where \"0\" is not a port"),
                Err("where \"0\" is not a port"),
            ),
            (
                "70003",
                Err("in VAST_TCP_PORT_70003 or RUNPOD_TCP_PORT_70003, and"),
                Err("VAST_UDP_PORT_70003 or"),
            ),
            ("99999", Err("the provider set none"), Err("the provider set none")),
        ] {
            for (found, expected) in [
                (HostPort::resolve(text.to_owned(), &raw), host),
                (RelayPort::resolve(text.to_owned(), &raw), relay),
            ] {
                match (&found, expected) {
                    (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                    (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                    _ => panic!("{text}: {found:?}"),
                }
            }
        }
        // A number that is not a provider's name is checked like any other port.
        assert!(HostPort::parse("69999").is_err() && HostPort::parse("0").is_err());
        assert_eq!(Port::resolve("70001".into(), &raw), Ok("70001".into()), "an inner port is a port");
    }

    #[test]
    fn ports_are_listed_by_number_or_by_the_providers_name() {
        let raw = raw(&[("VAST_TCP_PORT_70001", "40123")]);
        for (text, expected) in [
            ("", Some(&[][..])),
            ("6100, 70001,", Some(&[6100, 40123])),
            ("6100,many", None),
            ("70002", None),
        ] {
            let found = Ports::resolve(text.to_owned(), &raw).ok();
            let found = found.and_then(|text| Ports::parse(&text).ok());
            assert_eq!(found.map(|ports| ports.0).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn cookies_have_plain_names() {
        assert!(CookieName::parse("C.12345_auth_token").is_ok());
        for text in ["", "a b", "a=b", "a;b", "\u{e4}"] {
            assert!(CookieName::parse(text).is_err(), "{text:?}");
        }
    }
}
