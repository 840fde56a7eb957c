//! Values of secrets, replaced wherever text is shown.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};

/// What stands in a secret's place.
const MASK: &str = "******";

/// Shorter values would mask ordinary text.
const SHORTEST: usize = 4;

#[derive(Default)]
struct Known {
    values: Vec<String>,
    searcher: Option<AhoCorasick>,
    /// One for each value, as the searcher wants them.
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
        let lines = values.into_iter().flat_map(|value| value.lines().map(str::to_owned).collect::<Vec<_>>());
        known.values.extend(lines.filter(|value| value.len() >= SHORTEST));
        if known.values.is_empty() {
            return;
        }
        known.values.sort();
        known.values.dedup();
        known.masks = vec![MASK; known.values.len()];
        // The longest of several that match: one secret may begin like another.
        known.searcher =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&known.values).ok();
    }

    /// `text` without them.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match &known.searcher {
            Some(searcher) if searcher.is_match(text) => searcher.replace_all(text, &known.masks).into(),
            _ => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced_wherever_they_stand() {
        let mask = Mask::default();
        assert_eq!(mask.apply("nothing to hide"), "nothing to hide");
        mask.hide(["hunter22".into(), "hunter22-long".into(), "abc".into(), "key\nof lines".into()]);
        assert_eq!(mask.apply("a hunter22 b hunter22-long c"), "a ****** b ****** c");
        assert_eq!(mask.apply("abc of lines"), "abc ******");
    }
}
