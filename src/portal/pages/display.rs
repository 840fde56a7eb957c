//! The display: what draws and why. Scripts fill in this page.

use maud::{PreEscaped, html};

use super::shell::{self, Answer, Page};
use super::view::View;

pub(super) async fn page(view: View) -> Answer {
    let body = html! {
        h1.hidden { "Display" }
        noscript {
            p.notice {
                "This page needs JavaScript. " code { "desktopd status" } ", " code { "desktopd plan" } " and "
                code { "desktopd probe" } " show the same."
            }
        }
        div role="alert" { ul #problems .notice hidden {} }
        (PreEscaped(include_str!("../assets/display.html")))
    };
    shell::whole(&view, Page::Display, "Display", &["display.css", "shared.js", "display.js"], &body)
}
