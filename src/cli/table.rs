//! Columns as wide as their widest cell. A cell is one line, whatever a service or a file put into it.

use crate::sys::terminal::safe_line;

/// The rows as lines; `paint` gets each cell, filled up with spaces, with its row and column.
pub(super) fn table<const N: usize>(
    rows: &[[String; N]],
    paint: impl Fn(usize, usize, String) -> String,
) -> String {
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| safe_line(cell).into_owned())).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |(at, row): (usize, &[String; N])| {
        // What stands last is not filled up: the end of a line has no spaces.
        let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
        let cells = row.iter().zip(&widths).enumerate().take(last + 1).map(|(column, (cell, width))| {
            let filled = if column == last { cell.clone() } else { format!("{cell:width$}") };
            paint(at, column, filled)
        });
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    rows.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_does() {
        let row = |a: &str, c: &str| [a, "b", "", "", "", c].map(str::to_owned);
        let rows = [row("x", "c"), row("long", "")];
        assert_eq!(table(&rows, |_, _, cell| cell), "x     b        c\nlong  b\n");
        let marked = table(&rows, |row, column, cell| format!("{row}{column}{cell}"));
        assert!(marked.starts_with("00x     01b"), "{marked}");
    }
}
