//! Tables: columns as wide as their widest cell, and lines that fit into a limit if there is one. A cell is always one
//! line, even if a service or a file put line breaks into it.

use super::layout::{columns, cut, filled};
use crate::sys::terminal::safe_line;

/// Formats the rows as lines; `paint` gets each cell, filled up with spaces, with its row and column. A line that is
/// longer than `limit` columns ends with an ellipsis.
pub(super) fn table<const N: usize>(
    rows: &[[String; N]],
    limit: Option<usize>,
    paint: impl Fn(usize, usize, String) -> String,
) -> String {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| safe_line(cell).into_owned())).collect();
    let width = |column: usize| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |(at, row): (usize, &[String; N])| {
        // The last cell is not filled up, so that lines do not end with spaces.
        let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
        let mut left = limit.unwrap_or(usize::MAX);
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate().take(last + 1) {
            let gap = if column == 0 { "" } else { "  " };
            if left <= gap.len() {
                break;
            }
            left -= gap.len();
            let cell = cut(cell, left);
            let width = if column == last { 0 } else { (*width).min(left) };
            let filled = filled(&cell, width);
            left = left.saturating_sub(columns(&filled));
            line.push_str(gap);
            line.push_str(&paint(at, column, filled));
        }
        line + "\n"
    };
    rows.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        let row = |a: &str, c: &str| [a, "b", "", "", "", c].map(str::to_owned);
        let rows = [row("x", "c"), row("long", "")];
        assert_eq!(table(&rows, None, |_, _, cell| cell), "x     b        c\nlong  b\n");
        let marked = table(&rows, None, |row, column, cell| format!("{row}{column}{cell}"));
        assert!(marked.starts_with("00x     01b"), "{marked}");
    }

    #[test]
    fn lines_are_cut_at_the_limit_and_end_with_an_ellipsis() {
        let rows = [["näme", "state", "why it is so"], ["b", "c", ""]].map(|row| row.map(str::to_owned));
        let whole = "näme  state  why it is so\nb     c\n";
        for (limit, expected) in [
            (None, whole),
            (Some(25), whole),
            (Some(24), "näme  state  why it is …\nb     c\n"),
            (Some(13), "näme  state\nb     c\n"),
            (Some(10), "näme  sta…\nb     c\n"),
            (Some(3), "nä…\nb\n"),
        ] {
            let found = table(&rows, limit, |_, _, cell| cell);
            let trimmed: String = found.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
            assert_eq!(trimmed, expected, "{limit:?}");
            let fits = |line: &str| limit.is_none_or(|limit| line.chars().count() <= limit);
            assert!(found.lines().all(fits), "{limit:?}: {found:?}");
        }
    }
}
