//! Figures as people read them.

/// A share of a whole.
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// Bytes in the largest unit of which there is at least one.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let (mut unit, mut rest) = (0, bytes);
    while rest >= 1 << 20 && unit + 1 < UNITS.len() {
        (unit, rest) = (unit + 1, rest >> 10);
    }
    format!("{}.{} {}", rest >> 10, ((rest & 1023) * 10) >> 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_digit_after_the_point() {
        for (number, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 40, "5.0 TiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }
}
