//! Text in columns of a terminal: East Asian characters take two, combining ones none.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes. Colours must not be in it.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// The text in at most `limit` columns, with an ellipsis at the end if it was cut.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if columns(text) <= limit {
        return text.to_owned();
    }
    let (mut cut, mut left) = (String::new(), limit.saturating_sub(1));
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if width > left {
            break;
        }
        left -= width;
        cut.push(c);
    }
    if limit > 0 {
        cut.push('…');
    }
    cut
}

/// The text filled up with spaces.
pub(super) fn filled(text: &str, width: usize) -> String {
    text.to_owned() + &" ".repeat(width.saturating_sub(columns(text)))
}

/// The text in lines of at most `limit` columns, broken between words, or within a word that no line has room for. All
/// lines but the first begin with `indent` spaces. Ends with a line end.
pub(super) fn wrap(text: &str, limit: usize, indent: usize) -> String {
    // A terminal of a few columns still gets one character a line.
    let indent = indent.min(limit / 2);
    let words = text.trim_start_matches(' ');
    let first = (text.len() - words.len()).min(limit / 2);
    let (mut lines, mut line, mut used, mut is_empty) = (String::new(), " ".repeat(first), first, true);
    let mut next = |line: &mut String| {
        lines.extend([line.trim_end(), "\n"]);
        *line = " ".repeat(indent);
        indent
    };
    for word in words.split(' ') {
        let width = columns(word);
        let has_a_line = width <= limit.saturating_sub(indent);
        if !is_empty && (used + 1 + width > limit && has_a_line || used + 2 > limit) {
            (used, is_empty) = (next(&mut line), true);
        }
        if !is_empty {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let width = c.width().unwrap_or(0);
            if !is_empty && used + width > limit {
                used = next(&mut line);
            }
            line.push(c);
            used += width;
            is_empty = false;
        }
    }
    lines + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_columns_not_at_characters() {
        for (text, limit, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, limit), expected, "{text} {limit}");
            assert!(columns(&cut(text, limit)) <= limit);
        }
        assert_eq!(filled("日", 4), "日  ");
    }

    #[test]
    fn lines_are_broken_between_words_and_within_long_ones() {
        for (text, limit, indent, expected) in [
            ("one two three", 13, 2, "one two three\n"),
            ("one two three", 8, 2, "one two\n  three\n"),
            ("see https://a.example/long now", 10, 2, "see https:\n  //a.exam\n  ple/long\n  now\n"),
            ("  one two", 6, 4, "  one\n   two\n"),
            ("日本語 日本語", 7, 0, "日本語\n日本語\n"),
            ("abc", 1, 4, "a\nb\nc\n"),
            ("", 10, 4, "\n"),
        ] {
            assert_eq!(wrap(text, limit, indent), expected, "{text} {limit}");
        }
    }

    proptest::proptest! {
        #[test]
        fn wrapped_lines_fit_and_lose_nothing(text in "([a-z]{0,30}|日|é| ){0,40}", limit in 4usize..40, indent in 0usize..8) {
            let wrapped = wrap(&text, limit, indent);
            for line in wrapped.lines() {
                proptest::prop_assert!(columns(line) <= limit, "{:?} in {}", line, limit);
            }
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            proptest::prop_assert_eq!(letters(&wrapped), letters(&text));
        }
    }
}
