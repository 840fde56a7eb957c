//! How far a reader is in each log, as a text that clients send back.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The longest text of a cursor. Bytes.
const LONGEST: usize = 16 << 10;

/// How many rows of each log a reader has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// When the logs were made.
    pub(super) boot: i64,
    pub(super) passed: BTreeMap<String, u64>,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.boot)?;
        self.passed.iter().try_for_each(|(name, passed)| write!(f, ",{name}:{passed}"))
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(',');
        let boot =
            parts.next().and_then(|boot| boot.parse().ok()).filter(|_| text.len() <= LONGEST).ok_or(())?;
        let passed = parts.map(|part| {
            let (name, passed) = part.rsplit_once(':')?;
            Some((name.to_owned(), passed.parse().ok()?))
        });
        Ok(Self { boot, passed: passed.collect::<Option<_>>().ok_or(())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for text in ["1", "17,a:1", "-5,a:0,b-c.d:18446744073709551615"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in
            ["", "x", "1,", "1,a", "1,a:", "1,a:-1", "1,a:x", &format!("1,a:1{}", ",b:1".repeat(5000))]
        {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
        }
    }
}
