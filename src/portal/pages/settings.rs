//! Settings: variables with their origin, sessions, credentials, versions.

use maud::html;

use super::shell::{self, Answer, Page};
use super::view::View;

pub(super) async fn page(view: View) -> Answer {
    shell::page(&view, Page::Settings, "Settings", &html! { h1 { "Settings" } })
}
