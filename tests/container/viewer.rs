//! A person with the hands tied: what shows that the journey needs them.

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::picture::Rgb;
use crate::scenario;
use crate::stack::{self, PASSWORD, START, USER};

/// The page shows the desktop and the server takes no input from it.
const LOOK_ONLY: &str = "#shared";

#[tokio::test]
async fn nobody_paints_who_may_only_look() {
    let (stack, browser) = (stack::start().await, Browser::start().await);
    // The portal has no stream, so the first page of the desktop is the one that only looks.
    stack::log_in(&browser, &stack.portal(), USER, PASSWORD).await;
    browser.goto(&format!("{}{LOOK_ONLY}", stack.desktop())).await;
    let desktop = Desktop { browser: &browser };
    desktop.wait_for_picture(START).await;
    scenario::paint_a_terminal(&desktop, 1).await.expect_err("no terminal without input");
    scenario::type_and_look(&desktop).await.expect_err("no colour without input");
    // The desktop is there all the same, with the panel's light grey.
    assert!(desktop.picture().await.count(Rgb(239, 240, 241), 8) > 30_000, "the panel is in the picture");
}
