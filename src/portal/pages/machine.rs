//! What the machine does now and did before: processors, memory, disks, network, GPUs.

use maud::html;

use super::shell::{self, Answer, Page};
use super::view::View;

pub(super) async fn page(view: View) -> Answer {
    shell::page(&view, Page::Machine, "Machine", &html! { h1 { "Machine" } })
}
