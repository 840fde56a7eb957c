//! The chart as a self-contained picture: without style sheets, scripts or external fonts, so that it can be embedded
//! in a page with a strict policy and sent as a file.

use super::row::{LOOKS, Look};
use super::{Row, Timeline, UnitState, seconds};

const WIDTH: i64 = 960;
const LABELS: i64 = 150;
const NUMBERS: i64 = 70;
const ROW: i64 = 22;
const TOP: i64 = 52;
const BOTTOM: i64 = 34;

/// Colours for a page that is light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    #[default]
    Light,
    /// Light on dark.
    Dark,
}

struct Colours {
    text: &'static str,
    dim: &'static str,
    line: &'static str,
    theme: Theme,
}

/// Draws the picture.
pub fn svg(timeline: &Timeline, theme: Theme) -> String {
    let colours = match theme {
        Theme::Light => Colours { text: "#1b1e28", dim: "#5b6172", line: "#dde0e9", theme },
        Theme::Dark => Colours { text: "#e7e9f0", dim: "#9aa1b4", line: "#2a2f3d", theme },
    };
    let (rows, _) = timeline.parts();
    let bottom = TOP + ROW * i64::try_from(rows.len()).unwrap_or(0);
    let height = bottom + BOTTOM;
    let Colours { text, dim, line, .. } = colours;
    let summary = escape(&timeline.summary());
    let mut parts = vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\" \
             aria-label=\"boot timeline: {summary}\">"
        ),
        format!(
            "<text x=\"8\" y=\"20\" font-size=\"14\" font-weight=\"600\" fill=\"{text}\">{summary}</text>"
        ),
    ];
    let step = tick(timeline.end);
    for at in (0..=timeline.end / step).map(|n| n * step) {
        let x = x(at, timeline.end);
        parts.push(format!(
            "<path d=\"M{x} {}V{bottom}\" stroke=\"{line}\"/><text x=\"{x}\" y=\"{}\" fill=\"{dim}\" \
             text-anchor=\"middle\" font-size=\"10\">{} s</text>",
            TOP - 6,
            TOP - 10,
            short(at),
        ));
    }
    for (at, row) in rows.iter().enumerate() {
        let top = TOP + ROW * i64::try_from(at).unwrap_or(0);
        parts.push(row_of(row, timeline.end, top, &colours));
    }
    parts.push(legend(bottom + 20, &colours));
    parts.push("</svg>\n".to_owned());
    parts.join("\n")
}

fn row_of(row: &Row, end: i64, top: i64, colours: &Colours) -> String {
    let (weight, fill) = if row.critical { ("600", colours.text) } else { ("400", colours.dim) };
    let name = escape(&row.unit);
    let y = top + 15;
    let mut parts = vec![format!(
        "<g><title>{}</title><text x=\"{}\" y=\"{y}\" text-anchor=\"end\" font-weight=\"{weight}\" \
         fill=\"{fill}\">{name}</text>",
        escape(&told(row)),
        LABELS - 8,
    )];
    for span in &row.spans {
        let Some(Look { height, colours: fills, .. }) = row.look(span.state) else { continue };
        let fill = fills[colours.theme as usize];
        let from = x(span.from, end);
        // A start is drawn even if it was very short.
        let least = if span.state == UnitState::Starting { 2 } else { 0 };
        let wide = (x(span.to, end) - from).max(least);
        if wide > 0 {
            let y = top + (ROW - height) / 2;
            parts.push(format!(
                "<rect x=\"{from}\" y=\"{y}\" width=\"{wide}\" height=\"{height}\" rx=\"1\" fill=\"{fill}\"/>"
            ));
        }
    }
    let number =
        row.ready.map_or_else(|| row.state.name().to_owned(), |ready| format!("{} s", seconds(ready)));
    parts.push(format!(
        "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\" fill=\"{fill}\" font-weight=\"{weight}\">{number}</text></g>",
        WIDTH - 8,
    ));
    parts.concat()
}

fn told(row: &Row) -> String {
    match (row.started, row.ready) {
        (Some(started), Some(ready)) => format!(
            "{}: started at {} s, ready after {} s",
            row.unit,
            seconds(started),
            seconds(ready - started)
        ),
        _ if row.reason.is_empty() => format!("{}: {}", row.unit, row.state.name()),
        _ => format!("{}: {}, {}", row.unit, row.state.name(), row.reason),
    }
}

fn legend(y: i64, colours: &Colours) -> String {
    let mut x = LABELS;
    let mut parts = Vec::new();
    for Look { name, colours: fills, .. } in &LOOKS {
        let fill = fills[colours.theme as usize];
        parts.push(format!(
            "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" rx=\"2\" fill=\"{fill}\"/>\
             <text x=\"{}\" y=\"{y}\" font-size=\"10\" fill=\"{}\">{name}</text>",
            y - 9,
            x + 15,
            colours.dim,
        ));
        x += 40 + 6 * i64::try_from(name.len()).unwrap_or(0);
    }
    parts.concat()
}

fn x(at: i64, end: i64) -> i64 {
    LABELS + at * (WIDTH - LABELS - NUMBERS) / end
}

/// A round distance of the scale's lines, so that there are between five and twelve.
pub(super) fn tick(end: i64) -> i64 {
    let mut steps = (0..18).flat_map(|power| [1, 2, 5].map(|step| step * 10_i64.pow(power)));
    steps.find(|step| end / step <= 12).unwrap_or(end)
}

/// Milliseconds as seconds without needless zeros.
fn short(milliseconds: i64) -> String {
    let text = seconds(milliseconds);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
