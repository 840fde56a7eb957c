//! The settings in real browsers: a session that is ended elsewhere, and the credentials.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]
#![cfg(feature = "web")]

use std::sync::Arc;
use std::time::Duration;

use desktopd::config::Environment;
use desktopd::observe::{UnitInfo, UnitState};
use serde_json::json;

use crate::gateway::portal_live::{NARROW, axe, enter, finds, reads};
use crate::gateway::world::{PASSWORD, TOKEN, USER, World, unit};
use crate::poll::eventually;

const SOON: Duration = Duration::from_secs(30);

fn variables(world: &World) {
    let pairs = [("WEB_USER", "ada"), ("DISPLAY_DPI", "many"), ("WEB_PASSWORD", "hunter22")];
    let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    world.variables.send_replace(Arc::new(Environment::new(pairs, &[], &mut Vec::new()).rows()));
}

#[tokio::test]
async fn every_tab_of_an_ended_session_logs_in_and_returns_where_it_was() {
    let world = World::new().await;
    let here = enter(&world, "services?filter=kde").await;
    let places = ["services?filter=kde", "logs?service=coturn&level=error", "display", "settings"];
    let mut tabs = vec![here.tab().await];
    for place in &places[1..] {
        tabs.push(here.new_tab().await);
        here.goto(&format!("http://127.0.0.1:{}/{place}", world.pages)).await;
        reads(&here, "desktopd").await;
    }
    let there = enter(&world, "settings").await;
    there.click_on("#sessions tbody tr:nth-child(2) button").await;
    reads(&there, "That browser has to log in again").await;
    there.click_on("#sessions button.danger").await;
    finds(&there, "return document.querySelectorAll('#sessions tbody tr').length", json!(1)).await;

    for (tab, place) in tabs.iter().zip(places) {
        here.switch_to(tab).await;
        eventually(&format!("the login in the tab of {place}"), SOON, async || {
            let url = here.url().await;
            if url.contains("/desktopd/login?next=") { Ok(()) } else { Err(url) }
        })
        .await;
    }
    for (tab, place) in tabs.iter().zip(places) {
        here.switch_to(tab).await;
        here.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
        eventually(&format!("the way back to {place}"), SOON, async || {
            let url = here.url().await;
            if url == format!("http://127.0.0.1:{}/{place}", world.pages) { Ok(()) } else { Err(url) }
        })
        .await;
    }
    assert!(there.text().await.contains("Who is connected"), "the other browser stays logged in");
}

#[tokio::test]
async fn credentials_are_shown_by_keyboard_and_everyone_can_read_them() {
    let world = World::new().await;
    let browser = enter(&world, "settings").await;
    variables(&world);
    browser.goto(&format!("http://127.0.0.1:{}/settings", world.pages)).await;
    reads(&browser, "Credentials").await;
    browser.execute("document.getElementById('password').focus()", vec![]).await;
    browser.type_text("wrong\u{e007}").await;
    reads(&browser, "The password is wrong.").await;
    browser.execute("document.getElementById('password').focus()", vec![]).await;
    browser.type_text(&format!("{PASSWORD}\u{e007}")).await;
    reads(&browser, TOKEN).await;
    for (shape, themes) in [((1440, 900, 1), &["light", "dark"][..]), ((360, 740, 1), &["light"])] {
        browser.shape(shape).await;
        for theme in themes {
            browser.theme(theme).await;
            assert_eq!(browser.execute(&axe(), vec![]).await, json!([]), "{theme}");
        }
    }
    assert_eq!(browser.execute(NARROW, vec![]).await, json!([]));
    // Changes of the state do not take the page away.
    world.observer.update(|snapshot| snapshot.units[2].restarts = 9);
    browser.execute("window.scrollTo(0, 0)", vec![]).await;
    assert!(browser.text().await.contains(TOKEN));
    // The way back shows no secret.
    browser.click_on("main .head a.button").await;
    reads(&browser, "Who is connected").await;
    assert!(!browser.text().await.contains(TOKEN));
    assert_eq!(browser.console().await.iter().filter(|line| !line.contains("403")).count(), 0);
}

#[tokio::test]
async fn the_filter_finds_variables_and_long_pages_fit_a_phone() {
    let world = World::new().await;
    let browser = enter(&world, "").await;
    variables(&world);
    world.observer.update(|snapshot| {
        let mut script = unit("provisioning", UnitState::Failed, "it ended with exit code 2");
        script.info = Arc::new(UnitInfo { oneshot: true, ..(*script.info).clone() });
        snapshot.units.push(script);
    });
    world.logs.push("provisioning", &"x".repeat(300));
    browser.shape((360, 740, 1)).await;
    for page in ["settings", "setup", "tunnels"] {
        browser.goto(&format!("http://127.0.0.1:{}/{page}", world.pages)).await;
        reads(&browser, "desktopd").await;
        let open = "document.querySelectorAll('main details').forEach(part => { part.open = true; })";
        browser.execute(open, vec![]).await;
        assert_eq!(browser.execute(NARROW, vec![]).await, json!([]), "{page}");
        if std::env::var_os("DESKTOPD_TEST_PICTURES").is_some() {
            for (shape, name) in [((1440, 900, 1), "wide"), ((390, 844, 1), "narrow")] {
                for theme in ["light", "dark"] {
                    browser.shape(shape).await;
                    browser.theme(theme).await;
                    browser.keep_screenshot(&format!("{page}-{name}-{theme}.png")).await;
                }
            }
        }
    }
    browser.goto(&format!("http://127.0.0.1:{}/settings", world.pages)).await;
    browser.type_text("/dpi").await;
    let shown = "return [...document.querySelectorAll('#units tbody tr')].filter(row => row.offsetParent).map(row => row.id)";
    finds(&browser, shown, json!(["variable-DISPLAY_DPI"])).await;
}
