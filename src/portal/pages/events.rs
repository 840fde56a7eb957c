//! Events as rows.

use maud::{Markup, html};

use crate::observe::{Event, UnitHealth, What};

use super::words::{chip, clock};

/// A list of events, the newest first.
pub(super) fn list<'a>(events: impl DoubleEndedIterator<Item = &'a Event>, most: usize) -> Markup {
    let rows: Vec<Markup> = events.rev().take(most).map(row).collect();
    html! {
        @if rows.is_empty() { p.empty { "No events yet." } }
        @else { ol.events reversed { @for row in rows { (row) } } }
    }
}

fn row(event: &Event) -> Markup {
    html! {
        li id={ "event-" (event.seq) } {
            (clock(event.at)) " "
            @match &event.what {
                What::Unit(change) => {
                    a href={ "service?name=" (encoded(&change.unit)) } { (change.unit) } " "
                    @if change.health == Some(UnitHealth::Unhealthy) { (chip("failed", "unhealthy")) }
                    @else { (chip(change.to.name(), change.to.name())) }
                    " " small { bdi { (change.reason) } }
                }
                What::Phase { phase } => strong { "desktopd is " (phase.name()) },
                What::Up => strong { "everything is up" },
                What::Down => strong { "not everything is up any more" },
                What::Gpu { gpu, lost: false, .. } => strong { (gpu) " can be used again" },
                What::Gpu { reason, .. } => strong { (reason) },
                What::Display { display, reason } => {
                    strong { "the display is " (display) } " " small { bdi { (reason) } }
                }
            }
        }
    }
}

/// A value for the query of an address.
pub(super) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
