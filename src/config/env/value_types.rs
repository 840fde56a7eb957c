//! Types of variables with few values: words, numbers within bounds, sizes, names, and addresses that mean "none".

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;

use super::value::FromVariable;
use crate::logs::Copied;
use crate::sys::env_file::Raw;

/// Values that are one of a few words, in any case.
macro_rules! words {
    ($type:ty, $allowed:literal, $($word:literal => $value:expr),+) => {
        impl FromVariable for $type {
            fn parse(text: &str) -> Result<Self, &'static str> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Ok($value),)+
                    _ => Err($allowed),
                }
            }

            fn resolve(text: String, _: &Raw) -> Result<String, String> {
                Ok(text.to_ascii_lowercase())
            }
        }
    };
}

words!(Copied, "all, default or none", "all" => Self::All, "default" => Self::Loud, "none" => Self::Nothing);

/// The user of the portal's terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalUser {
    /// The desktop's user.
    User,
    /// Root.
    Root,
}

words!(TerminalUser, "user or root", "user" => Self::User, "root" => Self::Root);

/// How cloudflared talks to Cloudflare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over TCP, which works in all networks.
    Http2,
    /// Over UDP.
    Quic,
    /// Cloudflared chooses.
    Auto,
}

words!(Transport, "http2, quic or auto", "http2" => Self::Http2, "quic" => Self::Quic, "auto" => Self::Auto);

/// The protocol to a TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnProtocol {
    /// Over UDP.
    Udp,
    /// Over TCP.
    Tcp,
}

words!(TurnProtocol, "udp or tcp", "udp" => Self::Udp, "tcp" => Self::Tcp);

/// Whether the workspace is mounted, as the variable says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounted {
    /// The workspace counts as mounted, whether the kernel reports a mount or not.
    Force,
    /// An older image's script found it mounted; the daemon checks by itself.
    Yes,
    /// An older image's script found it not mounted; the daemon checks by itself.
    No,
}

words!(Mounted, "force, true or false", "force" => Self::Force, "true" => Self::Yes, "false" => Self::No);

/// The display backend that the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisplayChoice {
    /// The best that works here.
    Auto,
    /// Xorg with a GPU's driver.
    Xorg,
    /// Xvfb, with VirtualGL on a GPU.
    VirtualGl,
    /// Xvfb, drawn by the CPU.
    Llvmpipe,
}

words!(
    DisplayChoice, "auto, xorg, virtualgl or llvmpipe",
    "auto" => Self::Auto, "xorg" => Self::Xorg, "virtualgl" => Self::VirtualGl, "llvmpipe" => Self::Llvmpipe
);

/// True or false; any other text counts as true, as in many programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromVariable for Switch {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self(bool::parse(text).unwrap_or(true)))
    }
}

/// Whether a license is accepted. Only a clear yes accepts: a wrong value counts as no, whatever the default is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted(pub bool);

impl FromVariable for Accepted {
    const INSTEAD: Option<&'static str> = Some("false");

    fn parse(text: &str) -> Result<Self, &'static str> {
        bool::parse(text).map(Self)
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

/// An output of a GPU by the names of NVIDIA's driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPort(pub String);

impl FromVariable for VideoPort {
    fn parse(text: &str) -> Result<Self, &'static str> {
        // The text is written into the configuration of Xorg.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_., ".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("an output such as DFP, DP-0 or HDMI-0, or none")
        }
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

/// The smallest and the largest side that an X server can have.
const LEAST_SIDE: u32 = 16;
const MOST_SIDE: u32 = 32767;

/// A width and a height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl FromVariable for Size {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (width, height) = text.split_once('x').ok_or("a size such as 3840x2160")?;
        let side = |text: &str| match text.trim().parse::<u32>() {
            Ok(side) if (LEAST_SIDE..=MOST_SIDE).contains(&side) => Ok(side),
            _ => Err("a size such as 3840x2160"),
        };
        Ok(Self { width: side(width)?, height: side(height)? })
    }

    fn resolve(text: String, _: &Raw) -> Result<String, String> {
        let lower = text.to_ascii_lowercase();
        match Self::parse(&lower) {
            Ok(size) => Ok(size.to_string()),
            Err(_) => Err(format!(
                "\"{text}\" is not a size such as 3840x2160, with sides from {LEAST_SIDE} to {MOST_SIDE} pixels"
            )),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A login name. It is part of `/etc/passwd`, of paths and of sudo rules, so it must be a plain word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(pub String);

/// The longest login name that `/etc/passwd` takes.
const LONGEST_NAME: usize = 32;

impl FromVariable for UserName {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let fits = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && text.len() <= LONGEST_NAME
            && text.bytes().all(plain);
        let allowed = "a login name such as \"ada\": small letters, digits, _ and -, at most 32 of them";
        if fits { Ok(Self(text.to_owned())) } else { Err(allowed) }
    }
}

/// The login name for the web services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUser(pub String);

impl FromVariable for WebUser {
    fn parse(text: &str) -> Result<Self, &'static str> {
        // A browser sends name and password separated by a colon.
        let fits = !text.contains(|c: char| c == ':' || c.is_control());
        if fits { Ok(Self(text.to_owned())) } else { Err("a name without a colon") }
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
        assert!(VideoPort::parse("DP-0, HDMI-0").is_ok() && VideoPort::parse("DFP\"\nLoad \"x").is_err());
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

    #[test]
    fn a_size_has_two_sides_within_bounds() {
        for (text, expected) in [
            ("3840x2160", Some("3840x2160")),
            (" 3840 X 2160 ", Some("3840x2160")),
            ("3840", None),
            ("3840x", None),
            ("3840x2160x24", None),
            ("15x2160", None),
            ("3840x32768", None),
            ("-1x2160", None),
        ] {
            assert_eq!(Size::resolve(text.into(), &Raw::new()).ok().as_deref(), expected, "{text}");
        }
        let told = Size::resolve("large".into(), &Raw::new()).unwrap_err();
        assert!(told.starts_with("\"large\" is not a size such as 3840x2160"), "{told}");
    }

    #[test]
    fn login_names_are_plain_words() {
        for (text, expected) in [
            ("user", true),
            ("_svc-2", true),
            ("root", true),
            ("", false),
            ("Ada", false),
            ("1st", false),
            ("-o", false),
            ("a b", false),
            ("../etc", false),
            ("a:0", false),
            ("ада", false),
            ("a23456789012345678901234567890123", false),
        ] {
            assert_eq!(UserName::parse(text).is_ok(), expected, "{text}");
        }
    }
}
