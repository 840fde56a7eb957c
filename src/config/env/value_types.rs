//! Types of variables with few values: words, numbers within bounds, and addresses that mean "none".

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;

use super::value::FromVariable;
use crate::sys::env_file::Raw;

/// A type for a variable that is one of a few words, in any case.
macro_rules! keywords {
    ($(#[$doc:meta])* $name:ident, $allowed:literal, $($word:literal => $(#[$variant_doc:meta])* $variant:ident),+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl FromVariable for $name {
            fn parse(text: &str) -> Result<Self, &'static str> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($allowed),
                }
            }

            fn resolve(text: String, _: &Raw) -> Result<String, String> {
                Ok(text.to_ascii_lowercase())
            }
        }
    };
}

keywords! {
    /// How cloudflared talks to Cloudflare.
    Transport, "http2, quic or auto",
    "http2" =>
        /// Over TCP, which works in all networks.
        Http2,
    "quic" =>
        /// Over UDP.
        Quic,
    "auto" =>
        /// Cloudflared chooses.
        Auto
}

keywords! {
    /// Which log lines are copied to the container's output.
    LogToStdout, "all, default or none",
    "all" =>
        /// Everything.
        All,
    "default" =>
        /// Everything except the usual output of the image's own services.
        Default,
    "none" =>
        /// Nothing.
        None
}

impl From<LogToStdout> for crate::logs::Copied {
    fn from(wanted: LogToStdout) -> Self {
        match wanted {
            LogToStdout::All => Self::All,
            LogToStdout::Default => Self::Loud,
            LogToStdout::None => Self::Nothing,
        }
    }
}

keywords! {
    /// The protocol to a TURN server.
    TurnProtocol, "udp or tcp",
    "udp" =>
        /// Over UDP.
        Udp,
    "tcp" =>
        /// Over TCP.
        Tcp
}

keywords! {
    /// Whether the workspace is mounted, as the variable says.
    Mounted, "force, true or false",
    "force" =>
        /// The workspace counts as mounted, whether the kernel reports a mount or not.
        Force,
    "true" =>
        /// An older image's script found it mounted; the daemon checks by itself.
        Yes,
    "false" =>
        /// An older image's script found it not mounted; the daemon checks by itself.
        No
}

/// True or false; any other text counts as true, as in many programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromVariable for Switch {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self(bool::parse(text).unwrap_or(true)))
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within<const LEAST: u32, const MOST: u32>(pub u32);

impl<const LEAST: u32, const MOST: u32> FromVariable for Within<LEAST, MOST> {
    fn parse(text: &str) -> Result<Self, &'static str> {
        text.parse().map(Self).map_err(|_| "a whole number")
    }

    fn resolve(text: String, _: &Raw) -> Result<String, String> {
        match text.trim().parse::<u32>() {
            Ok(number) if (LEAST..=MOST).contains(&number) => Ok(number.to_string()),
            _ => Err(format!("\"{text}\" is not a whole number from {LEAST} to {MOST}")),
        }
    }
}

impl<const LEAST: u32, const MOST: u32> fmt::Display for Within<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of things; `all` is the same as unset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u32);

impl FromVariable for Count {
    fn parse(text: &str) -> Result<Self, &'static str> {
        text.parse().map(Self).map_err(|_| "a whole number or all")
    }

    fn resolve(text: String, _: &Raw) -> Result<String, String> {
        Ok(if text.eq_ignore_ascii_case("all") { String::new() } else { text })
    }
}

/// A latency as PipeWire writes it: samples at a rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency(String);

impl FromVariable for Latency {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let parts = text.split_once('/').map(|(samples, rate)| (samples.parse::<u32>(), rate.parse::<u32>()));
        match parts {
            Some((Ok(1..), Ok(1..))) => Ok(Self(text.to_owned())),
            _ => Err("samples/rate such as 128/48000"),
        }
    }
}

/// The name or address of a TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnHost(pub String);

impl FromVariable for TurnHost {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self(text.to_owned()))
    }

    /// A loopback address without a user name and a password means no server: a well-known compose file contains it as
    /// a placeholder that the user has not filled in.
    fn resolve(text: String, raw: &Raw) -> Result<String, String> {
        let loopback = text.eq_ignore_ascii_case("localhost")
            || text.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let set = |name: &str| raw.get(OsStr::new(name)).is_some_and(|value| !value.is_empty());
        let known = ["TURN_USERNAME", "TURN_PASSWORD"]
            .iter()
            .any(|name| ["", "SELKIES_", "WEBRTC_"].iter().any(|prefix| set(&format!("{prefix}{name}"))));
        Ok(if loopback && !known { String::new() } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_any_case_and_errors_list_the_valid_ones() {
        assert_eq!(TurnProtocol::parse("TCP"), Ok(TurnProtocol::Tcp));
        assert_eq!(TurnProtocol::resolve("TCP".into(), &Raw::new()), Ok("tcp".into()));
        assert_eq!(TurnProtocol::parse("tls"), Err("udp or tcp"));
        assert_eq!(Transport::parse("Quic"), Ok(Transport::Quic));
        assert_eq!(Transport::parse("http"), Err("http2, quic or auto"));
        for (text, expected) in [("force", Mounted::Force), ("true", Mounted::Yes), ("False", Mounted::No)] {
            assert_eq!(Mounted::parse(text), Ok(expected));
        }
        assert!(Mounted::parse("maybe").is_err());
    }

    #[test]
    fn numbers_have_bounds() {
        type Width = Within<16, 32767>;
        for (text, expected) in
            [("16", Some("16")), (" 1920 ", Some("1920")), ("32768", None), ("-1", None), ("x", None)]
        {
            assert_eq!(Width::resolve(text.into(), &Raw::new()).ok().as_deref(), expected, "{text}");
        }
        let told = Width::resolve("0".into(), &Raw::new()).unwrap_err();
        assert_eq!(told, "\"0\" is not a whole number from 16 to 32767");
        assert_eq!(Count::resolve("ALL".into(), &Raw::new()), Ok(String::new()));
        assert!(Count::parse("many").is_err());
    }

    #[test]
    fn a_latency_is_a_fraction() {
        assert!(Latency::parse("32/48000").is_ok());
        for text in ["", "32", "32/", "/48000", "0/48000", "32/0", "a/b", "32/48000/1"] {
            assert!(Latency::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn loopback_turn_server_without_a_login_counts_as_unset() {
        for (text, user, expected) in [
            ("127.0.0.1", None, ""),
            ("localhost", None, ""),
            ("::1", None, ""),
            ("127.0.0.1", Some("SELKIES_TURN_USERNAME"), "127.0.0.1"),
            ("203.0.113.9", None, "203.0.113.9"),
            ("turn.example", None, "turn.example"),
        ] {
            let raw = user.map(|name| (name.into(), "me".into())).into_iter().collect();
            assert_eq!(TurnHost::resolve(text.into(), &raw).as_deref(), Ok(expected), "{text} {user:?}");
        }
    }

    #[test]
    fn switch_takes_any_other_text_as_true() {
        for (text, expected) in [("true", true), ("1", true), ("app:*", true), ("false", false), ("0", false)]
        {
            assert_eq!(Switch::parse(text), Ok(Switch(expected)), "{text}");
        }
    }
}
