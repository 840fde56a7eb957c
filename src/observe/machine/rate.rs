//! Rates and shares from counters. Time comes from a clock that never jumps.

use std::time::Duration;

/// The longest time over which a mean says something about now.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// A number with four digits after the point: more are noise, and cost bytes in every event.
pub(super) fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// A share between 0 and 1.
pub(super) fn share(number: f64) -> f64 {
    round(number.clamp(0.0, 1.0))
}

/// How much a counter grew in a second. `None` for a counter that is not known or went back, and after a pause.
pub(super) fn rate(before: Option<u64>, after: Option<u64>, elapsed: Duration) -> Option<u64> {
    let more = after?.checked_sub(before?)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate of more than 2^52 is only rounded")]
    let rate = difference(more as f64, elapsed)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is rounded and positive")]
    Some(rate.round() as u64)
}

/// What `more` in this time is in a second. `None` after a pause, or without time.
pub(super) fn difference(more: f64, elapsed: Duration) -> Option<f64> {
    let usual = elapsed <= LONGEST && elapsed >= Duration::from_millis(10) && more >= 0.0;
    usual.then(|| more / elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_need_two_counters_that_grow_and_a_short_time() {
        let second = Duration::from_secs(1);
        for (before, after, elapsed, expected) in [
            (Some(100), Some(350), second, Some(250)),
            (Some(100), Some(350), second / 4, Some(1000)),
            (Some(100), Some(100), second, Some(0)),
            (Some(350), Some(100), second, None),
            (None, Some(100), second, None),
            (Some(100), None, second, None),
            (Some(0), Some(100), Duration::ZERO, None),
            (Some(0), Some(100), second * 11, None),
        ] {
            assert_eq!(rate(before, after, elapsed), expected);
        }
        assert_eq!((share(1.7), share(-0.1), share(0.123_456)), (1.0, 0.0, 0.1235));
    }
}
