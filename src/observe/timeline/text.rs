//! The chart for a terminal.

use std::fmt::Write;

use super::row::Look;
use super::{Row, Timeline, UnitState, seconds};

/// Two columns of seconds, such as `  12.345  12.345`.
const NUMBERS: usize = 18;

/// The smallest width of a bar.
const NARROWEST: usize = 16;

/// The chart as lines of at most `width` characters, where that is possible; with colours, if asked for.
pub fn text(timeline: &Timeline, width: usize, colours: bool) -> String {
    let (rows, left_out) = timeline.parts();
    let names = rows.iter().map(|row| row.unit.chars().count()).max().unwrap_or(0);
    let bar = width.saturating_sub(names + 4 + NUMBERS).max(NARROWEST);
    let mut text = format!("{}\n\n", timeline.summary());
    let scale = scale(timeline.end, bar);
    let _ = writeln!(text, "  {:names$}  {scale:bar$}{:>9}{:>9}", "", "TOOK", "READY");
    for row in rows {
        let mark = if row.critical { '*' } else { ' ' };
        let name = &row.unit;
        let looks = bar_of(row, timeline.end, bar);
        let cells = if colours { coloured(looks) } else { looks.map(cell).collect() };
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
        left_out.iter().map(|row| format!("{} ({})", row.unit, row.state.name())).collect();
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

/// The look of each part of the time. A start is shown even if it was very short.
fn bar_of(row: &Row, end: i64, bar: usize) -> impl Iterator<Item = Option<&'static Look>> {
    let bar = i64::try_from(bar).unwrap_or(i64::MAX);
    (0..bar).map(move |at| {
        let (from, to) = (at * end / bar, ((at + 1) * end / bar).max(at * end / bar + 1));
        let mut inside = row.spans.iter().filter(|span| span.from < to && span.to.max(span.from + 1) > from);
        let start = inside.clone().find(|span| span.state == UnitState::Starting);
        let ended = inside
            .clone()
            .find(|span| matches!(span.state, UnitState::Backoff | UnitState::Failed | UnitState::Stopping));
        start.or(ended).or(inside.next_back()).and_then(|span| row.look(span.state))
    })
}

fn cell(look: Option<&Look>) -> char {
    look.map_or(' ', |look| look.cell)
}

fn coloured(looks: impl Iterator<Item = Option<&'static Look>>) -> String {
    let (mut text, mut last) = (String::new(), None);
    for look in looks {
        let colour = look.map_or(2, |look| look.ansi);
        if last.replace(colour) != Some(colour) {
            let _ = write!(text, "\u{1b}[0m\u{1b}[{colour}m");
        }
        text.push(cell(look));
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
