//! The chart for a terminal.

use std::fmt::Write;

use super::{Row, Timeline, UnitState, seconds};

/// Two columns of seconds, such as `  12.345  12.345`.
const NUMBERS: usize = 18;

/// The smallest width of a bar.
const NARROWEST: usize = 16;

/// The chart as lines of at most `width` characters, where that is possible; with colours, if asked for.
pub fn text(timeline: &Timeline, width: usize, colours: bool) -> String {
    let rows: Vec<&Row> = timeline.rows.iter().filter(|row| !row.spans.is_empty()).collect();
    let names = rows.iter().map(|row| row.unit.chars().count()).max().unwrap_or(0);
    let bar = width.saturating_sub(names + 4 + NUMBERS).max(NARROWEST);
    let mut text = format!("{}\n\n", timeline.summary());
    let scale = scale(timeline.end, bar);
    let _ = writeln!(text, "  {:names$}  {scale:bar$}{:>9}{:>9}", "", "TOOK", "READY");
    for row in rows {
        let mark = if row.critical { '*' } else { ' ' };
        let name = &row.unit;
        let cells = bar_of(row, timeline.end, bar);
        let cells = if colours { coloured(&cells, row.critical) } else { cells };
        let line = format!("{mark} {name:names$}  {cells}{}", numbers(row));
        text.extend([line.trim_end(), "\n"]);
    }
    text += "\n█ starting (on the critical path)  ▒ starting  · waiting  ─ ready  × ended\n";
    if timeline.critical.len() > 1 {
        let links = timeline.critical.iter().map(|link| {
            let waited = link.started - link.free;
            // A delay that no unit of the path explains is worth showing.
            let waited = if waited >= 10 { format!("{} s later ", seconds(waited)) } else { String::new() };
            format!("{waited}{} {} s", link.unit, seconds(link.ready - link.started))
        });
        let links: Vec<String> = links.collect();
        text += &wrapped("critical path: ", &links, " > ", width);
    }
    let left_out: Vec<String> =
        timeline.left_out().map(|row| format!("{} ({})", row.unit, row.state.name())).collect();
    if !left_out.is_empty() {
        text += &wrapped("had no part: ", &left_out, ", ", width);
    }
    text
}

/// The scale above the bars, from zero to the end.
fn scale(end: i64, bar: usize) -> String {
    let end = format!("{} s", seconds(end));
    format!("0{end:>0$}", bar - 1)
}

fn numbers(row: &Row) -> String {
    match (row.started, row.ready) {
        (Some(started), Some(ready)) => format!("{:>9}{:>9}", seconds(ready - started), seconds(ready)),
        _ => format!("{:>18}", row.state.name()),
    }
}

/// One character for each part of the time. A start is shown even if it was very short.
fn bar_of(row: &Row, end: i64, bar: usize) -> String {
    let bar = i64::try_from(bar).unwrap_or(i64::MAX);
    let cell = |at: i64| {
        let (from, to) = (at * end / bar, ((at + 1) * end / bar).max(at * end / bar + 1));
        let mut inside = row.spans.iter().filter(|span| span.from < to && span.to.max(span.from + 1) > from);
        let start = inside.clone().find(|span| span.state == UnitState::Starting);
        let ended = inside
            .clone()
            .find(|span| matches!(span.state, UnitState::Backoff | UnitState::Failed | UnitState::Stopping));
        let shown = start.or(ended).or(inside.next_back());
        shown.map_or(' ', |span| match span.state {
            UnitState::Starting if row.critical => '█',
            UnitState::Starting => '▒',
            UnitState::Waiting => '·',
            UnitState::Ready | UnitState::Done => '─',
            UnitState::Backoff | UnitState::Failed | UnitState::Stopping => '×',
            UnitState::Stopped | UnitState::Skipped => ' ',
        })
    };
    (0..bar).map(cell).collect()
}

fn coloured(cells: &str, critical: bool) -> String {
    let colour = |c: char| match c {
        '█' | '▒' if critical => "\u{1b}[33m",
        '█' | '▒' => "\u{1b}[34m",
        '─' => "\u{1b}[32m",
        '×' => "\u{1b}[31m",
        _ => "\u{1b}[2m",
    };
    let mut text = String::new();
    let mut last = "";
    for c in cells.chars() {
        let next = colour(c);
        if next != last {
            text.extend(["\u{1b}[0m", next]);
            last = next;
        }
        text.push(c);
    }
    text + "\u{1b}[0m"
}

/// Breaks parts into lines of at most `width`; lines after the first are indented.
fn wrapped(title: &str, parts: &[String], between: &str, width: usize) -> String {
    let mut text = title.to_owned();
    let mut used = title.chars().count();
    for (at, part) in parts.iter().enumerate() {
        let part = if at + 1 < parts.len() { format!("{part}{between}") } else { part.clone() };
        let length = part.chars().count();
        if at > 0 && used + length > width {
            text.truncate(text.trim_end().len());
            text += "\n    ";
            used = 4;
        }
        text += &part;
        used += length;
    }
    text + "\n"
}
