//! The list of commands, the list of keys, and the portal by keyboard alone, in a real browser; and short addresses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]
#![cfg(feature = "web")]

use desktopd::observe::{RouteStatus, UnitState};
use serde_json::json;

use crate::gateway::portal_live::{axe, enter, finds, machine, reads};
use crate::gateway::world::{TOKEN, World, get};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const ESCAPE: char = '\u{e00c}';
const CONTROL: char = '\u{e009}';
const DOWN: char = '\u{e015}';

/// The command that is chosen, as a screen reader finds it.
const CHOSEN: &str = "return document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.querySelector('bdi').textContent ?? null";

#[tokio::test]
async fn commands_are_found_by_a_few_letters_and_run_by_keyboard() {
    let world = World::new().await;
    let browser = enter(&world, "services").await;
    for theme in ["light", "dark"] {
        browser.theme(theme).await;
        browser.press(&[CONTROL, 'k']).await;
        finds(&browser, "return document.activeElement.role", json!("combobox")).await;
        assert_eq!(browser.execute(&axe(), vec![]).await, json!([]), "{theme}");
        browser.press(&[ESCAPE]).await;
        finds(&browser, "return document.querySelector('dialog[open]')", json!(null)).await;
    }
    for (typed, expected) in [
        ("rskde", json!("Restart kde")),
        ("LOGSSH", json!("Log of sshd")),
        ("opdesk", json!("Open Desktop")),
        ("boot", json!("Boot")),
        ("sshd", json!("sshd")),
        ("zzz", json!(null)),
    ] {
        browser.click_on("#commands").await;
        finds(&browser, "return document.activeElement.role", json!("combobox")).await;
        browser.type_text(typed).await;
        finds(&browser, CHOSEN, expected).await;
        browser.press(&[ESCAPE]).await;
        // The focus is back where it was.
        finds(&browser, "return document.activeElement.id", json!("commands")).await;
    }
    browser.press(&[CONTROL, 'k']).await;
    finds(&browser, "return document.activeElement.role", json!("combobox")).await;
    browser.type_text("restart xv").await;
    finds(&browser, CHOSEN, json!("Restart xvfb")).await;
    browser.press(&[ENTER]).await;
    reads(&browser, "With xvfb restart: kde.").await;
    browser.press(&[ESCAPE]).await;
    browser.press(&[CONTROL, 'k']).await;
    finds(&browser, "return document.activeElement.role", json!("combobox")).await;
    let first = browser.execute(CHOSEN, vec![]).await;
    browser.press(&[DOWN]).await;
    assert_ne!(browser.execute(CHOSEN, vec![]).await, first);
    browser.type_text("log of cot\n").await;
    reads(&browser, "cannot bind to port 3478").await;
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn all_keys_are_listed() {
    let world = World::new().await;
    let browser = enter(&world, "logs").await;
    browser.type_text("?").await;
    for text in ["Keys", "g h\nHome", "Ctrl K\nall commands", "n\nnext hit", "e\nnext error"] {
        reads(&browser, text).await;
    }
    assert_eq!(browser.execute(&axe(), vec![]).await, json!([]));
    browser.press(&[ESCAPE]).await;
    finds(&browser, "return document.querySelector('dialog[open]')", json!(null)).await;
}

#[tokio::test]
async fn by_keyboard_alone_a_service_is_restarted_and_its_log_read() {
    let world = World::new().await;
    let browser = enter(&world, "services").await;
    let focus = "const one = document.activeElement; return one.ariaLabel ?? one.textContent.trim()";
    let seen = "const one = document.activeElement; const box = one.getBoundingClientRect(); return one !== document.body && \
        getComputedStyle(one).outlineStyle !== 'none' && box.bottom > 0 && box.top < innerHeight";
    // From the top of the page to the button, as a person without a mouse goes there.
    let mut way = Vec::new();
    for _ in 0..60 {
        browser.press(&[TAB]).await;
        let here = browser.execute(focus, vec![]).await;
        assert_eq!(browser.execute(seen, vec![]).await, json!(true), "{here} after {way:?}");
        way.push(here.clone());
        if here == "restart xvfb" {
            break;
        }
    }
    assert_eq!(way.last(), Some(&json!("restart xvfb")), "{way:?}");
    browser.press(&[ENTER]).await;
    finds(&browser, focus, json!("Cancel")).await;
    browser.press(&[TAB]).await;
    finds(&browser, focus, json!("Restart")).await;
    assert_eq!(browser.execute(seen, vec![]).await, json!(true));
    browser.press(&[ENTER]).await;
    reads(&browser, "the daemon is still deciding what to run").await;
    finds(&browser, focus, json!("restart xvfb")).await;
    // The rows change under the focus, also to another part of the page.
    for (state, reason) in [
        (UnitState::Stopping, "by request"),
        (UnitState::Starting, ""),
        (UnitState::Backoff, "it ended"),
        (UnitState::Ready, ""),
    ] {
        world.observer.update(|snapshot| {
            snapshot.units[1].state = state;
            reason.clone_into(&mut snapshot.units[1].reason);
        });
        let shown = "return document.querySelector('#unit-xvfb .state').textContent";
        finds(&browser, shown, json!(state.name())).await;
        assert_eq!(browser.execute(focus, vec![]).await, json!("restart xvfb"), "{}", state.name());
        assert_eq!(browser.execute(seen, vec![]).await, json!(true), "{}", state.name());
    }
    world.logs.push("xvfb", "the server is up");
    browser.type_text("l").await;
    reads(&browser, "the server is up").await;
    // The rows themselves can be reached and scrolled.
    for _ in 0..60 {
        browser.press(&[TAB]).await;
        if browser.execute("return document.activeElement.id", vec![]).await == "log" {
            break;
        }
    }
    finds(&browser, "return document.activeElement.id", json!("log")).await;
    assert_eq!(browser.execute(seen, vec![]).await, json!(true));
}

#[tokio::test]
async fn short_addresses_lead_to_ways_in_and_nowhere_else() {
    let world = World::new().await;
    world.observer.update(machine);
    world.observer.update(|snapshot| {
        let problem = Some("port 9 is taken".to_owned());
        snapshot.routes.push(RouteStatus { problem, ..RouteStatus::new("Taken", 9, "/", None) });
        snapshot.routes.push(RouteStatus { own: true, ..RouteStatus::new("Portal", 1111, "/", None) });
    });
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for (path, leads) in [
        ("/go/desktop", "http://127.0.0.1:6100/"),
        ("/go/kde", "http://127.0.0.1:6100/"),
        ("/go/8384", "http://127.0.0.1:8384/"),
        ("/go/Files/direct", "http://127.0.0.1:8384/"),
        ("/go/portal", "/"),
        ("/go/files/tunnel", "/?go=files&why=tunnel"),
        ("/go/nothing", "/?go=nothing&why="),
        ("/go/nothing/direct", "/?go=nothing&why="),
        ("/go/taken", "/?go=taken&why=closed"),
        ("/go/%2F%2Fevil.example", "/?go=%2F%2Fevil%2Eexample&why="),
        ("/go/https:%2F%2Fevil.example", "/?go=https%3A%2F%2Fevil%2Eexample&why="),
        ("/go/a%0D%0ASet-Cookie:b", "/?go=a%0D%0ASet%2DCookie%3Ab&why="),
    ] {
        let response = get(world.pages, path, &token).await;
        assert_eq!((response.status, response.location()), (303, leads.to_owned()), "{path}");
        if leads.starts_with('/') {
            let home = get(world.pages, leads, &token).await;
            assert_eq!(home.status, 200);
            assert!(leads == "/" || home.body.contains("role=\"alert\""), "{leads}");
        }
    }
    assert!(get(world.pages, "/go/desktop", "Accept: text/html\r\n").await.location().contains("login"));
    let home = get(world.pages, "/?go=%3Cb%3Ex", &token).await.body;
    assert!(home.contains("No way in is called '<bdi>&lt;b&gt;x</bdi>'"), "{home}");
}
