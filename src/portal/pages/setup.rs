//! What prepared this machine: people's own scripts and the steps of the boot, with time, result and reason.

use maud::{Markup, html};

use crate::observe::events::Event;
use crate::observe::{SETUP_SCRIPTS, Timeline, UnitState, UnitStatus, What};

use super::events::encoded;
use super::logs;
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::{ago, seconds, state};

/// The lines of a log that this page shows.
const LINES: usize = 20;

/// What the page needs to know of the past.
struct Past {
    events: Vec<Event>,
    timeline: Timeline,
}

pub(super) async fn page(view: View) -> Answer {
    let past = Past {
        events: view.api.events().since(0),
        timeline: view.api.events().timeline(&view.snapshot.units, view.now),
    };
    let is_script = |unit: &&UnitStatus| SETUP_SCRIPTS.contains(&unit.name.as_str());
    let all: Vec<&UnitStatus> = view.snapshot.units.iter().filter(|unit| unit.oneshot).collect();
    let (unused, used): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|unit| unit.state == UnitState::Skipped || unit.off);
    let (scripts, steps): (Vec<_>, Vec<_>) = used.iter().copied().partition(is_script);
    let (failed, steps): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|unit| unit.state == UnitState::Failed);
    let body = html! {
        div.head { h1 { "Setup" } p { (summary(&view, &used)) } }
        @for unit in &failed { (detailed(&view, &past, unit, "Step").await) }
        @for unit in &scripts { (detailed(&view, &past, unit, "Script").await) }
        @if scripts.is_empty() { (no_script()) }
        @if !steps.is_empty() {
            section aria-labelledby="steps-title" {
                h2 #steps-title { "Steps of the boot" }
                (table(&view, &past, &steps))
            }
        }
        @if !unused.is_empty() {
            details {
                summary { "Not in use here: " (unused.len()) }
                (table(&view, &past, &unused))
            }
        }
    };
    shell::page(&view, Page::Setup, "Setup", &body)
}

/// How far the setup is, with what goes on.
fn summary(view: &View, used: &[&UnitStatus]) -> Markup {
    use UnitState::{Done, Failed, Ready};
    let finished = used.iter().filter(|unit| matches!(unit.state, Done | Ready)).count();
    let failed = used.iter().filter(|unit| unit.state == Failed).count();
    let running: Vec<_> = used.iter().filter(|unit| unit.state == UnitState::Starting).collect();
    html! {
        @if used.is_empty() { "desktopd is still deciding what to run." }
        @else { (finished) " of " (used.len()) " done" }
        @if failed > 0 { ", " strong { (failed) " failed" } }
        @for unit in running {
            ", " a href={ "service?name=" (encoded(&unit.name)) } { (unit.name) } " runs for " (ago(unit.since, view.now))
        }
    }
}

/// What people see who have no script.
fn no_script() -> Markup {
    html! {
        section #no-script aria-labelledby="no-script-title" {
            h2 #no-script-title { "No script sets this machine up" }
            p {
                "A script can install programs and download files when the machine starts. Set "
                code { "PROVISIONING_SCRIPT" } " to the address of a script, or to its path in the container, or mount one at "
                code { "/opt/desktopd/provisioning.sh" } ". Shorter scripts for each start belong to "
                code { "/etc/desktopd/boot.d" } "."
            }
            p { code { "docker run -e PROVISIONING_SCRIPT=https://example.com/setup.sh …" } }
        }
    }
}

/// A script or a failed step, with the last lines of its log.
async fn detailed(view: &View, past: &Past, unit: &UnitStatus, kind: &str) -> Markup {
    let title = format!("setup-{}", unit.name);
    let log = logs::last(view, &unit.name, LINES).await;
    html! {
        section.notice[unit.state == UnitState::Failed] aria-labelledby=(title) {
            div.head {
                h2 id=(title) { (kind) " " (unit.name) " " (state(unit)) }
                div.actions {
                    (again(unit))
                    a.button.quiet href={ "logs?service=" (encoded(&unit.name)) } aria-label={ "log of " (unit.name) } { "Log" }
                }
            }
            p.dim { (unit.description) }
            @if !unit.reason.is_empty() { p.reason { bdi { (unit.reason) } } }
            p { (duration(view, past, unit)) }
            @if unit.state == UnitState::Failed {
                p { "After you fix the cause: " code { "desktopd restart " (unit.name) } ", or the button." }
            }
            @if unit.state != UnitState::Waiting { (log) }
        }
    }
}

/// The button that runs a script or a step once more.
fn again(unit: &UnitStatus) -> Markup {
    let (verb, word) = match unit.state {
        UnitState::Failed | UnitState::Stopped => ("start", "Try again"),
        UnitState::Done => ("restart", "Run again"),
        UnitState::Starting => ("stop", "Stop"),
        _ => return html! {},
    };
    html! {
        form.act method="post" action="act" {
            input type="hidden" name="name" value=(unit.name);
            button name="verb" value=(verb) aria-label={ (word) ": " (unit.name) } data-verb=(verb) data-name=(unit.name)
                data-title={ (word) ": " (unit.name) "?" } data-text=[question(verb)] data-yes=(word) { (word) }
        }
    }
}

/// What a person should know before: scripts ask so, a browser without scripts does not.
fn question(verb: &str) -> Option<&'static str> {
    match verb {
        "restart" => Some("It has run with success. What it installs and downloads may be done once more."),
        "stop" => Some("It ends where it is, and its work stays unfinished until it runs again."),
        _ => None,
    }
}

fn table(view: &View, past: &Past, units: &[&UnitStatus]) -> Markup {
    html! {
        table.wide {
            thead { tr {
                th scope="col" { "Step" } th scope="col" { "State" } th scope="col" { "Time" }
                th scope="col" { span.hidden { "Log" } }
            } }
            tbody {
                @for unit in units {
                    tr id={ "step-" (unit.name) } {
                        td {
                            a.name href={ "service?name=" (encoded(&unit.name)) } { (unit.name) }
                            small { (unit.description) }
                        }
                        td { (state(unit)) @if !unit.reason.is_empty() { small { bdi { (unit.reason) } } } }
                        td { (duration(view, past, unit)) }
                        td.last {
                            @if unit.state != UnitState::Skipped {
                                div.actions {
                                    a.button.quiet href={ "logs?service=" (encoded(&unit.name)) }
                                        aria-label={ "log of " (unit.name) } { "Log" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How long the unit took, or has been running.
fn duration(view: &View, past: &Past, unit: &UnitStatus) -> Markup {
    html! {
        @match unit.state {
            UnitState::Starting => { "for " (ago(unit.since, view.now)) },
            UnitState::Done | UnitState::Failed | UnitState::Ready => {
                @if let Some(took) = took(past, unit) { (seconds(took)) }
            },
            _ => {},
        }
    }
}

/// From the last start to the end. The events know later runs; the record of the boot stays longer than they do.
fn took(past: &Past, unit: &UnitStatus) -> Option<i64> {
    let starts = past.events.iter().rev().filter_map(|event| match &event.what {
        What::Unit(change) if change.unit == unit.name && change.to == UnitState::Starting => Some(event.at),
        _ => None,
    });
    let start = starts.into_iter().find(|start| *start <= unit.since);
    let booted = || {
        let row = past.timeline.rows.iter().find(|row| row.unit == unit.name)?;
        Some(row.ready? - row.started?)
    };
    start.map(|start| unit.since - start).or_else(booted)
}
