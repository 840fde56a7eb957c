//! The scenario without input: proves that it needs keys and mouse.

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::picture::Rgb;
use crate::scenario;
use crate::stack::{self, PASSWORD, START, USER};

/// The page shows the desktop, and the server takes no input from it.
const LOOK_ONLY: &str = "#shared";

#[tokio::test]
async fn a_view_only_page_sends_no_input() {
    let (stack, browser) = (stack::start().await, Browser::start().await);
    // The portal has no stream, so the first page of the desktop is the view-only one.
    stack::log_in(&browser, &stack.portal(), USER, PASSWORD).await;
    browser.goto(&format!("{}{LOOK_ONLY}", stack.desktop())).await;
    let desktop = Desktop { browser: &browser };
    desktop.wait_for_picture(START).await;
    scenario::paint_a_terminal(&desktop, 1).await.expect_err("no terminal without input");
    scenario::type_and_look(&desktop).await.expect_err("no colour without input");
    // The desktop is visible all the same, with the panel's light grey.
    assert!(desktop.picture().await.count(Rgb(239, 240, 241), 8) > 30_000, "the panel is in the picture");
}
