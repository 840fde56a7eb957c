//! The display: what draws and why, what was considered, what the machine has, and how to mend what is missing.

mod candidates;
mod devices;
mod failures;
mod parts;
mod surroundings;

use maud::{Markup, html};

use crate::observe::UnitStatus;
use crate::plan::X_SERVER;
use crate::plan::display::Outcome;
use crate::portal::display_state::DisplayState;
use crate::supervise::Verb;

use super::question::{LOST, question};
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::state;

/// Programs without the desktop's windows stay.
const JOBS: &str = "Programs that were detached from a terminal (tmux, nohup) run on.";

pub(super) async fn page(view: View) -> Answer {
    let display = view.api.display();
    let display = display.as_deref();
    let body = html! {
        h1.hidden { "Display" }
        @if !view.snapshot.problems.is_empty() {
            div role="alert" { ul #problems .notice { @for problem in &view.snapshot.problems { li { bdi { (problem) } } } } }
        }
        section #now aria-labelledby="head" {
            div aria-live="polite" {
                @match display {
                    None => h2 #head { "Looking at this machine …" },
                    Some(display) => {
                        h2 #head { (display.report.head) }
                        @if let Some(why) = &display.report.why {
                            div #why { (parts::reason(&display.report, why, "what is missing")) }
                        }
                    }
                }
            }
            (server(&view, display))
        }
        @if let Some(display) = display {
            (failures::section(display))
            (candidates::section(&display.report))
            (devices::gpus(&display.report))
            (devices::drivers(&display.report))
            div.pair { (surroundings::screen(&display.report)) (surroundings::container(&display.report)) }
        }
    };
    shell::whole(&view, Page::Display, "Display", &["display.css"], &body)
}

/// The X server's state, and the button that restarts the X server.
fn server(view: &View, display: Option<&DisplayState>) -> Markup {
    let Some(unit) = view.snapshot.unit(X_SERVER) else {
        return html! { p #server { "No X server runs." } };
    };
    html! {
        div.bar {
            p #server {
                "X server: " (unit.name) " " (state(unit))
                @if !unit.reason.is_empty() { " " small { bdi { (unit.reason) } } }
            }
            (restart(view, display, unit))
        }
    }
}

fn restart(view: &View, display: Option<&DisplayState>, unit: &UnitStatus) -> Markup {
    let again = display.filter(|display| has_failed(display));
    let asked = question(&view.snapshot, Verb::Restart, unit);
    let forgotten = again.map(|display| {
        let mut order: Vec<&str> = Vec::new();
        for candidate in &display.report.candidates {
            if !order.contains(&candidate.name.as_str()) {
                order.push(&candidate.name);
            }
        }
        format!(
            "What failed is forgotten, and the displays are tried again in this order: {}.",
            order.join(", then ")
        )
    });
    // Whatever draws on the display ends, also what no route shows.
    let along = asked.as_ref().map(|asked| asked.text.replace(LOST, "").trim().to_owned());
    let text =
        [forgotten.as_deref(), Some(LOST), Some(JOBS), along.as_deref().filter(|text| !text.is_empty())];
    let text = text.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let (method, action, field) =
        if asked.is_some() { ("get", "service", "ask") } else { ("post", "act", "verb") };
    html! {
        form.act method=(method) action=(action) {
            input type="hidden" name="name" value=(unit.name);
            button #again name=(field) value="restart" data-verb="restart" data-name=(unit.name) data-title="Restart the X server?"
                data-text=(text) data-yes="Restart" {
                @if again.is_some() { "Try again from the top" } @else { "Restart the X server" }
            }
        }
    }
}

fn has_failed(display: &DisplayState) -> bool {
    !display.failures.is_empty()
        || display.report.candidates.iter().any(|candidate| candidate.outcome == Outcome::Failed)
}
