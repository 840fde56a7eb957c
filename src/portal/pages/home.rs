//! The first page: can I get in, is anything wrong, and what happens.

use axum::extract::Query;
use maud::{Markup, html};

use crate::observe::{Phase, RouteStatus, Sight, Snapshot, UnitState};

use super::events::{self, encoded};
use super::go::Missed;
use super::services::buttons;
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::{chip, is_wrong, state};
use super::{icons, ways};

/// Events on this page.
const EVENTS: usize = 8;

pub(super) async fn page(view: View, Query(missed): Query<Missed>) -> Answer {
    let snapshot = &view.snapshot;
    let (first, rest) = ways::elsewhere(snapshot);
    let body = html! {
        h1.hidden { (view.host) }
        (missed.message())
        (boot(snapshot))
        (wrong(snapshot))
        @if let Some(first) = first { (desktop(&view, first)) }
        @if !rest.is_empty() {
            section aria-labelledby="ways-title" {
                h2 #ways-title { "Other ways in" }
                ul #links .ways { @for route in rest { (way(&view, route)) } }
            }
        }
        (mapped(&view))
        section aria-labelledby="events-title" {
            h2 #events-title { "What happened last" }
            (events::list(view.api.events().since(0).iter(), EVENTS))
            p.more { a href="boot" { "All events, and how the start went" } }
        }
        @if !snapshot.notes.is_empty() {
            section.quiet aria-labelledby="notes-title" {
                h2 #notes-title { "Good to know" }
                ul { @for note in &snapshot.notes { li { (note) } } }
            }
        }
        p.version { "desktopd " (snapshot.version) }
    };
    shell::page(&view, Page::Home, "Home", &body)
}

/// How far the start is, until everything is up.
fn boot(snapshot: &Snapshot) -> Markup {
    if snapshot.up || snapshot.phase == Phase::Stopping {
        return html! {};
    }
    let taking_part = || snapshot.units.iter().filter(|unit| unit.state != UnitState::Skipped && !unit.off);
    let (all, done) = (
        taking_part().count(),
        taking_part().filter(|unit| matches!(unit.state, UnitState::Ready | UnitState::Done)).count(),
    );
    let coming: Vec<&str> = taking_part()
        .filter(|unit| matches!(unit.state, UnitState::Starting | UnitState::Backoff))
        .map(|unit| unit.name.as_str())
        .collect();
    if all == done {
        return html! {};
    }
    html! {
        section.boot aria-label="Start" {
            progress value=(done) max=(all) aria-label="Services that are ready" { (done) " of " (all) }
            p {
                strong { (done) " of " (all) " ready" }
                @if !coming.is_empty() {
                    ", waiting for "
                    @for (number, name) in coming.iter().enumerate() {
                        @if number > 0 { ", " }
                        a href={ "service?name=" (encoded(name)) } { (name) }
                    }
                }
            }
        }
    }
}

/// What is wrong, with what mends it.
fn wrong(snapshot: &Snapshot) -> Markup {
    let units: Vec<_> = snapshot.units.iter().filter(|unit| is_wrong(unit)).collect();
    // The sentence about a service is beside the service.
    let other: Vec<&String> = snapshot
        .problems
        .iter()
        .filter(|problem| !units.iter().any(|unit| problem.starts_with(&format!("{} ", unit.name))))
        .collect();
    if units.is_empty() && other.is_empty() {
        return html! {};
    }
    html! {
        section #problems .notice role="alert" aria-labelledby="problems-title" {
            h2 #problems-title { "Needs attention" }
            ul {
                @for unit in units {
                    li id={ "problem-" (unit.name) } {
                        div {
                            a href={ "service?name=" (encoded(&unit.name)) } { strong { (unit.name) } } " "
                            (state(unit))
                            p { bdi { (unit.reason) } }
                            code { "desktopd logs " (unit.name) }
                        }
                        (buttons(snapshot, unit))
                    }
                }
                @for problem in other { li { p { bdi { (problem) } } } }
            }
        }
    }
}

/// The way to the desktop.
fn desktop(view: &View, route: &RouteStatus) -> Markup {
    let link = ways::link(route, &view.address);
    html! {
        section #desktop .desktop aria-labelledby="desktop-title" {
            div {
                h2 #desktop-title { (route.title) " " (sight(route)) }
                @if !route.seen.text.is_empty() { p { bdi { (route.seen.text) } } }
                @else if !view.snapshot.drawing.is_empty() {
                    p.dim { bdi { (view.snapshot.drawing) } " " a href="display" { "Why" } }
                }
                p.actions {
                    @if let Some(link) = &link {
                        a.button.first href=(link) target="_blank" rel="noopener noreferrer" {
                            (icons::open()) "Open the desktop"
                        }
                    }
                    (start(view, route))
                }
            }
            (tools(view, route, link.as_deref()))
            (preview(view, link.as_deref()))
        }
    }
}

/// A small picture of the desktop. The scripts fetch a newer one now and then.
fn preview(view: &View, link: Option<&str>) -> Markup {
    html! {
        @if !view.snapshot.display.is_empty() {
            @if let Some(link) = link {
                a #preview .preview href=(link) target="_blank" rel="noopener noreferrer" {
                    img src="desktopd/screenshot.png?width=480" alt="The desktop as it is now: open it" width="480"
                        height="270" decoding="async";
                }
            }
        }
    }
}

fn way(view: &View, route: &RouteStatus) -> Markup {
    let link = ways::link(route, &view.address);
    html! {
        li id={ "way-" (route.port) } {
            @if let Some(link) = &link {
                a href=(link) target="_blank" rel="noopener noreferrer" { strong { (route.title) } }
            } @else { strong { (route.title) } }
            " " (sight(route))
            @if !route.seen.text.is_empty() { p.why { bdi { (route.seen.text) } } }
            (tools(view, route, link.as_deref()))
        }
    }
}

/// The state of what is behind a route. That of a program that is none of the services is unknown.
fn sight(route: &RouteStatus) -> Markup {
    let seen = route.seen.sight;
    html! { @if !route.unit.is_empty() || seen != Sight::Ready { (chip(seen.name(), seen.name())) } }
}

/// Address, copy, and the picture for a phone's camera.
fn tools(view: &View, route: &RouteStatus, link: Option<&str>) -> Markup {
    let guessed = ways::mapped(&view.snapshot, &view.address).is_some() && route.url.is_none();
    html! {
        div.tools {
            small { "port " (route.port) @if guessed { ", if it is the same outside" } }
            @if let Some(link) = link {
                button.quiet type="button" data-copy=(link) aria-label={ "Copy the address of " (route.title) } hidden {
                    "Copy"
                }
                details.qr {
                    summary aria-label={ "QR code for " (route.title) } { "QR" }
                    img src={ "qr.svg?port=" (route.port) } alt={ "QR code of " (link) } loading="lazy" width="180" height="180";
                }
            }
        }
    }
}

/// The button that starts what is needed for a route.
fn start(view: &View, route: &RouteStatus) -> Markup {
    let stopped = route.seen.start.first().and_then(|name| view.snapshot.unit(name));
    html! { @if let Some(unit) = stopped { (buttons(&view.snapshot, unit)) } }
}

fn mapped(view: &View) -> Markup {
    let Some(own) = ways::mapped(&view.snapshot, &view.address) else { return html! {} };
    let guessed = |route: &RouteStatus| !route.own && route.url.is_none() && route.problem.is_none();
    if !view.snapshot.routes.iter().any(guessed) {
        return html! {};
    }
    html! {
        p #mapped .notice {
            "This page was opened on port " (view.address.port) ", but the portal listens on port " (own.port)
            ": other ports may also differ outside, and links to them may lead to another machine. Publish each port \
             under its own number (" code { "SERVICEPORTAL_PORT_HOST" } ", " code { "SELKIES_PORT_HOST" } " and "
            code { "VNC_PORT_HOST" } " set the ports), or set the addresses in " code { "SERVICEPORTAL_URL" } ", "
            code { "SELKIES_URL" } " and " code { "VNC_URL" } "."
        }
    }
}
