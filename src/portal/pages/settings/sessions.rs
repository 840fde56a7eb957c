//! Who is connected: the sessions with what they do, and the buttons that end them.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use maud::{Markup, html};

use crate::gateway::auth::{How, Program, Visit};
use crate::gateway::uri;
use crate::portal::api::{Api, Client, EndSessions, Problem, Sessions};

use crate::portal::pages::shell::{self, Page};
use crate::portal::pages::view::View;
use crate::portal::pages::words::{ago, chip};

/// What the address of the page has in place of a session's id, for all other sessions.
const OTHERS: &str = "others";

pub(super) fn section(view: &View, client: &Client, asked: &str) -> Markup {
    let shown = view.api.sessions(client.visitor.as_ref());
    html! {
        section #sessions aria-labelledby="sessions-title" {
            h2 #sessions-title { "Who is connected" }
            @match &shown {
                Err(problem) => p.empty { (problem.1) },
                Ok(shown) => {
                    @if !shown.required {
                        p {
                            "No login is required (" code { "WEB_ENABLE_AUTH" } " is false): desktopd does not know who uses this \
                             machine."
                        }
                    }
                    (question(shown, asked))
                    (table(view, shown))
                    (programs(view, &shown.programs))
                }
            }
        }
    }
}

fn table(view: &View, shown: &Sessions) -> Markup {
    let own = shown.sessions.iter().any(|visit| visit.own);
    html! {
        @if shown.sessions.is_empty() && shown.required {
            p.empty { "No browser with a login made a request since desktopd started." }
        } @else if !shown.sessions.is_empty() {
            table.wide {
                thead { tr {
                    th scope="col" { "Browser at" } th scope="col" { "Last request" } th scope="col" { "Open now" }
                    th scope="col" { span.hidden { "Actions" } }
                } }
                tbody { @for visit in &shown.sessions { (row(view, visit)) } }
            }
            @if shown.sessions.len() > 1 || !own {
                form.actions method="get" action="settings" {
                    button.danger name="ask" value=(OTHERS) { @if own { "End all others" } @else { "End all" } }
                }
            }
        }
    }
}

fn row(view: &View, visit: &Visit) -> Markup {
    let how = match visit.how {
        How::Password => "logged in with the password",
        How::Token => "opened by a link with the token",
        How::Unknown => "logged in",
    };
    let title = |port: u16| {
        let route = view.snapshot.routes.iter().find(|route| route.port == port);
        route.map_or_else(|| format!("port {port}"), |route| route.title.clone())
    };
    html! {
        tr id={ "session-" (visit.id) } {
            td {
                strong { (visit.address) } " "
                @if visit.own { (chip("ready", "this browser")) }
                small { (how) ", " (ago(visit.since, view.now)) " ago" }
            }
            td data-label="last request" { (ago(visit.last, view.now)) " ago" }
            td data-label="open now:" {
                @if visit.open.is_empty() { span.dim { "nothing" } }
                @for (number, open) in visit.open.iter().enumerate() {
                    @if number > 0 { ", " }
                    bdi { (title(open.port)) }
                    @if open.count > 1 { " (" (open.count) ")" }
                }
            }
            td.last {
                form.actions method="get" action="settings" {
                    button name="ask" value=(visit.id) aria-label={ "End the session of " (visit.address) } { "End" }
                }
            }
        }
    }
}

fn programs(view: &View, programs: &[Program]) -> Markup {
    html! {
        @if !programs.is_empty() {
            details {
                summary { "Clients that send credentials with each request: " (programs.len()) }
                ul {
                    @for program in programs {
                        li {
                            strong { (program.address) } ", the last time " (ago(program.last, view.now)) " ago"
                            @if program.cookie { ", with a cookie that is the token" }
                        }
                    }
                }
                p.dim {
                    "These clients have no session to end. " code { "set-web-credentials" }
                    " keeps out those that send the password; a token is valid until a start with another " code { "WEB_TOKEN" } "."
                }
            }
        }
    }
}

/// The question before sessions end.
fn question(shown: &Sessions, asked: &str) -> Markup {
    let visit = shown.sessions.iter().find(|visit| visit.id == asked);
    let (title, text) = match visit {
        Some(visit) if visit.own => (
            "End your own session?".to_owned(),
            "This browser has to log in again. What it has open here is closed; programs on the desktop go on.",
        ),
        Some(visit) => (
            format!("End the session of {}?", visit.address),
            "That browser has to log in again. What it has open here is closed; programs on the desktop go on.",
        ),
        None if asked == OTHERS && shown.required && !shown.sessions.iter().any(|visit| visit.own) => (
            "End all sessions?".to_owned(),
            "All browsers have to log in again. The password and the token stay the same.",
        ),
        None if asked == OTHERS && shown.required => (
            "End all other sessions?".to_owned(),
            "All other browsers have to log in again, also those that are not in the list. Their connections are closed, \
             and those of this browser are opened again. The password and the token stay the same.",
        ),
        None => return html! {},
    };
    html! {
        div.notice role="alert" {
            h3 { (title) }
            p { (text) }
            form.actions method="post" action="end-session" {
                @if visit.is_some() { input type="hidden" name="id" value=(asked); }
                @else { input type="hidden" name=(OTHERS) value="1"; }
                a.button href="settings" { "Cancel" }
                button.danger { "End" }
            }
        }
    }
}

/// Ends what the form names, and leads back to the page. A browser that ended its own session gets to the login.
pub(super) async fn end(
    State(api): State<Api>,
    view: View,
    client: Client,
    headers: HeaderMap,
    body: String,
) -> Response {
    let id = uri::field(&body, "id").and_then(|id| String::from_utf8(id).ok());
    let wish = EndSessions { id, others: uri::field(&body, OTHERS).is_some() };
    match api.end_sessions(&wish, &client, &headers).await {
        Ok(cookies) => {
            let cookies = cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)).collect::<Vec<_>>();
            (StatusCode::SEE_OTHER, AppendHeaders(cookies), [(LOCATION, "./settings")]).into_response()
        }
        Err(problem) => refused(&view, &problem),
    }
}

fn refused(view: &View, problem: &Problem) -> Response {
    let body = html! {
        section.notice role="alert" { h2 { "That was refused" } p { (problem.1) } }
        p { a.button href="settings" { "Back to the settings" } }
    };
    let page = shell::still(view, Page::Settings, "Refused", &body);
    (problem.0, [(CACHE_CONTROL, "no-store")], page).into_response()
}
