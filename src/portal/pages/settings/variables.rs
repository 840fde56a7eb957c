//! The variables: value, where it came from, and what it is for. Secrets are masked before they get here.

use maud::{Markup, html};

use crate::config::env::Row;
use crate::gateway::page::plain;

use crate::portal::pages::view::View;

pub(super) fn section(view: &View) -> Markup {
    let rows = view.api.variables();
    // A wrong value counts as the default, and is not the same as a variable that is not set.
    let is_set = |row: &&Row| row.source != "default";
    let (set, unset): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(is_set);
    html! {
        section #variables aria-labelledby="variables-title" {
            div.head {
                h2 #variables-title { "Variables" }
                input #filter type="search" placeholder="Filter, or press /" aria-label="Filter the variables" hidden
                    autocomplete="off" spellcheck="false";
            }
            p.dim { "The same in a terminal: " code { "desktopd env" } ". Secrets are never shown here." }
            @if rows.is_empty() { p.empty { "desktopd has not read its configuration yet." } }
        }
        @if !rows.is_empty() {
            div #units {
                details open { summary { "Set: " (set.len()) } (table(&set)) }
                details { summary { "Not set, with their defaults: " (unset.len()) } (table(&unset)) }
            }
        }
    }
}

fn table(rows: &[&Row]) -> Markup {
    html! {
        table.variables {
            thead { tr { th scope="col" { "Name" } th scope="col" { "Value" } th scope="col" { "What" } } }
            tbody { @for row in rows { (line(row)) } }
        }
    }
}

fn line(row: &Row) -> Markup {
    let wrong = row.source.ends_with(" is wrong");
    html! {
        tr id={ "variable-" (row.name) } {
            td {
                code { (row.name) }
                @if !row.aliases.is_empty() { small { "also " (row.aliases.join(", ")) } }
            }
            td {
                @if row.value.is_empty() { span.dim { "empty" } }
                @else { code { bdi { (plain(&row.value)) } } }
                @if row.source != "default" {
                    small.reason[wrong] { @if !wrong { "from " } (plain(&row.source)) }
                    @if row.value != row.default && !row.default.is_empty() { small { "default: " (row.default) } }
                }
                @for lost in &row.overrode {
                    small { "instead of " bdi { (plain(&lost.value)) } " (" (plain(&lost.source)) ")" }
                }
            }
            td.last { small { (row.doc) } }
        }
    }
}
