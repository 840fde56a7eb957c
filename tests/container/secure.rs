//! The desktop from another machine: by https with the certificate that the container made, and from plain http, where
//! people are led to https or to WebRTC. For a browser, the container's own address on Docker's network is as foreign
//! as any other machine's.

use std::time::Duration;

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::poll::eventually;
use crate::scenario;
use crate::stack::{self, DESKTOP, PASSWORD, START, Stack, USER};

const SOON: Duration = Duration::from_secs(20);

/// The desktop's address on Docker's network, without a scheme.
fn address(stack: &Stack) -> String {
    format!("{}:{DESKTOP}/", stack.address())
}

async fn is_secure_context(browser: &Browser) -> bool {
    browser.execute("return window.isSecureContext;", vec![]).await == true
}

async fn arrive(browser: &Browser, what: &str, part: &str) {
    eventually(what, SOON, async || {
        let now = browser.url().await;
        if now.contains(part) { Ok(()) } else { Err(format!("{now}: {}", browser.text().await)) }
    })
    .await;
}

/// Fills the login form and waits for the desktop after it, on which a person then types.
async fn work(browser: &Browser, evidence: &str) {
    browser.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    paint(browser, evidence).await;
}

async fn paint(browser: &Browser, evidence: &str) {
    let desktop = Desktop { browser };
    desktop.wait_for_picture(START).await;
    desktop.wait_until_still(Duration::from_secs(2), START).await;
    if let Err(why) = scenario::paint_a_terminal(&desktop, scenario::ATTEMPTS).await {
        panic!("{why}; {}", browser.keep_evidence(evidence).await);
    }
}

#[tokio::test]
async fn a_person_is_redirected_to_https_and_works_there() {
    let (stack, browser) = (stack::start().await, Browser::start().await);
    let address = address(&stack);
    browser.goto(&format!("http://{address}")).await;
    assert!(!is_secure_context(&browser).await);
    let text = browser.text().await;
    assert!(text.contains("Desktop needs https") && !text.contains("WebRTC"), "{text}");
    browser.keep_screenshot("needs-https.png").await;
    browser.click_on("#https").await;
    arrive(&browser, "the login page by https", &format!("https://{address}desktopd/login")).await;
    assert!(is_secure_context(&browser).await);
    work(&browser, "unpainted-https").await;
    assert_eq!(browser.url().await, format!("https://{address}"));
    // The portal of the same host by https: the login is valid there.
    let portal = format!("https://{}:{}/", stack.address(), stack::PORTAL);
    browser.goto(&portal).await;
    assert_eq!(browser.url().await, portal);
}

#[tokio::test]
async fn a_person_works_by_webrtc_without_https() {
    let settings = stack::spec().env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = Stack::new(settings.env("ENABLE_COTURN", "true").start(&["init"]));
    stack.wait_until_up().await;
    let browser = Browser::start().await;
    let address = address(&stack);
    browser.goto(&format!("http://{address}")).await;
    browser.keep_screenshot("needs-https-or-webrtc.png").await;
    browser.click_on("#webrtc").await;
    arrive(&browser, "the login page", "/desktopd/login").await;
    browser.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    arrive(&browser, "the question", &format!("http://{address}desktopd/webrtc")).await;
    browser.click_on("form button").await;
    paint(&browser, "unpainted-webrtc").await;
    assert_eq!(browser.url().await, format!("http://{address}"));
    assert!(!is_secure_context(&browser).await);
    let video = "return [...document.querySelectorAll('video')].some(video => video.currentTime > 0);";
    assert_eq!(browser.execute(video, vec![]).await, true, "it is a video, not a canvas");
}
