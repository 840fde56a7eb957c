//! Quantities in the configuration's texts: durations and sizes.

use std::time::Duration;

/// A time in milliseconds since the Unix epoch: so many of them, an absolute time (UTC if it has no offset; a day means
/// its beginning), or how long before `now`.
pub fn time(text: &str, now: i64) -> Option<i64> {
    if let Some(ago) = duration(text) {
        return Some(now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)));
    }
    // Fewer digits are a number without its unit.
    if text.len() >= 10 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    let local = text.parse::<jiff::civil::DateTime>().ok()?;
    let at = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}

/// The longest time to wait.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// `250ms`, `5s`, `2m`, `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

/// Like [`duration`] as a time to wait, limited so that the clock does not overflow: a century is as good as for ever.
pub(super) fn wait(text: &str) -> Option<Duration> {
    duration(text).map(|time| time.min(CENTURY))
}

/// `64KiB`, `10MiB`, `1GiB`, or plain bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        for (text, expected) in [
            ("250ms", Some(Duration::from_millis(250))),
            ("2m", Some(Duration::from_secs(120))),
            ("1h", Some(Duration::from_secs(3600))),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        assert_eq!(wait("18446744073709551615s"), Some(CENTURY));
        assert_eq!(size("64KiB"), Some(65536));
        assert_eq!(size("10MB"), None);
    }
}
