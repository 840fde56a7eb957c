//! Which rows a client wants to see.

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::sys::terminal;

use super::{Level, Row, hits};

/// The longest pattern. Bytes.
const LONGEST: usize = 1000;

/// The most memory of a compiled pattern, and of what a search remembers of it. Bytes.
const LARGEST: usize = 256 << 10;

/// How deep groups of a pattern may be nested.
const DEEPEST: u32 = 50;

/// What a row must have. The default accepts all rows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The earliest time, in milliseconds since the Unix epoch.
    pub since: Option<i64>,
    /// The latest time, in milliseconds since the Unix epoch.
    pub until: Option<i64>,
    /// What the text must contain.
    pub pattern: Option<Pattern>,
    /// The least level.
    pub level: Option<Level>,
    /// A text whose places in the rows are wanted. It leaves out no row.
    pub mark: Option<Pattern>,
}

impl Filter {
    /// Whether rows of this time are wanted.
    pub(super) fn accepts_time(&self, at: i64) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }

    /// Whether rows with this text are wanted. Colours are no part of the text.
    pub(super) fn accepts_text(&self, text: &str) -> bool {
        if self.pattern.is_none() && self.level.is_none() {
            return true;
        }
        let text = terminal::without_colours(text);
        self.pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(&text))
            && self.level.is_none_or(|least| Level::of(&text).is_some_and(|level| level >= least))
    }

    /// The row with the level that its text seems to have, and with the hits of the search.
    pub(super) fn described(&self, row: Row) -> Row {
        let text = terminal::without_colours(&row.text);
        let level = Level::of(&text);
        let hits = self.mark.as_ref().map(|mark| hits::find(&mark.0, &text)).unwrap_or_default();
        Row { level, hits, ..row }
    }
}

/// What a text must contain. The time of a search grows with the lengths of the text and of the compiled pattern, which is
/// limited.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Text, or with `regex` a regular expression. Without `case`, upper and lower case are the same.
    pub fn new(text: &str, regex: bool, case: bool) -> Result<Self, BadPattern> {
        if text.len() > LONGEST {
            return Err(BadPattern(format!("it has {} bytes; at most {LONGEST} are allowed", text.len())));
        }
        let escaped = regex::escape(text);
        let pattern = RegexBuilder::new(if regex { text } else { &escaped })
            .case_insensitive(!case)
            .size_limit(LARGEST)
            .dfa_size_limit(LARGEST)
            .nest_limit(DEEPEST)
            .build();
        pattern.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                BadPattern("it needs too much memory; smaller numbers of repetitions need less".into())
            }
            error => BadPattern(error.to_string()),
        })
    }
}

/// What is wrong with a pattern, and at which place.
#[derive(Debug)]
pub struct BadPattern(String);

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_expressions_are_searched_with_and_without_case() {
        for (pattern, regex, case, text, expected) in [
            ("a.c", false, false, "xA.Cx", true),
            ("a.c", false, false, "abc", false),
            ("a.c", true, false, "ABC", true),
            ("a.c", true, true, "ABC", false),
            ("Größe", false, false, "GRÖSSE GRÖßE", true),
            ("^b", true, true, "ab", false),
            ("ab", false, false, "a\u{1b}[31mb\u{1b}[0m", true),
            ("31m", false, false, "\u{1b}[31mred\u{1b}[0m", false),
            ("", false, false, "", true),
        ] {
            let pattern = Some(Pattern::new(pattern, regex, case).unwrap());
            let filter = Filter { pattern, ..Filter::default() };
            assert_eq!(filter.accepts_text(text), expected, "{filter:?} {text:?}");
        }
    }

    #[test]
    fn a_wrong_pattern_is_refused_with_its_place() {
        for (pattern, told) in [
            ("a(b", "a(b\n     ^"),
            ("a[z-a]", "invalid character class range"),
            ("(?=x)", "look-around"),
            (r"(a)\1", "backreferences are not supported"),
            (&"(".repeat(200), "unclosed group"),
            (&format!("{}a{}", "(".repeat(200), ")".repeat(200)), "nest"),
            ("(a{1000}){1000}", "too much memory"),
            (&"x".repeat(1001), "it has 1001 bytes"),
        ] {
            let error = Pattern::new(pattern, true, false).unwrap_err().to_string();
            assert!(error.contains(told), "{pattern}: {error}");
        }
    }

    #[test]
    fn times_and_levels_are_limits() {
        let filter =
            Filter { since: Some(5), until: Some(7), level: Some(Level::Warning), ..Filter::default() };
        let times: Vec<i64> = (0..10).filter(|at| filter.accepts_time(*at)).collect();
        assert_eq!(times, [5, 6, 7]);
        for (text, expected) in [("error: x", true), ("warning: x", true), ("info: x", false), ("x", false)] {
            assert_eq!(filter.accepts_text(text), expected, "{text}");
        }
    }
}
