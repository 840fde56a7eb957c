//! The desktop by VNC: the same desktop, with the same login, through noVNC's pages.

use std::time::Duration;

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::net::{http_get, websocket_status};
use crate::scenario::{self, PAINT, PAINTED};
use crate::stack::{self, PASSWORD, START, Stack, USER};

/// The image's default port.
const VNC: u16 = 6200;

/// The path of the bridge.
const BRIDGE: &str = "/websockify";

#[tokio::test]
async fn the_same_desktop_accepts_keys_by_vnc() {
    let spec = stack::spec().publish(VNC).env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD);
    let stack = Stack::new(spec.start(&["init"]));
    let status = stack.wait_until_up().await;
    let browser = Browser::start().await;
    let page = format!("http://localhost:{}/", stack.port(VNC));
    only_a_login_opens_it(&stack, &page).await;

    stack::log_in(&browser, &page, USER, PASSWORD).await;
    let here = browser.url().await;
    assert!(here.contains("/vnc.html"), "the login leads to the desktop, not to {here}");
    let desktop = Desktop { browser: &browser };
    desktop.wait_for_picture(START).await;
    paint(&desktop, "unpainted-vnc").await;
    browser.keep_screenshot("vnc.png").await;

    // Text typed by VNC is visible in Selkies' page.
    browser.goto(&stack.desktop()).await;
    let seen = desktop.wait_for_colour(PAINT, PAINTED, START).await;
    seen.unwrap_or_else(|why| panic!("the colour is not on the other port: {why}"));

    // The server restarts with its display, and the page works again after that.
    let x_server = status.unit("x-server").and_then(|unit| unit.pid).expect("an X server");
    stack.exec_ok(&["kill", "-s", "KILL", &x_server.to_string()]);
    stack.wait_until_renewed(&status).await;
    browser.goto(&page).await;
    desktop.wait_for_picture(START).await;
    paint(&desktop, "unpainted-vnc-again").await;
}

async fn paint(desktop: &Desktop<'_>, evidence: &str) {
    if let Err(why) = scenario::paint_a_terminal(desktop, scenario::ATTEMPTS).await {
        panic!("{why}; {}", desktop.browser.keep_evidence(evidence).await);
    }
}

async fn only_a_login_opens_it(stack: &Stack, page: &str) {
    let login = stack::basic(USER, PASSWORD);
    let login = ("Authorization", login.as_str());
    for path in ["", "vnc.html", "core/rfb.js"] {
        let stranger = http_get(&format!("{page}{path}"), &[]).await.expect("an answer");
        assert_eq!(stranger.status, 401, "{path} without a login");
    }
    let files = http_get(&format!("{page}core/rfb.js"), &[login]).await.expect("an answer");
    assert_eq!(files.status, 200, "noVNC's files with a login");
    let own = ("Origin", page.trim_end_matches('/'));
    let foreign = ("Origin", "https://example.com");
    for (headers, expected) in [(&[own][..], 401), (&[login, foreign][..], 403), (&[login, own][..], 101)] {
        let status = websocket_status(stack.port(VNC), BRIDGE, headers).await;
        assert_eq!(status.expect("an answer"), expected, "the bridge with {headers:?}");
    }
    // Besides the gateway nothing listens for other machines, and nothing at all on VNC's usual port.
    let listening = stack.exec_ok(&["cat", "/proc/net/tcp", "/proc/net/tcp6"]);
    assert!(!listening.contains(":170C "), "something listens on port 5900:\n{listening}");
    let socket = stack.exec_ok(&["stat", "--format=%a %U", "/run/user/1000/vnc.sock"]);
    assert_eq!(socket, "600 user", "the server's socket");
}

#[tokio::test]
async fn the_waiting_page_replaces_a_stopped_server() {
    let stack = Stack::new(
        stack::spec().publish(VNC).env("WEB_USER", USER).env("WEB_PASSWORD", PASSWORD).start(&["init"]),
    );
    stack.wait_until_up().await;
    stack.exec_ok(&["desktopd", "stop", "vnc"]);
    let browser = Browser::start().await;
    let page = format!("http://localhost:{}/", stack.port(VNC));
    stack::log_in(&browser, &page, USER, PASSWORD).await;
    let text = browser.text().await;
    assert!(text.contains("is stopped"), "{text}");
    stack.exec_ok(&["desktopd", "start", "vnc"]);
    // The page recovers without any input.
    Desktop { browser: &browser }.wait_for_picture(Duration::from_secs(30)).await;
}
