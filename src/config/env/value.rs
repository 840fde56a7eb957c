//! What a variable can hold: each type with the texts that it accepts, and what it says of the others.

use crate::config::secret::Secret;

/// A type that a variable can have.
pub(super) trait FromVariable: Sized {
    const SECRET: bool = false;
    /// Whether quotes and `___` are meant literally.
    const LITERAL: bool = false;
    fn parse(text: &str) -> Result<Self, &'static str>;
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

/// TCP ports, separated by commas. Empty: none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl FromVariable for Ports {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let ports = text.split(',').map(str::trim).filter(|port| !port.is_empty());
        let ports: Result<Vec<u16>, _> = ports.map(|port| Port::parse(port).map(|port| port.0)).collect();
        ports.map(Self).map_err(|_| "a list of ports from 1 to 65535, separated by commas, such as 1111,6100")
    }
}

impl FromVariable for String {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(text.to_owned())
    }
}

impl FromVariable for Secret {
    const SECRET: bool = true;
    const LITERAL: bool = true;
    fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self::new(text))
    }
}

impl<T: FromVariable> FromVariable for Option<T> {
    const SECRET: bool = T::SECRET;
    const LITERAL: bool = T::LITERAL;
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }
}

/// A bcrypt hash ready made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash(pub Secret);

impl FromVariable for PasswordHash {
    const SECRET: bool = true;
    const LITERAL: bool = true;
    fn parse(text: &str) -> Result<Self, &'static str> {
        let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        if known && text.parse::<bcrypt::HashParts>().is_ok() {
            return Ok(Self(Secret::new(text)));
        }
        Err("a bcrypt hash such as $2b$12$… with 60 characters (in a compose file each $ is written $$)")
    }
}

/// A password that bcrypt can hash whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password(pub Secret);

/// What bcrypt looks at of a password. Bytes.
pub const PASSWORD_LIMIT: usize = 72;

impl FromVariable for Password {
    const SECRET: bool = true;
    const LITERAL: bool = true;
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

/// Which way of drawing was asked for.
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

impl FromVariable for DisplayChoice {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "xorg" => Ok(Self::Xorg),
            "virtualgl" => Ok(Self::VirtualGl),
            "llvmpipe" => Ok(Self::Llvmpipe),
            _ => Err("auto, xorg, virtualgl or llvmpipe"),
        }
    }
}
