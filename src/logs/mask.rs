//! Masks the values of secrets in all text that is shown: the plain values, and the encodings in which programs print
//! them.
//!
//! Guaranteed: a value of at least 4 bytes is found within one line in plain form, escaped as in JSON, percent-encoded
//! and in hexadecimal. A value of at least 6 bytes is also found in base64, in both alphabets and with any text before
//! and after it. Not found: a value that a program splits by a line end, changes in another way, or mixes with colour
//! sequences.

mod encodings;

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// The text that replaces a secret.
const MASK: &str = "******";

/// The shortest value that is masked: shorter values would mask ordinary text. Bytes.
const SHORTEST: usize = 4;

#[derive(Default)]
struct Known {
    /// The values in all encodings.
    patterns: Vec<String>,
    searcher: Option<AhoCorasick>,
    /// One replacement for each pattern, as the searcher requires.
    masks: Vec<&'static str>,
}

/// Replaces secrets in texts.
#[derive(Default)]
pub struct Mask {
    known: RwLock<Known>,
}

impl Mask {
    /// Adds values that must never be shown. Very short values would mask ordinary text and are ignored.
    pub fn hide(&self, values: impl IntoIterator<Item = String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Output is masked line by line, so each line of a longer value is a pattern too.
        let lines = values.into_iter().flat_map(|value| {
            let whole = value.contains('\n').then(|| value.clone());
            value.lines().map(str::to_owned).chain(whole).collect::<Vec<_>>()
        });
        let patterns = lines.filter(|value| value.len() >= SHORTEST).flat_map(|value| encodings::of(&value));
        known.patterns.extend(patterns);
        if known.patterns.is_empty() {
            return;
        }
        known.patterns.sort();
        known.patterns.dedup();
        known.masks = vec![MASK; known.patterns.len()];
        // The longest match wins, because one secret may begin like another. A full DFA would take ten times the memory
        // of this automaton.
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest).kind(Some(AhoCorasickKind::ContiguousNFA));
        known.searcher = builder.build(&known.patterns).ok();
    }

    /// Returns `text` with all known secrets masked.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match &known.searcher {
            Some(searcher) if searcher.is_match(text) => searcher.replace_all(text, &known.masks).into(),
            _ => text.into(),
        }
    }

    /// How many bytes at the end of `text` may be the beginning of a secret whose rest has not arrived yet.
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
    fn secrets_are_replaced_at_any_position() {
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
            // curl --data-urlencode, encodeURIComponent, Python's quote and quote_plus, a form, lower case, encodeURI.
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
    fn secrets_are_found_in_base64_at_any_offset() {
        for secret in ["hunter", "correct horse battery", "??>>~~??>>~~", "geheim-ü-ß"] {
            let mask = Mask::default();
            mask.hide([secret.to_owned()]);
            for before in ["", "a", "ab", "abc", "user:", "?>", "Ada Lovelace:"] {
                for after in ["", "x", "xy", "\n", "{\"a\": 1}"] {
                    let text = format!("{before}{secret}{after}");
                    for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                        let masked = mask.apply(&encoded);
                        let (shown, _) = masked.split_once(MASK).unwrap_or_else(|| panic!("{encoded}"));
                        // The unmasked part in front encodes only the text before the secret and less than one
                        // character of the secret.
                        assert!(shown.len() * 3 / 4 <= before.len() + 1, "{encoded}: {masked}");
                        assert!(!masked.contains(&encoded[shown.len()..]), "{masked}");
                    }
                }
            }
        }
    }

    #[test]
    fn ordinary_text_is_not_masked() {
        let mask = Mask::default();
        mask.hide(["abcd".to_owned(), "aaaaaa".to_owned()]);
        for text in ["YWJj", "61 62 63", "a%20b%20c", "{\"abc\": \"d\"}", "AAAA"] {
            assert_eq!(mask.apply(text), text);
        }
    }

    #[test]
    fn beginning_of_a_secret_at_the_end_of_a_text_is_found() {
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
