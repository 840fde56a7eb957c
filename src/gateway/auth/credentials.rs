//! The credentials that the gateway accepts, from the configuration or set at run time, and the rules for valid ones.

use crate::config::env::PASSWORD_LIMIT;
use crate::config::secret::Secret;

/// The credentials and authentication settings from the configuration.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The one user.
    pub user: String,
    /// That user's password.
    pub password: Password,
    /// Tokens for `Authorization: Bearer` and `?token=`. They must be too long to be guessed. Empty tokens are ignored.
    pub tokens: Vec<Secret>,
    /// Whether the password is also accepted in place of a token, without a user name. The password is checked as
    /// usual, and a wrong one counts as a guess: people choose passwords that can be guessed.
    pub password_as_token: bool,
    /// `false` opens every port.
    pub enabled: bool,
    /// Ports that need no login.
    pub excluded: Vec<u16>,
    /// The name of the http cookie, if a provider expects a certain one. The name of the https cookie is derived from
    /// it.
    pub cookie: Option<String>,
}

/// The form in which the password is given.
#[derive(Clone, Debug)]
pub enum Password {
    /// In plain text. At most 72 bytes: bcrypt reads no more.
    Plain(Secret),
    /// As a bcrypt hash (`$2a$`, `$2b$`, `$2y$`).
    Hash(Secret),
}

impl Password {
    /// The given text, and its kind.
    pub(super) fn known(&self) -> (&'static str, &str) {
        match self {
            Self::Plain(secret) => ("plain", secret.reveal()),
            Self::Hash(secret) => ("hash", secret.reveal()),
        }
    }
}

/// Why a text is not acceptable as the user name; empty if it is acceptable.
pub fn user_problems(user: &str) -> Vec<String> {
    let length = user.len();
    problems([
        (user.is_empty(), "is empty".to_owned()),
        (user.contains(':'), "holds a colon, which ends it in Basic authentication".to_owned()),
        (user.contains(char::is_control), "holds a control character, which cannot be typed".to_owned()),
        (length > LONGEST_USER, format!("has {length} bytes, more than {LONGEST_USER}")),
    ])
    .map(|problem| format!("the user name {problem}"))
    .collect()
}

/// Why a text is not acceptable as a password; empty if it is acceptable. The messages do not contain the password.
pub fn password_problems(password: &str) -> Vec<String> {
    let length = password.len();
    problems([
        (password.is_empty(), "is empty".to_owned()),
        (password.contains('\0'), "holds a zero byte, after which bcrypt repeats the password".to_owned()),
        (password.contains(['\n', '\r']), "has more than one line, which no login page takes".to_owned()),
        (
            length > PASSWORD_LIMIT,
            format!("has {length} bytes; bcrypt ignores what is beyond {PASSWORD_LIMIT}"),
        ),
    ])
    .map(|problem| format!("the password {problem}"))
    .collect()
}

fn problems(all: [(bool, String); 4]) -> impl Iterator<Item = String> {
    all.into_iter().filter_map(|(applies, problem)| applies.then_some(problem))
}

/// The longest user name. Bytes.
const LONGEST_USER: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unacceptable_user_names_and_passwords_are_refused_with_the_reason() {
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
