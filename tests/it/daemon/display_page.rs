//! The page about the display in a real browser, beside a daemon whose X server fails: what died and its last lines, and
//! the button that tries again.

use std::time::Duration;

use crate::browser::Browser;
use crate::daemon::display::{FELL, until_display, world};
use crate::poll::eventually;

const SOON: Duration = Duration::from_secs(20);

async fn shows(browser: &Browser, text: &str) {
    eventually(&format!("{text:?} on the page"), SOON, async || {
        let now = browser.text().await;
        if now.contains(text) { Ok(()) } else { Err(now) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_failed_and_has_it_tried_again() {
    let mut world = world("fail");
    world.env("WEB_USER", "ada").env("WEB_PASSWORD", "given").start();
    until_display(&world, FELL);
    let browser = Browser::start().await;
    let page = format!("http://127.0.0.1:{}/display", world.ports().0);
    browser.goto(&page).await;
    browser.submit_form("form", &[("user", "ada"), ("password", "given")]).await;
    let head = "The CPU draws on :0 (llvmpipe), although DESKTOPD_DISPLAY=xorg asks for Xorg";
    shows(&browser, head).await;
    let status = world.page();
    let sentence = format!(
        "\ndisplay: {head}: Xorg ended with exit code 1: no screens found; `desktopd restart x-server` tries again\n"
    );
    assert!(status.contains(&sentence), "one source: {status}");
    shows(&browser, "Failed since the start").await;
    browser.click_on("#failures summary").await;
    shows(&browser, "(EE) no screens found(EE)").await;

    world.write("mode", "works");
    browser.click_on("#again").await;
    shows(&browser, "With xvfb restart: desk, stream.").await;
    browser.click_on("#question-yes").await;
    until_display(&world, "Xorg with the GPU's driver on :0");
    shows(&browser, "Xorg draws on :0, as DESKTOPD_DISPLAY=xorg asks in spite of this").await;
    shows(&browser, "X server: xorg").await;
    let failures = "return document.getElementById('failures')";
    assert_eq!(browser.execute(failures, vec![]).await, serde_json::Value::Null);
    shows(&browser, "Restart the X server").await;
    assert_eq!(browser.console().await, [""; 0]);
}
