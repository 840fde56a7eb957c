//! Statistics of many times.

use std::time::Duration;

/// Prints the number of times, their median, their 99th percentile and the longest, in microseconds.
pub fn print(mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts"
        )]
        let index = (times.len() as f64 * part) as usize;
        times.get(index.min(times.len().saturating_sub(1))).map_or(0, Duration::as_micros)
    };
    println!("count={} p50={} p99={} max={}", times.len(), at(0.5), at(0.99), at(1.0));
}
