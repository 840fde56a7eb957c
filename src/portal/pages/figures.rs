//! Figures as the pages show them: bars, and small pictures of the past.

use maud::{Markup, html};

use crate::observe::machine::percent;

/// The width and the height of a small picture, in its own units. A value is one unit wide.
const SIZE: (usize, usize) = (60, 16);

/// A figure, or what is in its place where the machine does not report one.
pub(super) fn or_dash<T>(figure: Option<T>, text: impl Fn(T) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), text)
}

/// `part` of `all`, from 0 to 1. Without a whole, nothing.
#[expect(clippy::cast_precision_loss, reason = "it is for a picture and a percentage")]
pub(super) fn part(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| (part as f64 / all as f64).clamp(0.0, 1.0))
}

/// A bar of parts, each with its class and its share of the whole. The figures are beside the bar as text.
pub(super) fn bar(parts: &[(&str, f64)]) -> Markup {
    let ends = parts.iter().scan(0.0, |from: &mut f64, (class, share)| {
        let (begin, width) = (*from, (share * 100.0).clamp(0.0, 100.0 - *from));
        *from += width;
        Some((class, begin, width))
    });
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            @for (class, begin, width) in ends {
                rect.(class) x=(format!("{begin:.1}")) width=(format!("{width:.1}")) height="4" {}
            }
        }
    }
}

/// A line of shares, the newest at the right; `most` is at the top. Gaps stay gaps.
pub(super) fn sparkline(values: &[Option<f64>], most: f64) -> Markup {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    if known.len() < 2 {
        return html! {};
    }
    let highest = known.iter().fold(0.0, |one: f64, other| one.max(*other));
    let label = format!("CPU in the last 10 minutes, at most {}", percent(highest));
    html! {
        svg.spark viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } preserveAspectRatio="none" role="img" aria-label=(label) {
            path d=(path(values, most)) vector-effect="non-scaling-stroke" {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are sixty values")]
fn path(values: &[Option<f64>], most: f64) -> String {
    use std::fmt::Write as _;
    let newest = &values[values.len().saturating_sub(SIZE.0)..];
    let (begin, height) = (SIZE.0 - newest.len(), SIZE.1 as f64);
    let (mut path, mut pen_is_down) = (String::new(), false);
    for (at, value) in newest.iter().enumerate() {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        // The line is a bit inside, so that it is not cut.
        let y = (height - 1.0) - (value / most.max(f64::EPSILON)).clamp(0.0, 1.0) * (height - 2.0);
        // Writing to a string cannot fail. The line of a single value is as wide as a value.
        let _ = write!(path, "{}{} {y:.1}h1", if pen_is_down { "L" } else { "M" }, begin + at);
        pen_is_down = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_right_and_has_the_gaps_of_the_values() {
        assert_eq!(path(&[Some(0.0), Some(0.5), None, Some(1.0)], 0.5), "M56 15.0h1L57 1.0h1M59 1.0h1");
        assert_eq!(path(&[None; 4], 1.0), "");
        assert_eq!(path(&[Some(0.0); 70], 0.0).matches('h').count(), 60, "the newest ones");
        assert_eq!(sparkline(&[None, Some(0.5)], 1.0).into_string(), "", "one value is no line");
        let picture = sparkline(&[Some(0.25), Some(0.5)], 1.0).into_string();
        assert!(picture.contains("aria-label=\"CPU in the last 10 minutes, at most 50.0%\""), "{picture}");
    }

    #[test]
    fn the_parts_of_a_bar_are_side_by_side_and_never_longer_than_the_bar() {
        let bar = bar(&[("used", 0.75), ("cache", 0.5)]).into_string();
        assert!(
            bar.contains("x=\"0.0\" width=\"75.0\"") && bar.contains("x=\"75.0\" width=\"25.0\""),
            "{bar}"
        );
        assert_eq!((part(1, 4), part(5, 4), part(1, 0)), (Some(0.25), Some(1.0), None));
    }
}
