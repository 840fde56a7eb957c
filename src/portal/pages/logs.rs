//! The logs of chosen services, merged by time.

use axum::extract::RawQuery;
use maud::{Markup, html};

use crate::gateway::page::plain;
use crate::logs::{Line, OWN_LOG};

use super::events::encoded;
use super::shell::{self, Answer, Page};
use super::view::View;
use super::words::clock;

/// The lines on the page.
const LINES: usize = 300;

/// The most services whose logs are merged on one page.
const MOST: usize = 64;

pub(super) async fn page(view: View, RawQuery(query): RawQuery) -> Answer {
    let chosen = chosen(&view, query.as_deref().unwrap_or_default());
    let names: Vec<&str> = chosen.iter().map(String::as_str).collect();
    let all: Vec<&str> = std::iter::once(OWN_LOG)
        .chain(view.snapshot.units.iter().map(|unit| unit.name.as_str()))
        .filter(|name| names.contains(name) || !view.api.logs().tail(name, 1).is_empty())
        .collect();
    let body = html! {
        div.head { h1 { "Logs" } }
        form.choice method="get" action="logs" {
            @for name in &all {
                label { input type="checkbox" name="service" value=(name) checked[names.contains(name)]; " " (name) }
            }
            button { "Show" }
        }
        @if names.is_empty() { p.empty { "Choose the services whose logs you want to see." } }
        @else { (lines(&view, &names, LINES)) }
        @for name in &names {
            p.more { code { "desktopd logs " (name) } " shows the same, and older lines" }
        }
    };
    shell::page(&view, Page::Logs, "Logs", &body)
}

/// The services that the query names, each once, by their own names.
fn chosen(view: &View, query: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let values = query.split('&').filter_map(|pair| pair.strip_prefix("service="));
    for value in values.take(MOST) {
        let value = value.replace('+', " ");
        let name = percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned();
        if let Ok(name) = view.api.log_name(&name)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// The last lines of these logs, merged by time.
pub(super) fn lines(view: &View, names: &[&str], most: usize) -> Markup {
    let mut all: Vec<(&str, Line)> = Vec::new();
    for name in names {
        all.extend(view.api.logs().tail(name, most).into_iter().map(|line| (*name, line)));
    }
    // Lines of one log keep their order: the sort is stable.
    all.sort_by_key(|(_, line)| line.at);
    let shown = &all[all.len().saturating_sub(most)..];
    html! {
        @if shown.is_empty() { p.empty { "Nothing was written yet." } }
        @else {
            div.log tabindex="0" role="log" aria-label="Lines" {
                @for (name, line) in shown {
                    div {
                        (clock(line.at)) " "
                        @if names.len() > 1 { a.source href={ "service?name=" (encoded(name)) } { (name) } " " }
                        bdi { (plain(&line.text)) }
                    }
                }
            }
        }
    }
}
