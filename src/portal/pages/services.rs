//! All services: those that need attention first, boot steps and what is not in use folded away.

use maud::{Markup, html};

use crate::observe::{Snapshot, UnitState, UnitStatus};
use crate::supervise::Verb;

use super::events::encoded;
use super::question::question;
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::{ago, is_up, is_wrong, state};

pub(super) async fn page(view: View) -> Answer {
    let units = || view.snapshot.units.iter();
    let unused = |unit: &&UnitStatus| unit.state == UnitState::Skipped || unit.off;
    let wrong: Vec<_> = units().filter(|unit| is_wrong(unit)).collect();
    let rest = || units().filter(|unit| !is_wrong(unit));
    let services: Vec<_> = rest().filter(|unit| !unit.oneshot && !unused(unit)).collect();
    let steps: Vec<_> = rest().filter(|unit| unit.oneshot && !unused(unit)).collect();
    let unused: Vec<_> = rest().filter(unused).collect();
    let done = steps.iter().filter(|unit| unit.state == UnitState::Done).count();
    let body = html! {
        div.head {
            h1 { "Services" }
            input #filter type="search" placeholder="Filter, or press /" aria-label="Filter the services" hidden
                autocomplete="off" spellcheck="false";
        }
        div #units {
            @if !wrong.is_empty() {
                section.notice aria-labelledby="wrong-title" {
                    h2 #wrong-title { "Need attention" }
                    (table(&view, &wrong))
                }
            }
            section aria-labelledby="running-title" {
                h2 #running-title .hidden { "Services" }
                @if services.is_empty() && wrong.is_empty() {
                    p.empty { "desktopd is still deciding what to run." }
                } @else { (table(&view, &services)) }
            }
            @if !steps.is_empty() {
                details open[done < steps.len()] {
                    summary { "Boot steps: " (done) " of " (steps.len()) " done" }
                    (table(&view, &steps))
                }
            }
            @if !unused.is_empty() {
                details {
                    summary { "Not in use: " (unused.len()) }
                    (table(&view, &unused))
                }
            }
        }
    };
    shell::page(&view, Page::Services, "Services", &body)
}

fn table(view: &View, units: &[&UnitStatus]) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "Since" }
                th.number scope="col" { "Restarts" } th scope="col" { span.hidden { "Actions" } }
            } }
            tbody { @for unit in units { (row(view, unit)) } }
        }
    }
}

fn row(view: &View, unit: &UnitStatus) -> Markup {
    let why = if unit.reason.is_empty() { &unit.status_text } else { &unit.reason };
    html! {
        tr id={ "unit-" (unit.name) } data-name=(unit.name) {
            td {
                a.name href={ "service?name=" (encoded(&unit.name)) } { (unit.name) }
                small { (unit.description) }
            }
            td { (state(unit)) small { bdi { (why) } } }
            td { (ago(unit.since, view.now)) }
            td.number { @if unit.restarts > 0 { (unit.restarts) } }
            td.last {
                div.actions {
                    (buttons(&view.snapshot, unit))
                    a.button.quiet href={ "logs?service=" (encoded(&unit.name)) } aria-label={ "log of " (unit.name) } { "Log" }
                }
            }
        }
    }
}

/// The buttons that a service has in its state: start, or stop and restart. An action with a question leads to the
/// service's page, which asks; scripts ask on the spot.
pub(super) fn buttons(snapshot: &Snapshot, unit: &UnitStatus) -> Markup {
    use UnitState::{Failed, Skipped, Stopped, Stopping};
    let verbs: &[Verb] = match unit.state {
        Skipped => &[],
        // A boot step runs once; only a failed or stopped step can be started by hand.
        _ if unit.oneshot => match unit.state {
            Failed | Stopped => &[Verb::Start],
            _ => &[],
        },
        Stopping => &[Verb::Restart],
        _ if is_up(unit) => &[Verb::Restart, Verb::Stop],
        _ => &[Verb::Start],
    };
    html! { @for verb in verbs { (button(snapshot, unit, *verb)) } }
}

fn button(snapshot: &Snapshot, unit: &UnitStatus, verb: Verb) -> Markup {
    let label = format!("{} {}", verb.name(), unit.name);
    let word = match verb {
        Verb::Start => "Start",
        Verb::Stop => "Stop",
        Verb::Restart => "Restart",
    };
    let asked = question(snapshot, verb, unit);
    let (method, action, field) =
        if asked.is_some() { ("get", "service", "ask") } else { ("post", "act", "verb") };
    html! {
        form.act method=(method) action=(action) {
            input type="hidden" name="name" value=(unit.name);
            button name=(field) value=(verb.name()) aria-label=(label) data-verb=(verb.name()) data-name=(unit.name)
                data-title=[asked.as_ref().map(|asked| &asked.title)] data-text=[asked.as_ref().map(|asked| &asked.text)]
                data-yes=[asked.as_ref().map(|asked| asked.yes)] { (word) }
        }
    }
}
