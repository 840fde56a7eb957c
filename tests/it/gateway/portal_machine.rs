//! The figures of the machine on the portal's pages, in a real browser: plots, the services' figures, the small picture of
//! the desktop; and that nothing is read while no page shows figures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]
#![cfg(feature = "web")]

use std::time::Duration;

use serde_json::{Value, json};

use super::portal_live::{enter, finds, reads};
use crate::browser::Browser;
use crate::gateway::world::{TOKEN, World, get};

/// The number of the newest sample. While no client looks, the answer itself needs two samples.
async fn samples(world: &World) -> u64 {
    let answer = get(world.pages, "/api/machine", &format!("Authorization: Bearer {TOKEN}\r\n")).await;
    let body = &answer.body[answer.body.find('{').unwrap()..=answer.body.rfind('}').unwrap()];
    serde_json::from_str::<Value>(body).unwrap()["now"]["seq"].as_u64().unwrap()
}

/// How many samples are made in this time, with those of the two questions.
async fn made(world: &World, time: Duration) -> u64 {
    let before = samples(world).await;
    tokio::time::sleep(time).await;
    samples(world).await - before
}

async fn goto(browser: &Browser, world: &World, page: &str) {
    browser.goto(&format!("http://127.0.0.1:{}/{page}", world.pages)).await;
}

#[tokio::test]
async fn one_click_after_the_login_shows_which_process_uses_the_memory_and_plots() {
    let world = World::new().await;
    let browser = enter(&world, "").await;
    browser.click_on("nav a[href='machine']").await;
    reads(&browser, "What uses the memory").await;
    reads(&browser, "PID ").await;
    reads(&browser, "This container has no GPU").await;
    finds(&browser, "return document.querySelectorAll('.plot canvas').length", json!(4)).await;
    let label = "return document.querySelector('#plot-cpu [role=img]').ariaLabel.split(':')[0]";
    finds(&browser, label, json!("CPU in the last 10 minutes")).await;
    // Something is drawn, in the colour of the theme, and the newer page leaves the plot alone.
    let drawn = "const canvas = document.querySelector('#plot-memory canvas'); window.first ??= canvas; \
         const blank = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height }); \
         return window.first === canvas && canvas.toDataURL() !== blank.toDataURL()";
    finds(&browser, drawn, json!(true)).await;
    let newer = "return performance.getEntriesByType('resource').filter(one => one.name.endsWith('/machine')).length >= 2";
    finds(&browser, newer, json!(true)).await;
    assert_eq!(browser.execute(drawn, vec![]).await, json!(true));
    browser.click_on("[data-range='minutes']").await;
    finds(&browser, label, json!("CPU in the last 24 hours")).await;
    assert_eq!(browser.execute("return document.querySelectorAll('style').length", vec![]).await, json!(0));
    browser.click_on("#uses a[href^='machine?sort=cpu']").await;
    reads(&browser, "What uses the processors").await;
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn four_tabs_cost_the_samples_of_one_and_hidden_ones_none() {
    let world = World::new().await;
    let browser = enter(&world, "machine").await;
    for page in ["services", "service?name=kde", "machine"] {
        browser.new_tab().await;
        goto(&browser, &world, page).await;
        reads(&browser, "desktopd").await;
    }
    let most = made(&world, Duration::from_secs(4)).await;
    assert!((3..=6).contains(&most), "{most} samples in four seconds");
    // The page in front has no figures, and the others are hidden.
    browser.new_tab().await;
    goto(&browser, &world, "boot").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let at_rest = made(&world, Duration::from_secs(5)).await;
    assert!(at_rest <= 2, "{at_rest} samples, of which an answer needs two");
}

#[tokio::test]
async fn services_have_their_processor_time_memory_and_a_picture_of_the_past() {
    let world = World::new().await;
    let browser = enter(&world, "services").await;
    world.observer.update(|snapshot| snapshot.units[2].pid = Some(std::process::id().cast_signed()));
    for (label, unit) in [("Memory", "iB"), ("CPU", "%")] {
        let shown = format!(
            "return document.querySelector('#unit-kde [data-label={label}]').textContent.includes('{unit}')"
        );
        finds(&browser, &shown, json!(true)).await;
    }
    finds(&browser, "return document.querySelector('#unit-kde .spark') !== null", json!(true)).await;
    goto(&browser, &world, "service?name=kde").await;
    reads(&browser, "of the container's").await;
}

#[tokio::test]
async fn the_picture_of_the_desktop_is_hidden_until_there_is_one_and_then_kept_new() {
    let world = World::new().await;
    world.observer.update(|snapshot| "X on :0".clone_into(&mut snapshot.display));
    let browser = enter(&world, "").await;
    let hidden = "return document.getElementById('preview').hidden";
    // This world takes no pictures.
    finds(&browser, hidden, json!(true)).await;
    world.observer.update(|snapshot| snapshot.units[3].restarts = 2);
    reads(&browser, "What happened last").await;
    assert_eq!(browser.execute(hidden, vec![]).await, json!(true));
    // From now on there is a picture at the address.
    browser.execute("document.querySelector('#preview img').src = 'icon.svg'", vec![]).await;
    let src = "return new URL(document.querySelector('#preview img').src).search.startsWith('?at=') && \
         !document.getElementById('preview').hidden";
    finds(&browser, src, json!(true)).await;
    world.observer.update(|snapshot| "coturn has ended".clone_into(&mut snapshot.units[4].reason));
    reads(&browser, "coturn has ended").await;
    assert_eq!(browser.execute(src, vec![]).await, json!(true), "the newer page keeps the picture");
}
