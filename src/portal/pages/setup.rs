//! What prepared this container: the steps of the first boot and the user's provisioning.

use maud::html;

use super::shell::{self, Answer, Page};
use super::view::View;

pub(super) async fn page(view: View) -> Answer {
    shell::page(&view, Page::Setup, "Setup", &html! { h1 { "Setup" } })
}
