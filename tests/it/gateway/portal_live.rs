//! The portal's pages with their scripts, in a real browser: they follow the state, ask before they act, work by keyboard
//! alone, and everyone can read them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]
#![cfg(feature = "web")]

use std::sync::Arc;
use std::time::Duration;

use desktopd::observe::{RouteStatus, Snapshot, UnitInfo, UnitState, UnitStatus};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::gateway::world::{PASSWORD, USER, World, unit};
use crate::poll::eventually;

pub const SOON: Duration = Duration::from_secs(20);

/// What the pages load to look for what some people cannot read or use.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/portal/web/node_modules/axe-core/axe.min.js");

pub fn service(name: &str, needs: &[&str]) -> UnitStatus {
    let needs = needs.iter().map(|name| (*name).to_owned()).collect();
    let info = UnitInfo {
        name: name.to_owned(),
        description: format!("{name} itself"),
        needs,
        ..UnitInfo::default()
    };
    UnitStatus { info: Arc::new(info), pid: Some(7), ..unit(name, UnitState::Ready, "") }
}

/// A machine on which one service has failed.
pub fn machine(snapshot: &mut Snapshot) {
    let mut step = unit("user", UnitState::Done, "");
    step.info = Arc::new(UnitInfo { oneshot: true, ..(*step.info).clone() });
    snapshot.units = vec![
        step,
        service("xvfb", &[]),
        service("kde", &["xvfb"]),
        service("sshd", &[]),
        unit("coturn", UnitState::Failed, "it ended with exit code 3"),
        unit("steam", UnitState::Skipped, "there is no such program"),
    ];
    snapshot.routes = vec![
        RouteStatus { shows: vec!["kde".to_owned()], ..RouteStatus::new("Desktop", 6100, "/", None) },
        RouteStatus::new("Files", 8384, "/", None),
    ];
    "The CPU draws on :0 (llvmpipe)".clone_into(&mut snapshot.drawing);
    snapshot.notes = vec!["KasmVNC is not in this image".to_owned()];
}

/// A browser that is logged in, at this page.
pub async fn enter(world: &World, path: &str) -> Browser {
    world.observer.update(machine);
    world.logs.push("coturn", "cannot bind to port 3478");
    let browser = Browser::start().await;
    browser.goto(&format!("http://127.0.0.1:{}/{path}", world.pages)).await;
    browser.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    reads(&browser, "desktopd").await;
    browser
}

/// Waits until a person can read the text.
pub async fn reads(browser: &Browser, text: &str) {
    eventually(&format!("{text:?} on the page"), SOON, async || {
        let shown = browser.text().await;
        if shown.contains(text) { Ok(()) } else { Err(shown) }
    })
    .await;
}

/// Waits until a script's result is this.
pub async fn finds(browser: &Browser, script: &str, expected: Value) {
    eventually(script, SOON, async || {
        let found = browser.execute(script, vec![]).await;
        if found == expected { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test]
async fn a_page_follows_the_state_and_keeps_focus_and_open_parts() {
    let world = World::new().await;
    let browser = enter(&world, "services").await;
    browser
        .execute("window.kept = true; document.querySelector('#units > details').open = true;", vec![])
        .await;
    browser.execute("document.querySelector('[aria-label=\"stop sshd\"]').focus()", vec![]).await;
    world.observer.update(|snapshot| {
        snapshot.units[2].state = UnitState::Backoff;
        "it ended with signal 9".clone_into(&mut snapshot.units[2].reason);
    });
    reads(&browser, "it ended with signal 9").await;
    // The same document, with the focus where it was.
    for (script, expected) in [
        ("return window.kept", json!(true)),
        ("return document.activeElement.ariaLabel", json!("stop sshd")),
        ("return document.querySelector('#units > details').open", json!(true)),
        (
            "return document.querySelector('#unit-kde').closest('section').ariaLabelledByElements[0].textContent",
            json!("Need attention"),
        ),
    ] {
        assert_eq!(browser.execute(script, vec![]).await, expected, "{script}");
    }
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn an_action_is_asked_about_and_its_refusal_is_shown() {
    let world = World::new().await;
    let browser = enter(&world, "services").await;
    browser.click_on("[aria-label='restart xvfb']").await;
    let question =
        "return document.getElementById('question').open && document.getElementById('question').innerText";
    let asked = browser.execute(question, vec![]).await.to_string();
    for words in ["Restart xvfb?", "not saved is lost", "With xvfb restart: kde."] {
        assert!(asked.contains(words), "{words:?} is not in {asked}");
    }
    // Escape means no.
    browser.press(&['\u{e00c}']).await;
    assert_eq!(browser.execute(question, vec![]).await, json!(false));
    assert_eq!(
        browser.execute("return document.getElementById('message').hidden", vec![]).await,
        json!(true)
    );
    // Nothing is supervised in this test, so a request is refused.
    browser.click_on("[aria-label='restart xvfb']").await;
    browser.click_on("#question-yes").await;
    reads(&browser, "the daemon is still deciding what to run").await;
    browser.click_on("[aria-label='stop sshd']").await;
    assert_eq!(browser.execute(question, vec![]).await, json!(false), "nothing else stops with sshd");
}

#[tokio::test]
async fn keys_and_the_filter_lead_to_a_service_and_its_log() {
    let world = World::new().await;
    let browser = enter(&world, "").await;
    browser.type_text("gs").await;
    reads(&browser, "Boot steps: 1 of 1 done").await;
    browser.type_text("/cot").await;
    let rows = "return [...document.querySelectorAll('#units tbody tr')].filter(row => row.offsetParent).map(row => row.dataset.name)";
    finds(&browser, rows, json!(["coturn"])).await;
    assert_eq!(browser.execute("return location.search", vec![]).await, json!("?filter=cot"));
    // The filter stays when the page changes.
    world.observer.update(|snapshot| snapshot.units[4].restarts = 4);
    finds(&browser, "return document.querySelector('#unit-coturn .number').textContent", json!("4")).await;
    assert_eq!(browser.execute(rows, vec![]).await, json!(["coturn"]));
    browser.press(&['\u{e00c}']).await;
    browser.type_text("jl").await;
    reads(&browser, "cannot bind to port 3478").await;
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn a_lost_connection_is_said() {
    let world = World::new().await;
    let browser = enter(&world, "").await;
    finds(&browser, "return document.getElementById('connection').hidden", json!(true)).await;
    world.stop.cancel();
    reads(&browser, "Connection lost").await;
    finds(&browser, "return document.body.classList.contains('stale')", json!(true)).await;
}

/// The script that returns what of axe-core's rules the page breaks.
pub fn axe() -> String {
    let axe = std::fs::read_to_string(AXE)
        .unwrap_or_else(|error| panic!("{AXE}: {error}: run `npm ci` in src/portal/web, as tests/run does"));
    format!(
        "{axe}; return axe.run(document, {{ resultTypes: ['violations'] }}).then(found => found.violations.map(one => \
         one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200) + ' ' + node.failureSummary).join('; ')))"
    )
}

/// The script that returns what is too small for fingers or too wide for the screen.
pub const NARROW: &str = "return [...document.querySelectorAll('main a.button, main button, nav a')].filter(one => \
        one.offsetParent && one.getBoundingClientRect().height < 44).map(one => one.outerHTML.slice(0, 100)) \
        .concat(document.documentElement.scrollWidth > innerWidth ? ['scrolls sideways'] : [])";

/// The rules of axe-core, and room for fingers, on every page, in both themes, on a phone and on a screen.
#[tokio::test]
async fn everyone_can_read_and_use_every_page() {
    let world = World::new().await;
    let browser = enter(&world, "").await;
    for path in [
        "",
        "services",
        "service?name=coturn",
        "logs?service=coturn",
        "logs?q=bind",
        "machine",
        "boot",
        "display",
        "settings",
        "setup",
        "tunnels",
    ] {
        browser.shape((1440, 900, 1)).await;
        browser.goto(&format!("http://127.0.0.1:{}/{path}", world.pages)).await;
        reads(&browser, "desktopd").await;
        for theme in ["light", "dark"] {
            browser.theme(theme).await;
            assert_eq!(browser.execute(&axe(), vec![]).await, json!([]), "{path} {theme}");
        }
        browser.shape((360, 740, 1)).await;
        assert_eq!(browser.execute(NARROW, vec![]).await, json!([]), "{path}");
    }
}
