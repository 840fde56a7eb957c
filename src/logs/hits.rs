//! The places of a search's hits in a row. Browsers count the characters of a text in units of UTF-16, so the places do
//! too.

use std::time::{Duration, Instant};

use regex::Regex;

/// The most hits of one row: more are no help to the eye.
const MOST: usize = 100;

/// So much of a row is searched for places, and so long: each place costs another search. Bytes.
const SEARCHED: usize = 4 << 10;
const PATIENCE: Duration = Duration::from_millis(5);

/// The places that the pattern accepts, each as its begin and end. An empty place is no hit.
pub(super) fn find(pattern: &Regex, text: &str) -> Vec<[u32; 2]> {
    let (mut bytes, mut units) = (0, 0);
    let mut place = |at: usize| {
        let passed: usize = text[bytes..at].chars().map(char::len_utf16).sum();
        (bytes, units) = (at, units + u32::try_from(passed).unwrap_or(u32::MAX));
        units
    };
    let cut = (0..=SEARCHED.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let searched = &text[..cut.unwrap_or(0)];
    let began = Instant::now();
    let found = pattern.find_iter(searched).take_while(|_| began.elapsed() < PATIENCE);
    let found = found.filter(|hit| !hit.is_empty()).take(MOST);
    found.map(|hit| [place(hit.start()), place(hit.end())]).collect()
}

/// The text in pieces, each with whether it is a hit.
pub fn parts<'a>(text: &'a str, hits: &[[u32; 2]]) -> Vec<(&'a str, bool)> {
    let (mut parts, mut rest, mut passed) = (Vec::new(), text, 0);
    let mut take = |until: u32, hit: bool| {
        let end = rest.char_indices().find(|(_, c)| {
            let before = passed >= until;
            passed += if before { 0 } else { u32::try_from(c.len_utf16()).unwrap_or(2) };
            before
        });
        let (part, left) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = left;
        if !part.is_empty() {
            parts.push((part, hit));
        }
    };
    for [begin, end] in hits {
        take(*begin, false);
        take(*end, true);
    }
    take(u32::MAX, false);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_as_browsers_count_and_cut_the_text_again() {
        for (pattern, text, hits, pieces) in [
            ("b+", "abba", &[[1, 3]][..], &[("a", false), ("bb", true), ("a", false)][..]),
            (
                "b",
                "\u{1f600}ü b b",
                &[[4, 5], [6, 7]],
                &[("\u{1f600}ü ", false), ("b", true), (" ", false), ("b", true)],
            ),
            (
                "\u{1f600}",
                "\u{1f600}\u{1f600}",
                &[[0, 2], [2, 4]],
                &[("\u{1f600}", true), ("\u{1f600}", true)],
            ),
            ("x*", "abc", &[], &[("abc", false)]),
            ("x", "", &[], &[]),
        ] {
            let found = find(&Regex::new(pattern).unwrap(), text);
            assert_eq!(found, hits, "{pattern} in {text}");
            assert_eq!(parts(text, &found), pieces, "{pattern} in {text}");
        }
        assert_eq!(find(&Regex::new("x").unwrap(), &"x".repeat(1000)).len(), MOST);
        // Places that are not in the text cut nothing wrong.
        assert_eq!(parts("é", &[[5, 9], [1, 2]]), [("é", false)]);
    }
}
