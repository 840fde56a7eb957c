//! Rows as markup.

use maud::{Markup, html};

use crate::gateway::page::plain;
use crate::logs::{Level, Row, parts};
use crate::portal::api::gather;

use super::super::events::encoded;
use super::super::view::View;
use super::super::words::clock;
use super::choice::Choice;

/// The last rows of one service.
pub(in crate::portal::pages) async fn last(view: &View, name: &str, rows: usize) -> Markup {
    let asked = [("service".to_owned(), name.to_owned()), ("tail".to_owned(), rows.to_string())];
    let rows = gather(&view.api, &asked).await.map_or_else(|_| Vec::new(), |found| found.rows);
    html! {
        @if rows.is_empty() { p.empty { "Nothing was written yet." } }
        @else {
            div.log tabindex="0" role="log" aria-label="Rows" aria-live="off" { @for row in &rows { (line(row, false, None)) } }
        }
    }
}

/// A row; colours are left out. With a choice, the time is a link to the row.
pub(super) fn line(row: &Row, of_several: bool, choice: Option<&Choice>) -> Markup {
    let level = match row.level {
        _ if row.lost.is_some() || row.restarted => "lost",
        Some(Level::Error) => "error",
        Some(Level::Warning) => "warning",
        Some(Level::Info | Level::Debug) | None => "",
    };
    let text = plain(&row.text);
    let linked = choice.and_then(Choice::row).is_some_and(|linked| linked == (row.seq, row.at));
    html! {
        div.{ "row " (level) } id=[linked.then_some("row")] aria-current=[linked.then_some("true")] {
            @match choice {
                Some(choice) => a.at href={ "logs?" (choice.address(Some(row))) "#row" } tabindex="-1" { (clock(row.at)) },
                None => (clock(row.at)),
            }
            " "
            @if of_several { a.source href={ "service?name=" (encoded(&row.service)) } tabindex="-1" { (row.service) } " " }
            bdi {
                @for (part, hit) in parts(&text, &row.hits) { @if hit { mark { (part) } } @else { (part) } }
            }
        }
    }
}
