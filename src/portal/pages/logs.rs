//! The logs of chosen services, merged by time. Without scripts the page shows the last rows, with the hits of a search;
//! with scripts the rows come as the services print them.

mod choice;
mod rows;

use axum::extract::Query;
use maud::{Markup, html};

use crate::portal::api::{LogRows, gather};

use super::shell::{self, Answer, Page};
use super::view::View;
use choice::{Choice, Words};
use rows::line;

pub(super) use rows::last;

/// The rows that the server writes.
const ROWS: usize = 500;

/// The rows with which the scripts begin.
const MORE_ROWS: usize = 2000;

pub(super) async fn page(view: View, Query(words): Query<Words>) -> Answer {
    let choice = Choice::read(&view, words);
    let shown = gather(&view.api, &choice.query(ROWS)).await;
    let body = html! {
        div.head {
            h1 { "Logs" }
            div.actions {
                button #pause type="button" aria-pressed="false" title="Key f" hidden { "Pause" }
                a #download .button.quiet href={ "api/logs/download?colour=0&" (choice.filter()) } { "Download these" }
                a.button.quiet href="api/logs/download?colour=0" { "Download all" }
            }
        }
        (choice.form(&view))
        @match &shown {
            Err(problem) => p.notice role="alert" { (problem.1) },
            Ok(found) => (log(&choice, found)),
        }
        p.more {
            "These services in a terminal, with all older rows: " code { (choice.command()) }
        }
    };
    shell::page(&view, Page::Logs, "Logs", &body)
}

fn log(choice: &Choice, found: &LogRows) -> Markup {
    let several = found.services.len() > 1;
    let hits: usize = found.rows.iter().map(|row| row.hits.len()).sum();
    let there =
        choice.row().is_none_or(|(seq, at)| found.rows.iter().any(|row| (row.seq, row.at) == (seq, at)));
    // The rows around one are not followed: they would move away.
    let (stream, rows) = match choice.row() {
        None => (Some(format!("api/logs/stream?tail={MORE_ROWS}&{}", choice.filter())), None),
        Some((seq, _)) => (None, Some(format!("api/logs?row={seq}&{}", choice.filter()))),
    };
    html! {
        (tools(choice, hits))
        p #refused .notice role="alert" hidden {}
        @if choice.row().is_some() {
            p.notice {
                @if there { "These are the rows around the one of the link." }
                @else { "The row of this link is no longer in memory, or the choice leaves it out. The rows below are other rows." }
                " " a #newest href={ "logs?" (choice.address(None)) } { "Show the newest rows" }
            }
        }
        div.frame {
            p #older .empty hidden { "Older rows are not on this page any more. The download has those that desktopd keeps." }
            div #log .log tabindex="0" role="log" aria-label="Rows" aria-live="off" data-stream=[stream] data-rows=[rows]
                data-address={ "logs?" (choice.address(None)) } data-row=[choice.row().map(|(seq, at)| format!("{seq}-{at}"))]
                data-search=[choice.searches().then_some("")] {
                @if found.rows.is_empty() { p.empty { (choice.nothing()) } }
                @for row in &found.rows { (line(row, several, Some(choice))) }
            }
            button #new .chip type="button" hidden {}
        }
    }
}

/// What acts on the rows on the page. The scripts show the buttons.
fn tools(choice: &Choice, hits: usize) -> Markup {
    let word = if hits == 1 { "hit" } else { "hits" };
    html! {
        div #tools .tools role="group" aria-label="Rows" {
            @if choice.searches() {
                output #hits { (hits) " " (word) }
                button #previous type="button" title="Key N" hidden { "Previous" }
                button #next type="button" title="Key n" hidden { "Next" }
            }
            button #error type="button" title="Keys e and E" hidden { "Next error" }
            button #wrap type="button" aria-pressed="true" title="Key w" hidden { "Wrap" }
            button #relative type="button" aria-pressed="false" title="Key t" hidden { "Relative time" }
            button #copy type="button" hidden { "Copy rows" }
            button #link type="button" title="Key y" hidden { "Copy link" }
        }
    }
}
