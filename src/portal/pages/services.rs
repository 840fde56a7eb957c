//! All services: those that need attention first, boot steps and what is not in use folded away.

use std::sync::Arc;

use maud::{Markup, html};

use crate::observe::machine::{Sample, ServiceCharts, Usage, bytes, percent};
use crate::observe::{Snapshot, UnitState, UnitStatus};
use crate::supervise::Verb;

use super::events::encoded;
use super::figures::{or_dash, sparkline};
use super::question::question;
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::{ago, is_up, is_wrong, state};

/// The least share of processor time that fills the height of the small pictures: below it all lines are flat.
const LEAST: f64 = 0.05;

/// What the services use.
pub(super) struct Figures {
    sample: Option<Arc<Sample>>,
    past: ServiceCharts,
    /// The share at the top of all small pictures, so that they can be compared.
    most: f64,
}

impl Figures {
    /// The newest ones.
    pub(super) async fn newest(view: &View) -> Self {
        let machine = view.api.machine();
        let (sample, past) = (machine.glance().await, machine.services());
        let shares = past.services.iter().flat_map(|chart| chart.cpu_share.iter().flatten());
        let most = shares.fold(LEAST, |one: f64, other| one.max(*other));
        Self { sample, past, most }
    }

    /// What a service uses now, if it has processes.
    pub(super) fn of(&self, name: &str) -> Option<&Usage> {
        let service = self.sample.as_ref()?.services.iter().find(|service| service.name == name)?;
        Some(&service.usage)
    }

    /// A small picture of its processor time.
    pub(super) fn past(&self, name: &str) -> Markup {
        let chart = self.past.services.iter().find(|chart| chart.name == name);
        html! { @if let Some(chart) = chart { (sparkline(&chart.cpu_share, self.most)) } }
    }
}

pub(super) async fn page(view: View) -> Answer {
    let figures = Figures::newest(&view).await;
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
        div #units data-figures="5" {
            @if !wrong.is_empty() {
                section.notice aria-labelledby="wrong-title" {
                    h2 #wrong-title { "Need attention" }
                    (table(&view, &wrong, Some(&figures)))
                }
            }
            section aria-labelledby="running-title" {
                h2 #running-title .hidden { "Services" }
                @if services.is_empty() && wrong.is_empty() {
                    p.empty { "desktopd is still deciding what to run." }
                } @else { (table(&view, &services, Some(&figures))) }
            }
            @if !steps.is_empty() {
                details open[done < steps.len()] {
                    summary { "Boot steps: " (done) " of " (steps.len()) " done" }
                    (table(&view, &steps, None))
                }
            }
            @if !unused.is_empty() {
                details {
                    summary { "Not in use: " (unused.len()) }
                    (table(&view, &unused, None))
                }
            }
        }
    };
    shell::page(&view, Page::Services, "Services", &body)
}

/// A table of services; with `figures`, what they use as well.
fn table(view: &View, units: &[&UnitStatus], figures: Option<&Figures>) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "Since" }
                th.number scope="col" { "Restarts" }
                @if figures.is_some() { th.figure scope="col" { "CPU" } th.figure scope="col" { "Memory" } }
                th scope="col" { span.hidden { "Actions" } }
            } }
            tbody { @for unit in units { (row(view, unit, figures)) } }
        }
    }
}

fn row(view: &View, unit: &UnitStatus, figures: Option<&Figures>) -> Markup {
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
            @if let Some(figures) = figures {
                @let usage = figures.of(&unit.name);
                td.figure data-label="CPU" {
                    (or_dash(usage.and_then(|usage| usage.cpu_share), percent)) (figures.past(&unit.name))
                }
                td.figure data-label="Memory" { (or_dash(usage, |usage| bytes(usage.memory_bytes))) }
            }
            td.last {
                div.actions {
                    (buttons(&view.snapshot, unit))
                    a.button.quiet href={ "logs?service=" (encoded(&unit.name)) } aria-label={ "log of " (unit.name) } { "Log" }
                }
            }
        }
    }
}

/// What can be asked of a service in its state: start, or stop and restart.
pub(super) fn verbs(unit: &UnitStatus) -> &'static [Verb] {
    use UnitState::{Failed, Skipped, Stopped, Stopping};
    match unit.state {
        Skipped => &[],
        // A boot step runs once; only a failed or stopped step can be started by hand.
        _ if unit.oneshot => match unit.state {
            Failed | Stopped => &[Verb::Start],
            _ => &[],
        },
        Stopping => &[Verb::Restart],
        _ if is_up(unit) => &[Verb::Restart, Verb::Stop],
        _ => &[Verb::Start],
    }
}

/// The buttons that a service has in its state. An action with a question leads to the service's page, which asks;
/// scripts ask on the spot.
pub(super) fn buttons(snapshot: &Snapshot, unit: &UnitStatus) -> Markup {
    html! { @for verb in verbs(unit) { (button(snapshot, unit, *verb)) } }
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
