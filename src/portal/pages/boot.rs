//! How the start went, and all events.

use maud::{Markup, html};

use crate::observe::Timeline;

use super::events::{self, encoded};
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::seconds;

/// The events on the page.
const EVENTS: usize = 300;

/// The services that took longest.
const LONGEST: usize = 10;

pub(super) async fn page(view: View) -> Answer {
    let timeline = view.api.events().timeline(&view.snapshot.units, view.now);
    let seq = view.api.events().newest();
    // While something changes, each version of the picture has an address of its own.
    let version = if timeline.over { 0 } else { seq };
    let body = html! {
        div.head { h1 { "Boot" } p { (timeline.summary()) } }
        section aria-labelledby="timeline-title" {
            h2 #timeline-title { "Timeline" }
            div.picture {
                picture {
                    source srcset={ "api/timeline.svg?theme=dark&seen=" (version) } media="(prefers-color-scheme: dark)";
                    img #timeline src={ "api/timeline.svg?seen=" (version) }
                        alt="What each service waited for and how long it took to start";
                }
            }
        }
        (critical(&timeline))
        (longest(&timeline))
        section aria-labelledby="events-title" {
            h2 #events-title { "Events" }
            (events::list(view.api.events().since(0).iter(), EVENTS))
        }
    };
    shell::page(&view, Page::Boot, "Boot", &body)
}

/// The chain of services that determined how long the start took.
fn critical(timeline: &Timeline) -> Markup {
    html! {
        @if timeline.critical.len() > 1 {
            section aria-labelledby="critical-title" {
                h2 #critical-title { "What determined the time" }
                p.dim { "A faster start needs a faster service on this path." }
                ol.path {
                    @for link in &timeline.critical {
                        li {
                            a href={ "service?name=" (encoded(&link.unit)) } { (link.unit) } " "
                            (seconds(link.ready - link.started))
                            // A delay that no service of the path explains is worth showing.
                            @if link.started - link.free >= 10 { small { " after waiting " (seconds(link.started - link.free)) } }
                        }
                    }
                }
            }
        }
    }
}

fn longest(timeline: &Timeline) -> Markup {
    let mut rows: Vec<(i64, &str)> =
        timeline.rows.iter().filter_map(|row| Some((row.ready? - row.started?, row.unit.as_str()))).collect();
    rows.sort_unstable_by_key(|(took, _)| std::cmp::Reverse(*took));
    html! {
        @if !rows.is_empty() {
            section aria-labelledby="longest-title" {
                h2 #longest-title { "What took longest" }
                ol.path {
                    @for (took, name) in rows.iter().take(LONGEST) {
                        li { a href={ "service?name=" (encoded(name)) } { (name) } " " (seconds(*took)) }
                    }
                }
            }
        }
    }
}
