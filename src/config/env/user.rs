//! Types of variables about the desktop's user.

use super::value::FromVariable;

/// A login name. It is part of `/etc/passwd`, of paths and of sudo rules, so it must be a plain word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(pub String);

/// The longest login name that `/etc/passwd` takes.
const LONGEST: usize = 32;

impl FromVariable for UserName {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let fits = text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && text.len() <= LONGEST
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
