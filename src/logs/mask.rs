//! Values of secrets, replaced wherever text is shown: as they are, and in the encodings in which programs print them.
//!
//! What holds: a value of at least 4 bytes is found within one line as it is, escaped as in JSON, percent-encoded and
//! in hexadecimal; one of at least 6 bytes also in base64, of both alphabets and with any text before and after it.
//! What does not: a value that a program cuts by a line end, changes in another way, or mixes with colours.

mod encodings;

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// What stands in a secret's place.
const MASK: &str = "******";

/// Shorter values would mask ordinary text.
const SHORTEST: usize = 4;

#[derive(Default)]
struct Known {
    values: Vec<String>,
    /// The values in all encodings.
    patterns: Vec<String>,
    searcher: Option<AhoCorasick>,
    /// One for each pattern, as the searcher wants them.
    masks: Vec<&'static str>,
}

/// Replaces secrets in texts.
#[derive(Default)]
pub struct Mask {
    known: RwLock<Known>,
}

impl Mask {
    /// Values that must never be shown. Very short ones would mask ordinary text and are ignored.
    pub fn hide(&self, values: impl IntoIterator<Item = String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // A value of several lines comes line by line.
        let lines = values.into_iter().flat_map(|value| {
            let whole = value.contains('\n').then(|| value.clone());
            value.lines().map(str::to_owned).chain(whole).collect::<Vec<_>>()
        });
        known.values.extend(lines.filter(|value| value.len() >= SHORTEST));
        if known.values.is_empty() {
            return;
        }
        known.values.sort();
        known.values.dedup();
        let mut patterns: Vec<String> = known.values.iter().flat_map(|value| encodings::of(value)).collect();
        patterns.sort();
        patterns.dedup();
        known.masks = vec![MASK; patterns.len()];
        // The longest of several that match: one secret may begin like another.
        // An automaton with a table for each state would take ten times the memory of this kind.
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest).kind(Some(AhoCorasickKind::ContiguousNFA));
        known.searcher = builder.build(&patterns).ok();
        known.patterns = patterns;
    }

    /// `text` without them.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match &known.searcher {
            Some(searcher) if searcher.is_match(text) => searcher.replace_all(text, &known.masks).into(),
            _ => text.into(),
        }
    }

    /// How many bytes at the end of `text` may be the beginning of a secret, whose rest has not come yet.
    pub fn unfinished(&self, text: &[u8]) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let longest = |pattern: &String| {
            let pattern = pattern.as_bytes();
            let most = text.len().min(pattern.len() - 1);
            (1..=most).rev().find(|length| text.ends_with(&pattern[..*length])).unwrap_or(0)
        };
        known.patterns.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn secrets_are_replaced_wherever_they_stand() {
        let mask = Mask::default();
        assert_eq!(mask.apply("nothing to hide"), "nothing to hide");
        mask.hide(["hunter22".into(), "hunter22-long".into(), "abc".into(), "key\nof lines".into()]);
        assert_eq!(mask.apply("a hunter22 b hunter22-long c"), "a ****** b ****** c");
        assert_eq!(mask.apply("abc of lines"), "abc ******");
        assert_eq!(mask.apply("\"key\\nof lines\""), "\"******\"");
    }

    #[test]
    fn secrets_are_found_in_the_usual_encodings() {
        let secret = "p&ss w/rd+\"ü\"\\";
        let mask = Mask::default();
        mask.hide([secret.to_owned()]);
        for text in [
            // curl --data-urlencode, encodeURIComponent, Python's quote and quote_plus, a form, lower case, a whole URL.
            "p%26ss%20w%2Frd%2B%22%C3%BC%22%5C",
            "p%26ss%20w/rd%2B%22%C3%BC%22%5C",
            "p%26ss+w%2Frd%2B%22%C3%BC%22%5C",
            "p%26ss%20w%2frd%2b%22%c3%bc%22%5c",
            "p&ss%20w/rd+%22%C3%BC%22%5C",
            // JSON as serde, JavaScript and jq write it, as Python, and as PHP.
            r#"p&ss w/rd+\"ü\"\\"#,
            r#"p&ss w/rd+\"\u00fc\"\\"#,
            r#"p&ss w\/rd+\"ü\"\\"#,
            "7026737320772f72642b22c3bc225c",
            "7026737320772F72642B22C3BC225C",
        ] {
            assert_eq!(mask.apply(&format!("x={text}&y")), "x=******&y", "{text}");
        }
    }

    #[test]
    fn secrets_are_found_in_base64_wherever_they_begin() {
        for secret in ["hunter", "correct horse battery", "??>>~~??>>~~", "geheim-ü-ß"] {
            let mask = Mask::default();
            mask.hide([secret.to_owned()]);
            for before in ["", "a", "ab", "abc", "user:", "?>", "Ada Lovelace:"] {
                for after in ["", "x", "xy", "\n", "{\"a\": 1}"] {
                    let text = format!("{before}{secret}{after}");
                    for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                        let masked = mask.apply(&encoded);
                        let (shown, _) = masked.split_once(MASK).unwrap_or_else(|| panic!("{encoded}"));
                        // What is left in front says nothing but the text before, and less than one character more.
                        assert!(shown.len() * 3 / 4 <= before.len() + 1, "{encoded}: {masked}");
                        assert!(!masked.contains(&encoded[shown.len()..]), "{masked}");
                    }
                }
            }
        }
    }

    #[test]
    fn ordinary_text_stays() {
        let mask = Mask::default();
        mask.hide(["abcd".to_owned(), "aaaaaa".to_owned()]);
        for text in ["YWJj", "61 62 63", "a%20b%20c", "{\"abc\": \"d\"}", "AAAA"] {
            assert_eq!(mask.apply(text), text);
        }
    }

    #[test]
    fn the_beginning_of_a_secret_is_noticed_at_the_end_of_a_text() {
        let mask = Mask::default();
        assert_eq!(mask.unfinished(b"anything"), 0);
        mask.hide(["hunter22".to_owned(), "unterwegs".to_owned()]);
        for (text, expected) in [
            ("", 0),
            ("password: ", 0),
            ("password: h", 1),
            ("password: hunter2", 7),
            ("password: hunter", 6),
            ("hunter22!", 0),
            ("hunter22 hu", 2),
            ("hunterw", 6),
        ] {
            assert_eq!(mask.unfinished(text.as_bytes()), expected, "{text:?}");
        }
    }
}
