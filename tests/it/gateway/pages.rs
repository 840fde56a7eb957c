//! The login page and the portal in a real browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::time::Duration;

use crate::browser::Browser;
use crate::gateway::prefix::proxy;
use crate::gateway::world::{PASSWORD, USER, World};
use crate::poll::eventually;
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

async fn arrive(browser: &Browser, url: &str) {
    eventually("the page", SOON, async || {
        let now = browser.url().await;
        if now == url { Ok(()) } else { Err(format!("{now}: {}", browser.text().await)) }
    })
    .await;
}

#[tokio::test]
async fn after_a_mistyped_password_the_focus_is_on_the_password() {
    let world = World::new().await;
    let browser = Browser::start().await;
    let here = format!("http://127.0.0.1:{}", world.port);
    browser.goto(&format!("{here}/a?b=c")).await;
    let focus = "return [document.activeElement.id, document.getElementById('user').value]";
    assert_eq!(browser.execute(focus, vec![]).await, json!(["user", ""]));
    browser.submit_form("form", &[("user", USER), ("password", "mistyped")]).await;
    assert!(browser.text().await.contains("User name or password is wrong."));
    assert_eq!(browser.execute(focus, vec![]).await, json!(["password", USER]));
    browser.keep_screenshot("login-again.png").await;
    // Keys go to the element with the focus.
    browser.type_text(PASSWORD).await;
    browser.click_on("form button").await;
    arrive(&browser, &format!("{here}/a?b=c")).await;
    assert_eq!(browser.text().await, "service");

    browser.goto(&format!("{here}/desktopd/none")).await;
    let text = browser.text().await;
    assert!(text.contains("There is nothing at this address") && !text.contains("Log in"), "{text}");
    browser.keep_screenshot("not-found.png").await;
    browser.click_on(".ways a").await;
    arrive(&browser, &format!("{here}/")).await;
    assert_eq!(browser.text().await, "service");
}

#[tokio::test]
async fn the_portal_works_in_a_browser_under_a_path_prefix() {
    let world = World::new().await;
    let browser = Browser::start().await;
    let here = format!("http://127.0.0.1:{}/desktop/", proxy(world.pages, "").await);
    browser.goto(&here).await;
    arrive(&browser, &format!("{here}desktopd/login")).await;
    browser.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    arrive(&browser, &here).await;
    for (link, there) in
        [("nav a[href='services']", "services"), ("a[aria-label='log of selkies']", "logs?service=selkies")]
    {
        browser.click_on(link).await;
        arrive(&browser, &format!("{here}{there}")).await;
        assert!(browser.text().await.contains("selkies"), "{there}");
    }
    assert_eq!(browser.console().await, [""; 0]);
    browser.click_on("header form button").await;
    arrive(&browser, &format!("{here}desktopd/login")).await;
    // The cookie is valid under this path only.
    let paths =
        browser.cookies().await.into_iter().map(|cookie| cookie.path().unwrap_or_default().to_owned());
    assert_eq!(paths.collect::<Vec<_>>(), ["/desktop/desktopd"]);
    browser.goto(&format!("{here}none/of/these")).await;
    arrive(&browser, &format!("{here}desktopd/login?next=/none/of/these")).await;
    browser.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    arrive(&browser, &format!("{here}none/of/these")).await;
    browser.click_on(".ways a").await;
    arrive(&browser, &here).await;
}
