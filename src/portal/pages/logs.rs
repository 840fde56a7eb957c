//! The logs of chosen services, merged by time. Without scripts the page shows the last rows; with scripts the rows come
//! as the services print them.

use axum::extract::Query;
use maud::{Markup, html};

use crate::gateway::page::plain;
use crate::logs::{Level, Row};
use crate::portal::api::{LogRows, gather};

use super::events::encoded;
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::clock;

/// The rows on the page.
const ROWS: usize = 500;

/// The keys of the address that choose rows: the same as those of the API.
const KEYS: [&str; 7] = ["service", "grep", "regex", "case", "level", "since", "until"];

/// The levels, from all rows to the worst alone.
const LEVELS: [(&str, &str); 4] =
    [("", "all levels"), ("info", "info and worse"), ("warn", "warnings and errors"), ("error", "errors")];

type Words = Vec<(String, String)>;

pub(super) async fn page(view: View, Query(words): Query<Words>) -> Answer {
    let asked: Words =
        words.into_iter().filter(|(key, value)| KEYS.contains(&key.as_str()) && !value.is_empty()).collect();
    let query: Vec<String> = asked.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    let query = query.join("&");
    let shown = gather(&view.api, &with_tail(&asked, ROWS)).await;
    let body = html! {
        div.head {
            h1 { "Logs" }
            div.actions {
                button #pause type="button" hidden { "Pause" }
                label #wrapping hidden { input type="checkbox" checked; " wrap" }
                a.button.quiet href={ "api/logs/download?colour=0&" (query) } { "Download" }
            }
        }
        (choice(&view, &asked))
        @match &shown {
            Err(problem) => p.notice role="alert" { (problem.1) },
            Ok(LogRows { rows, services, .. }) => div #log .log tabindex="0" role="log" aria-label="Rows" aria-live="off"
                data-stream={ "api/logs/stream?tail=" (ROWS) "&" (query) } {
                @if rows.is_empty() { p.empty { "Nothing was written yet." } }
                @for row in rows { (line(row, services.len() > 1)) }
            },
        }
        p.more {
            "The same in a terminal, and older rows: " code { "desktopd logs"
                @for (_, name) in asked.iter().filter(|(key, _)| key == "service") { " " (name) }
            }
        }
    };
    shell::page(&view, Page::Logs, "Logs", &body)
}

fn with_tail(asked: &[(String, String)], rows: usize) -> Words {
    let tail = ("tail".to_owned(), rows.to_string());
    asked.iter().cloned().chain([tail]).collect()
}

/// The form that chooses services and rows.
fn choice(view: &View, asked: &[(String, String)]) -> Markup {
    let value =
        |wanted: &str| asked.iter().find(|(key, _)| key == wanted).map_or("", |(_, value)| value.as_str());
    // A link may name a service by an alias, and several in one value.
    let named = asked.iter().filter(|(key, _)| key == "service").flat_map(|(_, value)| value.split(','));
    let chosen: Vec<String> = named.filter_map(|name| view.api.log_name(name).ok()).collect();
    let written = view.api.logs().names();
    let title = if chosen.is_empty() { "all".to_owned() } else { chosen.join(", ") };
    html! {
        form #choice .choice method="get" action="logs" {
            input type="search" name="grep" value=(value("grep")) placeholder="Search, or press /" aria-label="Only rows with this text"
                autocomplete="off" spellcheck="false";
            label { input type="checkbox" name="regex" value="1" checked[value("regex") == "1"]; " regex" }
            select name="level" aria-label="Levels" {
                @for (level, text) in LEVELS { option value=(level) selected[level == value("level")] { (text) } }
            }
            @for key in ["case", "since", "until"].into_iter().filter(|key| !value(key).is_empty()) {
                input type="hidden" name=(key) value=(value(key));
            }
            button { "Show" }
            details {
                summary { "Services: " (title) }
                div.boxes {
                    @for name in &written {
                        label {
                            input type="checkbox" name="service" value=(name) checked[chosen.iter().any(|one| **one == **name)];
                            " " (name)
                        }
                    }
                }
            }
        }
    }
}

/// The last rows of one service.
pub(super) async fn last(view: &View, name: &str, rows: usize) -> Markup {
    let asked = [("service".to_owned(), name.to_owned())];
    let rows =
        gather(&view.api, &with_tail(&asked, rows)).await.map_or_else(|_| Vec::new(), |found| found.rows);
    html! {
        @if rows.is_empty() { p.empty { "Nothing was written yet." } }
        @else { div.log tabindex="0" role="log" aria-label="Rows" aria-live="off" { @for row in &rows { (line(row, false)) } } }
    }
}

/// Colours are left out here.
fn line(row: &Row, of_several: bool) -> Markup {
    let level = match row.level {
        Some(Level::Error) => "error",
        Some(Level::Warning) => "warning",
        Some(Level::Info | Level::Debug) | None => "",
    };
    html! {
        div.{ "row " (level) } {
            (clock(row.at)) " "
            @if of_several { a.source href={ "service?name=" (encoded(&row.service)) } { (row.service) } " " }
            bdi { (plain(&row.text)) }
        }
    }
}
