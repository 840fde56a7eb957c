//! One service: its state in words, what it needs and what needs it, its events and its last lines.

use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use crate::observe::machine::{bytes, percent};
use crate::observe::{UnitHealth, UnitStatus};
use crate::supervise::Verb;

use super::events::{self, encoded};
use super::figures::or_dash;
use super::logs;
use super::question::question;
use super::services::{Figures, buttons};
use super::shell::{self, Page};
use super::view::View;
use super::words::{ago, state};

/// The lines of the log that this page shows.
const LINES: usize = 50;

/// The events that this page shows.
const EVENTS: usize = 30;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    name: String,
    /// The action that a person is asked about.
    ask: Option<String>,
}

pub(super) async fn page(view: View, Query(asked): Query<Asked>) -> Response {
    let unit = match view.service(&asked.name) {
        Ok(unit) => unit,
        Err(nearest) => return unknown(&view, &asked.name, nearest),
    };
    let figures = Figures::newest(&view).await;
    let all = view.api.events().since(0);
    let log = logs::last(&view, &unit.name, LINES).await;
    let own = all.iter().filter(|event| event.unit() == Some(unit.name.as_str()));
    let body = html! {
        div.head {
            h1 { (unit.name) " " (state(unit)) }
            div.actions { (buttons(&view.snapshot, unit)) }
        }
        (ask(&view, unit, asked.ask.as_deref()))
        section #now aria-label="State" data-figures="5" {
            @if !unit.description.is_empty() { p { (unit.description) } }
            @if !unit.reason.is_empty() { p.reason { bdi { (unit.reason) } } }
            dl { (facts(&view, unit, &figures)) }
        }
        section aria-labelledby="log-title" {
            h2 #log-title { "Last lines of its log" }
            (log)
            p.more { a href={ "logs?service=" (encoded(&unit.name)) } { "The whole log" } }
        }
        section aria-labelledby="events-title" { h2 #events-title { "Its events" } (events::list(own, EVENTS)) }
    };
    shell::page(&view, Page::Services, &unit.name, &body).into_response()
}

fn facts(view: &View, unit: &UnitStatus, figures: &Figures) -> Markup {
    let needed_by: Vec<&String> = view
        .snapshot
        .units
        .iter()
        .filter(|other| other.needs.contains(&unit.name))
        .map(|other| &other.name)
        .collect();
    let needs: Vec<&String> = unit.needs.iter().collect();
    let after: Vec<&String> = unit.after.iter().collect();
    let health = match unit.health {
        None => "not checked",
        Some(UnitHealth::Healthy) => "its checks pass",
        Some(UnitHealth::Unhealthy) => "its checks fail",
    };
    html! {
        dt { "In this state for" } dd { (ago(unit.since, view.now)) }
        @if !unit.oneshot { dt { "Health" } dd { (health) } }
        @if let Some(pid) = unit.pid { dt { "Process" } dd { "PID " (pid) } }
        @if let Some(usage) = figures.of(&unit.name) {
            dt { "CPU" } dd { (or_dash(usage.cpu_share, percent)) " of the container's processors " (figures.past(&unit.name)) }
            dt { "Memory" }
            dd { (bytes(usage.memory_bytes)) " in " (usage.processes) " process" @if usage.processes != 1 { "es" } ". " a href="machine#uses" { "Which ones" } }
        }
        @if !unit.oneshot { dt { "Restarts by itself" } dd { (unit.restarts) } }
        @if !unit.status_text.is_empty() { dt { "It says" } dd { bdi { (unit.status_text) } } }
        (names(view, "Needs", &needs))
        (names(view, "Starts after", &after))
        (names(view, "Needed by", &needed_by))
        @if !unit.aliases.is_empty() { dt { "Also called" } dd { (unit.aliases.join(", ")) } }
        dt { "In a terminal" } dd { code { "desktopd status " (unit.name) } }
    }
}

/// Names of services as links, each with its state.
fn names(view: &View, label: &str, names: &[&String]) -> Markup {
    html! {
        @if !names.is_empty() {
            dt { (label) }
            dd {
                ul.names {
                    @for name in names {
                        li {
                            a href={ "service?name=" (encoded(name)) } { (name) }
                            @if let Some(unit) = view.snapshot.unit(name) { " " (state(unit)) }
                        }
                    }
                }
            }
        }
    }
}

/// The question for a browser without scripts.
fn ask(view: &View, unit: &UnitStatus, verb: Option<&str>) -> Markup {
    let verb = verb.and_then(|name| Verb::ALL.into_iter().find(|verb| verb.name() == name));
    let asked = verb.and_then(|verb| Some((verb, question(&view.snapshot, verb, unit)?)));
    html! {
        @if let Some((verb, asked)) = asked {
            section.notice role="alert" {
                h2 { (asked.title) }
                p { (asked.text) }
                form.actions method="post" action="act" {
                    input type="hidden" name="name" value=(unit.name);
                    a.button href={ "service?name=" (encoded(&unit.name)) } { "Cancel" }
                    button.danger name="verb" value=(verb.name()) { (asked.yes) }
                }
            }
        }
    }
}

fn unknown(view: &View, name: &str, nearest: Option<&str>) -> Response {
    let body = html! {
        h1 { "There is no service '" bdi { (name) } "'" }
        @if let Some(nearest) = nearest {
            p { "Did you mean " a href={ "service?name=" (encoded(nearest)) } { (nearest) } "?" }
        }
        p { a.button href="services" { "All services" } }
    };
    (StatusCode::NOT_FOUND, shell::page(view, Page::Services, "Not found", &body)).into_response()
}
