//! Output as text for users, or as JSON for programs.

use std::time::Duration;

use serde::Serialize;

use crate::portal::Credentials;
use crate::sys::{print, terminal};

use super::Failure;

/// Prints `value` as JSON, or the text.
pub(super) fn print(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
        print::data((text + "\n").as_bytes())?;
    } else {
        print::out(&text())?;
    }
    Ok(())
}

/// Prints a value of a stream: as one line of JSON, or as text.
pub(super) fn print_line(
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(value).map_err(std::io::Error::from)?;
        print::data((text + "\n").as_bytes())?;
    } else {
        print::data(format!("{}\n", terminal::safe_line(&text())).as_bytes())?;
    }
    Ok(())
}

/// A time in milliseconds since the Unix epoch.
pub(super) fn time(at: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(at).unwrap_or_default())
}

/// How long ago a time was, as a short text.
pub(super) fn age(milliseconds: i64) -> String {
    let seconds = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// The credentials for the login page.
pub(super) fn credentials(credentials: &Credentials) -> String {
    let unknown =
        if credentials.chosen { "(set with set-web-credentials)" } else { "(only its hash is known)" };
    let password = credentials.password.as_deref().unwrap_or(unknown);
    format!("user:     {}\npassword: {password}\ntoken:    {}\n", credentials.user, credentials.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (ms, expected) in
            [(-5, "0s"), (59_999, "59s"), (61_000, "1m1s"), (3_660_000, "1h1m"), (90_000_000, "1d1h")]
        {
            assert_eq!(age(ms), expected);
        }
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(time(1_767_225_600_007), "2026-01-01T00:00:00.007Z");
    }
}
