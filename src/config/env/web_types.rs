//! Types of variables about web pages and services: hosts, addresses, origins, ports, names of headers.

use http::HeaderValue;

use super::value::{FromVariable, Port, list};
use crate::config::provider::host;
use crate::sys::env_file::Raw;

/// A name or an address under which clients reach this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(pub String);

impl FromVariable for Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let bare = host(text).map(|host| host.trim_matches(['[', ']']).to_owned());
        bare.map(Self).ok_or("a name or an address such as desk.example or 203.0.113.9, without a port")
    }

    /// Older images write `false` for none, and `auto#provider` for the provider's address.
    fn resolve(text: String, _: &Raw) -> Result<String, String> {
        let none = text.eq_ignore_ascii_case("false") || text.starts_with("auto#");
        Ok(if none { "localhost".to_owned() } else { text })
    }
}

/// The address of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress(pub String);

impl FromVariable for WebAddress {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = text.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        });
        plain.then(|| Self(text.to_owned())).ok_or("the address of a page such as https://desk.example/")
    }
}

/// Services whose requests get `localhost` as Host, by the services' own ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalhostPorts {
    /// All of them.
    All,
    /// These.
    Of(Vec<u16>),
}

impl LocalhostPorts {
    /// Whether the service at `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Of(ports) => ports.contains(&port),
        }
    }
}

impl FromVariable for LocalhostPorts {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(all) = bool::parse(text)
            && !text.chars().any(|c| c.is_ascii_digit())
        {
            return Ok(if all { Self::All } else { Self::Of(Vec::new()) });
        }
        let ports = list(text).map(|port| Port::parse(port).map(|Port(port)| port)).collect::<Result<_, _>>();
        ports.map(Self::Of).map_err(|_| "true, or ports separated by commas")
    }
}

/// Origins of web pages, as browsers write them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// These.
    pub exact: Vec<String>,
    /// Any origin; such an origin may never use a user's session.
    pub any: bool,
}

impl FromVariable for Origins {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut origins = Self::default();
        for text in list(text) {
            match text {
                "*" => origins.any = true,
                text => origins.exact.push(origin(text).ok_or(
                    "origins such as https://app.example or http://10.0.0.5:8080, without a path, separated by \
                     commas, or *",
                )?),
            }
        }
        Ok(origins)
    }
}

/// `https://name:port`, in lower case and without the default port.
fn origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let authority: http::uri::Authority = rest.parse().ok()?;
    let port = rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    let usual = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
    let plain = !rest.contains(['@', '*']) && !authority.host().is_empty() && usual;
    plain.then(|| format!("{scheme}://{}", rest.strip_suffix(default).unwrap_or(rest)))
}

/// Names of methods or headers, separated by commas as in a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens(pub HeaderValue);

impl FromVariable for Tokens {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let names: Vec<_> = list(text).collect();
        let word = |name: &&str| name.parse::<http::HeaderName>().is_ok();
        if !names.iter().all(word) {
            return Err("names separated by commas");
        }
        HeaderValue::try_from(names.join(", ")).map(Self).map_err(|_| "names separated by commas")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_normalized_as_browsers_write_them() {
        let origins =
            Origins::parse("https://App.example/, http://10.0.0.5:8080 ,https://a:443,http://[::1]:80,");
        let exact = ["https://app.example", "http://10.0.0.5:8080", "https://a", "http://[::1]"];
        assert_eq!(origins, Ok(Origins { exact: exact.map(str::to_owned).into(), any: false }));
        assert_eq!(Origins::parse("*"), Ok(Origins { exact: Vec::new(), any: true }));
        for wrong in [
            "app.example",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://u@a",
            "https://a:x",
            "https://*.a",
            "null",
        ] {
            assert!(Origins::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_and_web_addresses_are_checked() {
        for (text, expected) in [
            ("desk.example", Some("desk.example")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("FALSE", Some("localhost")),
            ("auto#vast-ai", Some("localhost")),
            ("https://desk.example", None),
            ("desk.example:80", None),
            ("a b", None),
        ] {
            let host = Host::resolve(text.into(), &Raw::new()).map(|text| Host::parse(&text));
            let host = host.unwrap().ok().map(|Host(host)| host);
            assert_eq!(host.as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("https://a/___", true),
            ("http://127.0.0.1:8080/x?y=z", true),
            ("desk.example", false),
            ("ftp://a/", false),
            ("javascript:alert(1)", false),
            ("/desk", false),
        ] {
            assert_eq!(WebAddress::parse(text).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn localhost_ports_are_all_or_a_list() {
        assert_eq!(LocalhostPorts::parse("TRUE"), Ok(LocalhostPorts::All));
        assert_eq!(LocalhostPorts::parse("3000, 7860,"), Ok(LocalhostPorts::Of(vec![3000, 7860])));
        assert_eq!(LocalhostPorts::parse("1"), Ok(LocalhostPorts::Of(vec![1])));
        assert!(!LocalhostPorts::parse("false").unwrap().contains(1));
        assert!(LocalhostPorts::parse("true,3000").is_err());
    }

    #[test]
    fn tokens_are_normalized_to_a_header_value() {
        assert_eq!(Tokens::parse("GET,POST ,").unwrap().0, "GET, POST");
        assert!(Tokens::parse("GET\r\nX: y").is_err());
    }
}
