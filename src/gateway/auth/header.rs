//! The `Authorization` header.

use axum::http::HeaderValue;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Some clients omit the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Credentials that a client sends. Bytes, because they need not be UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    /// A user and a password.
    Basic(Pair),
    /// A token.
    Bearer(&'a [u8]),
}

/// A user and a password in one buffer, as they were sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    text: Vec<u8>,
    colon: usize,
}

impl Pair {
    pub(super) fn user(&self) -> &[u8] {
        &self.text[..self.colon]
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.text[self.colon + 1..]
    }
}

impl<'a> Presented<'a> {
    /// Parses the header's value; `None` for schemes that the gateway does not support.
    pub(super) fn read(value: &'a HeaderValue) -> Option<Self> {
        let text = std::str::from_utf8(value.as_bytes()).ok()?.trim();
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(rest.as_bytes()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = BASE64.decode(rest).ok()?;
        let colon = text.iter().position(|b| *b == b':')?;
        Some(Self::Basic(Pair { text, colon }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The parsed parts.
    fn read(value: &str) -> Option<Vec<Vec<u8>>> {
        let value = HeaderValue::from_str(value).unwrap();
        Presented::read(&value).map(|shown| match shown {
            Presented::Basic(pair) => vec![pair.user().to_vec(), pair.password().to_vec()],
            Presented::Bearer(token) => vec![token.to_vec()],
        })
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn all_forms_that_clients_send_are_parsed() {
        for (value, shown) in [
            ("Basic dXNlcjpwYXNz", &["user", "pass"][..]),
            ("basic   dXNlcjpwYXNz", &["user", "pass"]),
            ("BASIC dXNlcjpwOmE=", &["user", "p:a"]),
            ("Basic dXNlcjpwOmE", &["user", "p:a"]),
            ("Basic Og==", &["", ""]),
            ("Basic dXNlcg==", &[]),
            ("Basic", &[]),
            ("Basic !!!", &[]),
            ("Bearer abc", &["abc"]),
            ("bearer  abc ", &["abc"]),
            ("Bearer pässwort", &["pässwort"]),
            ("Bearer ", &[]),
            ("Digest abc", &[]),
            ("", &[]),
        ] {
            assert_eq!(read(value).unwrap_or_default(), words(shown), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_pair_is_encoded_and_parsed_unchanged(user in "[^:\\PC]{0,20}", password in "\\PC{0,80}") {
            let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
            prop_assert_eq!(read(&value), Some(words(&[&user, &password])));
        }

        #[test]
        fn nothing_panics(value in "[ -~]{0,60}") {
            let _ = read(&value);
        }
    }
}
