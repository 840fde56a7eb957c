//! Secrets that can be guessed. Such a password is shown as a problem and works all the same, so that its owner is not
//! locked out. A token that everybody knows is not taken: the rate limiter does not hold up a right token, so an attacker
//! may try as many as they like, and templates carry stand-ins such as `1`.

/// What people try first, and what examples have. In small letters.
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

/// A shorter token can be guessed: a right one is let in however many wrong ones came before. Characters.
const TOKEN: usize = 16;

/// One that is shorter still is hardly one. Characters.
const LEAST_TOKEN: usize = 4;

/// Why a password can be guessed, if it can. What is said names no part of it.
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
        return Some("it is hardly a secret");
    }
    (token.chars().count() < TOKEN)
        .then_some("it has fewer than 16 characters, and nothing slows down a guess")
}

/// Whether a token is so easily guessed that it is none.
pub fn is_worthless(token: &str) -> bool {
    token.chars().count() < LEAST_TOKEN || is_common(token)
}

/// A word that everybody knows, or one letter again and again.
fn is_common(text: &str) -> bool {
    let lower = text.to_lowercase();
    let first = lower.chars().next();
    COMMON.contains(&lower.as_str()) || lower.chars().all(|letter| Some(letter) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_guessed_is_told_apart() {
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
