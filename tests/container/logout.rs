//! After a password change, every session of the old password ends: on every port, by http and by https, and in every
//! open page.

use std::time::Duration;

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::net::{self, http_get, websocket_status};
use crate::poll::within;
use crate::stack::{self, DESKTOP, PASSWORD, PORTAL, START, Stack, USER};
use crate::wire::{STREAM, Wire};

const SOON: Duration = Duration::from_secs(30);

const NEW: &str = "Nieuw paswoord: één & \"twee\" 🔑";

/// The pages at one address: the portal's, then the desktop's.
type Pages = [String; 2];

fn by_http(stack: &Stack) -> Pages {
    [stack.portal(), stack.desktop()]
}

fn by_https(stack: &Stack) -> Pages {
    [PORTAL, DESKTOP].map(|port| format!("https://{}:{port}/", stack.address()))
}

#[tokio::test]
async fn a_changed_password_ends_every_session() {
    let (stack, here) = (stack::start().await, Browser::start().await);
    let away = Browser::start().await;
    let pages = [by_http(&stack), by_https(&stack)];
    let mut tabs = Vec::new();
    let mut cookies = Vec::new();
    for (browser, [portal, desktop]) in [&here, &away].into_iter().zip(&pages) {
        stack::log_in(browser, portal, USER, PASSWORD).await;
        see(browser, "the units' states", "selkies").await;
        tabs.push([browser.tab().await, browser.new_tab().await]);
        // The first browser has the desktop; the second browser only watches.
        let shared = if cookies.is_empty() { "" } else { "#shared" };
        browser.goto(&format!("{desktop}{shared}")).await;
        Desktop { browser }.wait_for_picture(START).await;
        let shown = browser.cookies().await;
        let shown = shown.iter().find(|cookie| cookie.name().contains("desktopd_"));
        cookies.push(shown.map(|cookie| format!("{}={}", cookie.name(), cookie.value())).expect("a cookie"));
    }
    for (pages, cookie) in pages.iter().zip(&cookies) {
        assert_eq!(opened(pages, cookie).await, [200, 200], "{pages:?} while the password is valid");
    }
    let mut wire = Wire::open(stack.desktop_port(), &cookies[0]).await;

    let changed = stack.exec_with_input(&["desktopd", "set-web-credentials", USER], NEW.as_bytes());
    assert_eq!(changed.code, Some(0), "{}{}", changed.stdout, changed.stderr);
    wire.end().await;
    // The test does nothing in the pages: each page notices by itself, as its stream has ended.
    for (browser, tabs) in [&here, &away].into_iter().zip(&tabs) {
        for tab in tabs.iter().rev() {
            browser.switch_to(tab).await;
            let asked = within(SOON, async || {
                let now = browser.url().await;
                if now.contains("/desktopd/login") { Ok(()) } else { Err(now) }
            });
            if let Err(page) = asked.await {
                panic!("{page} is still open; {}", browser.keep_evidence("not-logged-out").await);
            }
        }
    }
    for (pages, cookie) in pages.iter().zip(&cookies) {
        assert_eq!(opened(pages, cookie).await, [401, 401], "{pages:?} with a cookie from before the change");
    }
    let stream = ("Cookie", cookies[0].as_str());
    let status = websocket_status(stack.desktop_port(), STREAM, &[stream]).await;
    assert_eq!(status.expect("an answer"), 401, "a stream with a cookie of before");
    for (browser, [portal, desktop]) in [&here, &away].into_iter().zip(&pages) {
        only_the_new_one_enters(browser, portal).await;
        browser.goto(desktop).await;
        Desktop { browser }.wait_for_picture(START).await;
    }

    stack.restart(SOON);
    stack.wait_until_up().await;
    let pages = [by_http(&stack), by_https(&stack)];
    for (pages, cookie) in pages.iter().zip(&cookies) {
        assert_eq!(opened(pages, cookie).await, [401, 401], "{pages:?} with a cookie of long ago");
        let [portal, desktop] = pages;
        assert_eq!(net::log_in(portal, USER, PASSWORD).await, Err(401), "the old password after the restart");
        let cookie = net::log_in(desktop, USER, NEW).await.expect("the new password after the restart");
        assert_eq!(opened(pages, &cookie).await, [200, 200], "{pages:?} with the new password");
    }
    let logs = stack.logs();
    assert!(!logs.contains(NEW) && !logs.contains(PASSWORD), "a password is in the log:\n{logs}");
}

/// The pages' answers to a client that has nothing but a cookie.
async fn opened(pages: &Pages, cookie: &str) -> [u16; 2] {
    let mut statuses = [0; 2];
    for (status, page) in statuses.iter_mut().zip(pages) {
        *status = http_get(page, &[("Cookie", cookie)]).await.expect("an answer").status;
    }
    statuses
}

/// The login page refuses the old password and takes the new one.
async fn only_the_new_one_enters(browser: &Browser, page: &str) {
    browser.goto(page).await;
    browser.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    see(browser, "a refusal", "is wrong").await;
    stack::log_in(browser, page, USER, NEW).await;
}

async fn see(browser: &Browser, what: &str, words: &str) {
    let seen = within(SOON, async || {
        let text = browser.text().await;
        if text.contains(words) { Ok(()) } else { Err(format!("{}: {text:?}", browser.url().await)) }
    });
    if let Err(why) = seen.await {
        panic!("{what}: {why}; {}", browser.keep_evidence("logout").await);
    }
}
