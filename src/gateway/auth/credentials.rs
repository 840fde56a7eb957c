//! What is asked for at the door, as the configuration says it.

use crate::config::secret::Secret;

/// What may be asked for at the door.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The one user.
    pub user: String,
    /// That user's password.
    pub password: Password,
    /// Tokens for `Authorization: Bearer` and `?token=`. Empty ones are ignored.
    pub tokens: Vec<Secret>,
    /// `false` opens every port.
    pub enabled: bool,
    /// Ports that are open to everybody.
    pub excluded: Vec<u16>,
    /// The cookie's name, where a provider expects a certain one.
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
