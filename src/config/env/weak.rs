//! Detects passwords and tokens that are easy to guess. A weak password is reported as a problem and works all the
//! same, so that its owner is not locked out. A very weak token is not accepted: the rate limiter does not delay a
//! right token, so an attacker may try any number of tokens, and templates contain placeholders such as `1`.

/// Common passwords, and placeholders from examples. In lower case.
const COMMON: [&str; 24] = [
    "12345678",
    "123456789",
    "1234567890",
    "11111111",
    "admin123",
    "changeme",
    "changeme123",
    "changeit",
    "default",
    "desktop",
    "desktopd",
    "iloveyou",
    "letmein",
    "mypassword",
    "pass",
    "passw0rd",
    "password",
    "password1",
    "password123",
    "qwertyui",
    "qwerty123",
    "secret",
    "token",
    "user",
];

/// A shorter password can be guessed. Characters.
const PASSWORD: usize = 8;

/// A shorter token can be guessed: a right token is accepted after any number of wrong ones. Characters.
const TOKEN: usize = 16;

/// A token that is shorter than this is not accepted. Characters.
const LEAST_TOKEN: usize = 4;

/// Why a password can be guessed, if it can. The text contains no part of the password.
pub fn password(password: &str, user: &str) -> Option<&'static str> {
    if !user.is_empty() && password.eq_ignore_ascii_case(user) {
        return Some("it is the user's name");
    }
    if is_common(password) {
        return Some("it is among the first that people try");
    }
    (password.chars().count() < PASSWORD).then_some("it has fewer than 8 characters")
}

/// Why a token can be guessed, if it can.
pub fn token(token: &str) -> Option<&'static str> {
    if is_worthless(token) {
        return Some("it is easily guessed");
    }
    (token.chars().count() < TOKEN)
        .then_some("it has fewer than 16 characters, and no rate limit slows down guesses")
}

/// Whether a token is so easy to guess that it is not accepted.
pub fn is_worthless(token: &str) -> bool {
    token.chars().count() < LEAST_TOKEN || is_common(token)
}

/// Whether a text is a common word, or one repeated letter.
fn is_common(text: &str) -> bool {
    let lower = text.to_lowercase();
    let first = lower.chars().next();
    COMMON.contains(&lower.as_str()) || lower.chars().all(|letter| Some(letter) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_and_tokens_are_detected() {
        for (text, user, expected) in [
            ("password", "user", Some("among the first")),
            ("PassWord", "user", Some("among the first")),
            ("Ada-Lovelace", "ada-lovelace", Some("the user's name")),
            ("aaaaaaaaaaaa", "user", Some("among the first")),
            ("x7$kQ", "user", Some("fewer than 8")),
            ("x7$kQ-29", "user", None),
            ("öööüüüßß", "user", None),
        ] {
            let found = password(text, user);
            assert_eq!(found.is_some(), expected.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{text}: {found:?}");
        }
        for (text, weak, worthless) in [
            ("1", true, true),
            ("123", true, true),
            ("token", true, true),
            ("00000000000000000000", true, true),
            ("t0ken", true, false),
            ("0123456789abcde", true, false),
            ("0123456789abcdef0123456789abcdef", false, false),
        ] {
            assert_eq!((token(text).is_some(), is_worthless(text)), (weak, worthless), "{text}");
        }
    }
}
