//! What is asked for at the door, as the configuration says it or as somebody has chosen it since, and what can be
//! chosen.

use crate::config::env::PASSWORD_LIMIT;
use crate::config::secret::Secret;

/// What may be asked for at the door.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The one user.
    pub user: String,
    /// That user's password.
    pub password: Password,
    /// Tokens for `Authorization: Bearer` and `?token=`, too long to be guessed. Empty ones are ignored.
    pub tokens: Vec<Secret>,
    /// Whether the password does as well where a token is asked for, the user's name being left out. It is checked as
    /// everywhere, and counts as a guess when it is wrong: people choose passwords that can be guessed.
    pub password_as_token: bool,
    /// `false` opens every port.
    pub enabled: bool,
    /// Ports that are open to everybody.
    pub excluded: Vec<u16>,
    /// The cookie's name by http, where a provider expects a certain one. That of https is made of it.
    pub cookie: Option<String>,
}

/// How the password is known.
#[derive(Clone, Debug)]
pub enum Password {
    /// As it is typed. At most 72 bytes: bcrypt reads no more.
    Plain(Secret),
    /// As a bcrypt hash (`$2a$`, `$2b$`, `$2y$`).
    Hash(Secret),
}

impl Password {
    /// The text by which it is known, and what kind of text that is.
    pub(super) fn known(&self) -> (&'static str, &str) {
        match self {
            Self::Plain(secret) => ("plain", secret.reveal()),
            Self::Hash(secret) => ("hash", secret.reveal()),
        }
    }
}

/// Why something cannot be the user's name; nothing when it can.
pub fn user_problems(user: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if user.is_empty() {
        problems.push("the user name is empty".to_owned());
    }
    if user.contains(':') {
        problems.push("the user name holds a colon, which ends it in Basic authentication".to_owned());
    }
    if user.contains(char::is_control) {
        problems.push("the user name holds a control character, which nobody can type".to_owned());
    }
    if user.len() > LONGEST_USER {
        let length = user.len();
        problems.push(format!("the user name has {length} bytes, more than {LONGEST_USER}"));
    }
    problems
}

/// Why something cannot be a password; nothing when it can. The password itself is not in what it says.
pub fn password_problems(password: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if password.is_empty() {
        problems.push("the password is empty".to_owned());
    }
    if password.contains('\0') {
        problems.push("the password holds a zero byte, at which bcrypt begins anew".to_owned());
    }
    if password.contains(['\n', '\r']) {
        problems.push("the password has more than one line, which no login page takes".to_owned());
    }
    if password.len() > PASSWORD_LIMIT {
        let length = password.len();
        problems
            .push(format!("the password has {length} bytes; bcrypt ignores what is beyond {PASSWORD_LIMIT}"));
    }
    problems
}

/// A name is no more than this. Bytes.
const LONGEST_USER: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_typed_or_checked_is_refused_with_its_reason() {
        for (user, expected) in [
            ("user", ""),
            ("ä b@c", ""),
            ("", "is empty"),
            ("a:b", "holds a colon"),
            ("a\tb", "holds a control character"),
            ("a\u{85}b", "holds a control character"),
        ] {
            let problems = user_problems(user);
            assert_eq!(problems.len(), usize::from(!expected.is_empty()), "{user:?}: {problems:?}");
            assert!(problems.concat().contains(expected), "{user:?}: {problems:?}");
        }
        assert!(!user_problems(&"x".repeat(257)).is_empty());
        let (long, longer) = ("é".repeat(36), "é".repeat(36) + "x");
        for (password, expected) in [
            (" ", ""),
            (&*long, ""),
            ("", "is empty"),
            (&*longer, "has 73 bytes"),
            ("a\0b", "zero byte"),
            ("a\nb", "more than one line"),
        ] {
            let problems = password_problems(password);
            assert_eq!(problems.len(), usize::from(!expected.is_empty()), "{password:?}: {problems:?}");
            assert!(problems.concat().contains(expected), "{password:?}: {problems:?}");
            assert!(password.len() < 4 || !problems.concat().contains(password));
        }
        assert_eq!(password_problems(&"\0".repeat(80)).len(), 2, "all at once");
    }
}
