//! The ways in from outside that a tunnel makes.

use maud::html;

use super::shell::{self, Answer, Page};
use super::view::View;

pub(super) async fn page(view: View) -> Answer {
    shell::page(&view, Page::Tunnels, "Tunnels", &html! { h1 { "Tunnels" } })
}
