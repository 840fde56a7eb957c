//! Displays that failed while the daemon ran.

use maud::{Markup, html};

use crate::gateway::page::plain;
use crate::plan::display::Kind;
use crate::portal::display_state::{DisplayFailure, DisplayState};

use super::super::words::clock;
use super::parts::begun;

pub(super) fn section(display: &DisplayState) -> Markup {
    let name = |kind: Kind| {
        let known = display.report.candidates.iter().find(|candidate| candidate.kind == kind);
        known.map_or_else(|| kind.to_string(), |candidate| candidate.name.clone())
    };
    html! {
        @if !display.failures.is_empty() {
            section #failures aria-labelledby="failures-title" {
                h2 #failures-title { "Failed since the start" }
                ol.cards {
                    @for DisplayFailure { at, kind, unit, reason, lines } in &display.failures {
                        li.failed {
                            div { h3 { (name(*kind)) } p.on { (clock(*at)) } }
                            div { p { bdi { (begun(reason)) } } (log(unit, lines)) }
                        }
                    }
                }
            }
        }
    }
}

fn log(unit: &str, lines: &[String]) -> Markup {
    let text: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    let label = format!("Last lines of the log of {unit}");
    html! {
        @if !lines.is_empty() {
            details { summary { bdi { (label) } } pre tabindex="0" aria-label=(label) { (text.join("\n")) } }
        }
    }
}
