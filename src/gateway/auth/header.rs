//! The `Authorization` header.

use axum::http::HeaderValue;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Clients exist that leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client shows. Bytes, because nothing says that they are UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// A user and a password.
    Basic { user: Vec<u8>, password: Vec<u8> },
    /// A token.
    Bearer(Vec<u8>),
}

impl Presented {
    /// Reads the header's value; `None` for schemes that we don't speak.
    pub(super) fn read(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?.trim();
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(rest.as_bytes().to_vec()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64.decode(rest).ok()?;
        let colon = decoded.iter().position(|b| *b == b':')?;
        Some(Self::Basic { user: decoded[..colon].to_vec(), password: decoded[colon + 1..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Option<Presented> {
        Presented::read(&HeaderValue::from_str(value).unwrap())
    }

    fn basic(user: &str, password: &str) -> Presented {
        Presented::Basic { user: user.into(), password: password.into() }
    }

    #[test]
    fn what_clients_send_is_read() {
        for (value, shown) in [
            ("Basic dXNlcjpwYXNz", Some(basic("user", "pass"))),
            ("basic   dXNlcjpwYXNz", Some(basic("user", "pass"))),
            ("BASIC dXNlcjpwOmE=", Some(basic("user", "p:a"))),
            ("Basic dXNlcjpwOmE", Some(basic("user", "p:a"))),
            ("Basic Og==", Some(basic("", ""))),
            ("Basic dXNlcg==", None),
            ("Basic", None),
            ("Basic !!!", None),
            ("Bearer abc", Some(Presented::Bearer(b"abc".to_vec()))),
            ("bearer  abc ", Some(Presented::Bearer(b"abc".to_vec()))),
            ("Bearer ", None),
            ("Digest abc", None),
            ("", None),
        ] {
            assert_eq!(read(value), shown, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_pair_survives(user in "[^:\\PC]{0,20}", password in "\\PC{0,80}") {
            let value = format!("Basic {}", BASE64.encode(format!("{user}:{password}")));
            prop_assert_eq!(read(&value), Some(basic(&user, &password)));
        }

        #[test]
        fn nothing_panics(value in "[ -~]{0,60}") {
            let _ = read(&value);
        }
    }
}
