//! Classifies variables by name: whether a variable is in the table, and whether its value is a secret.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::table::{TABLE, Variable};
use crate::config::problem::nearest;

/// The row of the table with this name.
pub fn row(name: &str) -> Option<&'static Variable> {
    TABLE.iter().find(|variable| variable.names.contains(&name))
}

/// Whether a variable's value should be masked wherever variables are shown.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let parts =
        ["PASSWORD", "PASSWD", "TOKEN", "SECRET", "CREDENTIAL", "PRIVATE_KEY", "API_KEY", "ACCESS_KEY"];
    is_own_secret(&name)
        || parts.iter().any(|part| name.contains(part))
        || name.ends_with("_KEY")
        || (name.starts_with("RCLONE_") && name.ends_with("_PASS"))
}

/// Whether a variable is one of our own secrets, which reach only the units that name them.
pub fn is_own_secret(name: &str) -> bool {
    row(name).is_some_and(|variable| variable.secret)
}

/// Whether a value is a common word and not a secret: masking such a word would make logs unreadable.
pub(super) fn is_word(value: &str) -> bool {
    ["true", "false", "none", "user", "password"].contains(&value)
}

/// The name of a known variable that is most similar to `name`, for messages about templates.
pub fn nearest_variable(name: &str) -> Option<&'static str> {
    nearest(name, TABLE.iter().flat_map(|variable| variable.names.iter().copied()))
}

/// `NAME=value` with a name that a shell could export.
pub(super) fn split(argument: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let bytes = argument.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..]));
    crate::sys::env_file::is_name(name).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in
            ["WEB_PASSWORD", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "RCLONE_CONFIG_X_PASS", "CONTAINER_API_KEY"]
        {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["PATH", "KEYBOARD", "LANG", "SSH_PUBKEY"] {
            assert!(!looks_secret(name), "{name}");
        }
        // The aliases of a secret variable are secret as well.
        assert!(is_own_secret("SELKIES_TURN_PASSWORD") && !is_own_secret("HF_TOKEN"));
    }
}
