//! The terminal's page in a real browser, before a real daemon and a real shell.

use std::time::Duration;

use serde_json::json;

use crate::browser::Browser;
use crate::daemon::terminal::{PASSWORD, world};
use crate::daemon::world::{World, is_root};
use crate::poll::eventually;

const SOON: Duration = Duration::from_secs(30);

/// What the terminal shows, row by row.
const ROWS: &str =
    "return [...document.querySelectorAll('.xterm-rows > div')].map(row => row.textContent).join('\\n')";

async fn enter(world: &World, path: &str) -> Browser {
    let browser = Browser::start().await;
    browser.goto(&format!("http://127.0.0.1:{}/{path}", world.port())).await;
    browser.submit_form("form", &[("user", "user"), ("password", PASSWORD)]).await;
    browser
}

/// Waits until a script's text contains this.
async fn finds(browser: &Browser, script: &str, text: &str) {
    eventually(&format!("{text:?}: {script}"), SOON, async || {
        let found = browser.execute(script, vec![]).await.to_string();
        if found.contains(text) { Ok(()) } else { Err(found) }
    })
    .await;
}

/// The rules of axe-core.
async fn check(browser: &Browser) {
    const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/portal/web/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(AXE).unwrap();
    let check = format!(
        "{axe}; return axe.run(document, {{ resultTypes: ['violations'] }}).then(found => found.violations.map(one => \
         one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200) + ' ' + node.failureSummary).join('; ')))"
    );
    for theme in ["light", "dark"] {
        browser.theme(theme).await;
        assert_eq!(browser.execute(&check, vec![]).await, json!([]), "{theme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_typed_and_its_output_is_read() {
    let world = world(if is_root() { "root" } else { "user" });
    let browser = enter(&world, "terminal").await;
    finds(&browser, "return document.querySelector('nav a[aria-current]').textContent", "Terminal").await;
    check(&browser).await;
    let status = "return document.getElementById('terminal-status').textContent";
    browser.click_on("#terminal-password").await;
    browser.type_text("wrong\n").await;
    finds(&browser, status, "the password is wrong").await;
    browser.type_text(&format!("{PASSWORD}\n")).await;
    finds(&browser, status, "Connected").await;
    browser.type_text("printf 'sum \\033[38;2;1;200;3mgreen\\033[0m %s\\n' $((20 + 22))\n").await;
    finds(&browser, ROWS, "sum green 42").await;
    // True colours and the styles of the library hold under the policy of the page.
    let colour = "return getComputedStyle([...document.querySelectorAll('.xterm-rows span')].find(one => one.textContent == 'green')).color";
    finds(&browser, colour, "rgb(").await;
    finds(&browser, "return getComputedStyle(document.querySelector('.xterm-rows')).whiteSpace", "pre").await;
    let styled = "return document.adoptedStyleSheets.map(sheet => sheet.cssRules.length).join()";
    finds(&browser, styled, ",").await;
    check(&browser).await;
    browser.shape((1440, 900, 1)).await;
    browser.keep_screenshot("terminal-1440-dark.png").await;
    browser.theme("light").await;
    browser.keep_screenshot("terminal-1440-light.png").await;
    browser.shape((390, 844, 1)).await;
    let wide = "return String(document.documentElement.scrollWidth > innerWidth)";
    finds(&browser, wide, "false").await;
    browser.keep_screenshot("terminal-390-light.png").await;
    browser.type_text("stty size; seq 200000; echo la''st\n").await;
    finds(&browser, ROWS, "last").await;
    browser.type_text("exit 3\n").await;
    finds(&browser, status, "exit code 3").await;
    // One line is of the browser itself: the wrong password was answered with 403.
    let console = browser.console().await;
    assert!(console.iter().all(|line| line.contains("403")), "{console:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_how_the_terminal_is_turned_on() {
    let mut world = World::new();
    world.env("WEB_PASSWORD", PASSWORD);
    world.start();
    let browser = enter(&world, "terminal").await;
    let text = "return document.getElementById('main').innerText";
    finds(&browser, text, "PORTAL_TERMINAL=user").await;
    let links = "return [...document.querySelectorAll('nav a')].map(one => one.textContent).join()";
    let links = browser.execute(links, vec![]).await.to_string();
    assert!(!links.contains("Terminal"), "{links}");
    check(&browser).await;
    assert_eq!(browser.console().await, [""; 0]);
}
