//! The arguments of steps.

use std::time::Duration;

pub(super) fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("'{text}' is not an id"))
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| format!("'{text}' is not a number of seconds"))
}

/// The same values that are true in the table of variables.
pub(super) fn is_on(text: &str) -> bool {
    ["true", "1", "yes", "on"].contains(&text.to_ascii_lowercase().as_str())
}
