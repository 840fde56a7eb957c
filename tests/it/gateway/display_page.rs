//! The page about the display and its API: for machines of `tests/machines`, with foreign text, at the widths of a phone
//! and of a screen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use crate::browser::Browser;
use crate::gateway::world::{PASSWORD, TOKEN, USER, World, ask, get, unit};
use crate::machines::display::made;
use crate::machines::tree;
use crate::poll::eventually;
use desktopd::observe::{UnitInfo, UnitState, UnitStatus};
use desktopd::plan::Plan;
use desktopd::plan::display::Kind;
use desktopd::portal::{DisplayFailure, DisplayState};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// The programs of an image without VirtualGL.
const PROGRAMS: [&str; 2] = ["Xorg", "Xvfb"];

/// Markup that would run a script, in a name of a GPU or a line of a log.
const HOSTILE: &str = "<img src=x onerror=window.hacked=1>";

/// Shows a plan, as the daemon does.
fn show(world: &World, plan: &Plan, failures: Vec<DisplayFailure>) {
    let state = DisplayState { report: Arc::clone(&plan.report), failures };
    world.displays.send_replace(Some(Arc::new(state)));
    world.observer.update(|snapshot| {
        snapshot.drawing.clone_from(&plan.report.sentence);
        snapshot.display_revision += 1;
    });
}

fn plan_of(machine: &str) -> Plan {
    made(tree::unpack(machine).path(), &[], &PROGRAMS)
}

fn x_server(state: UnitState) -> UnitStatus {
    let info = UnitInfo { name: "xvfb".into(), aliases: vec!["x-server".into()], ..UnitInfo::default() };
    UnitStatus { info: Arc::new(info), pid: Some(7), ..unit("xvfb", state, "") }
}

fn desk() -> UnitStatus {
    let info = UnitInfo { name: "kde".into(), needs: vec!["xvfb".into()], ..UnitInfo::default() };
    UnitStatus { info: Arc::new(info), pid: Some(8), ..unit("kde", UnitState::Ready, "") }
}

#[tokio::test]
async fn the_api_needs_a_login_and_has_the_decision_and_the_probe_of_each_machine() {
    let world = World::new().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let fetched = async || get(world.pages, "/api/display", &token).await;
    assert_eq!(get(world.pages, "/api/display", "").await.status, 401);
    assert_eq!(get(world.pages, "/display", "").await.status, 401);
    assert_eq!(ask(world.pages, "POST", "/api/display", &token, "").await.status, 405);
    let early = fetched().await;
    assert_eq!(early.status, 503, "before the first plan");
    assert!(early.body.contains("try again in a moment"), "{}", early.body);
    for name in tree::names() {
        let plan = plan_of(&name);
        show(&world, &plan, Vec::new());
        let answer = fetched().await;
        assert_eq!(answer.status, 200, "{name}");
        let found: Value = serde_json::from_str(&answer.body).unwrap();
        let decision = serde_json::to_value(&plan.display).unwrap();
        assert_eq!(found["sentence"], plan.display.sentence.to_string(), "{name}");
        assert_eq!(
            (&found["chosen"], &found["number"]),
            (&decision["chosen"], &decision["number"]),
            "{name}"
        );
        let probe = serde_json::to_value(&plan.report.probe).unwrap();
        assert_eq!(found["probe"], probe, "{name}: the answer of `desktopd probe --json`");
        let candidates = found["candidates"].as_array().unwrap();
        for (shown, decided) in candidates.iter().zip(decision["candidates"].as_array().unwrap()) {
            for key in ["kind", "device", "gpu", "reason"] {
                assert_eq!(shown[key], decided[key], "{name}: {key}");
            }
            assert_eq!(shown["outcome"] == "chosen", decided["taken"] == true, "{name}: {shown}");
        }
        assert_eq!(candidates.len(), plan.display.candidates.len(), "{name}");
        for (reason, mend) in found["mends"].as_object().unwrap() {
            let part = |key: &str| mend[key].as_str().unwrap().to_owned();
            assert!(
                reason.starts_with(&part("what")) && reason.ends_with(&part("remedy")),
                "{name}: {reason}"
            );
        }
        assert_eq!(found["failures"], json!([]));
        assert_eq!((&found["screen"]["room"], &found["screen"]["dpi"]), (&"1920x1080".into(), &96.into()));
    }
}

#[tokio::test]
async fn the_remedies_of_common_machines_can_be_copied() {
    for (machine, command) in [
        ("amd-not-given", "--device /dev/dri"),
        ("nvidia-not-given", "--gpus all"),
        ("amd-not-in-group", "--group-add 993"),
        ("nvidia-without-graphics", "-e NVIDIA_DRIVER_CAPABILITIES=all"),
        ("mig", "nvidia-smi -i 0 -mig 0"),
        ("none", "--gpus all"),
    ] {
        let report = plan_of(machine).report;
        let why = report.why.as_ref().unwrap();
        let mend = report.mends.get(why).unwrap_or_else(|| panic!("{machine}: no remedy in {why}"));
        assert!(mend.commands.iter().any(|known| known.text == command), "{machine}: {mend:?}");
    }
}

fn failure(reason: &str) -> DisplayFailure {
    let (at, unit, reason) = (1_796_000_000_000, "xorg".to_owned(), reason.to_owned());
    DisplayFailure { at, kind: Kind::Xorg, unit, reason, lines: Vec::new() }
}

/// Opens the page as a person with a login, and waits for its content.
async fn open(browser: &Browser, world: &World, text: &str) {
    let page = format!("http://127.0.0.1:{}/display", world.pages);
    browser.goto(&page).await;
    browser.submit_form("form", &[("user", USER), ("password", PASSWORD)]).await;
    assert_eq!(browser.url().await, page, "the login leads back to the page");
    shows(browser, text).await;
}

async fn shows(browser: &Browser, text: &str) {
    eventually(&format!("{text:?} on the page"), SOON, async || {
        let now = browser.text().await;
        if now.contains(text) { Ok(()) } else { Err(now) }
    })
    .await;
}

/// What is wrong with the page for people with a phone, a keyboard or a screen reader.
const FAULTS: &str = r"
    const faults = [];
    const wide = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1);
    if (document.documentElement.scrollWidth > innerWidth) faults.push(`scrolls to ${document.documentElement.scrollWidth}: ${wide.map((one) => one.outerHTML.slice(0, 80)).join(' ')}`);
    const shown = (one) => one.getClientRects().length > 0;
    for (const button of [...document.querySelectorAll('button')].filter(shown)) {
        const name = button.getAttribute('aria-label') ?? button.textContent;
        if (!name.trim()) faults.push(`a button without a name: ${button.outerHTML}`);
        const height = button.getBoundingClientRect().height;
        if (innerWidth < 500 && height < 44) faults.push(`${name} is ${height} pixels high`);
    }
    const headings = [...document.querySelectorAll('h1, h2, h3')].filter(shown);
    headings.reduce((last, heading) => {
        const level = Number(heading.tagName[1]);
        if (level > last + 1) faults.push(`${heading.textContent}: level ${level} after ${last}`);
        if (!heading.textContent.trim()) faults.push(`an empty heading: ${heading.outerHTML}`);
        return level;
    }, 0);
    for (const one of document.querySelectorAll('section')) {
        if (!document.getElementById(one.getAttribute('aria-labelledby'))) faults.push(`a section without a name: ${one.id}`);
    }
    const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
    if (new Set(ids).size !== ids.length) faults.push('an id twice');
    return faults;
";

/// A machine whose GPU has a name of markup, and a failure whose log has the same.
#[tokio::test]
async fn foreign_text_stays_text_and_the_page_fits_a_phone_and_a_screen() {
    let world = World::new().await;
    let text = fs::read_to_string(tree::folder().join("nvidia-complete.txt")).unwrap();
    let root = tempfile::tempdir().unwrap();
    tree::write(root.path(), &text.replace("NVIDIA GeForce RTX 3090", HOSTILE)).unwrap();
    let plan = made(root.path(), &[("DESKTOPD_DISPLAY", "llvmpipe"), ("VGL_DISPLAY", HOSTILE)], &PROGRAMS);
    let failure = DisplayFailure {
        unit: HOSTILE.into(),
        lines: vec![format!("\u{1b}[31m(EE) {HOSTILE}\u{1b}[0m"), "x".repeat(300)],
        ..failure(&format!("Xorg ended with exit code 1: {HOSTILE}"))
    };
    world.observer.update(|snapshot| {
        snapshot.units = vec![x_server(UnitState::Ready), desk()];
        snapshot.mistakes = vec![HOSTILE.into()];
    });
    show(&world, &plan, vec![failure]);
    let browser = Browser::start().await;
    open(&browser, &world, "The CPU draws on :0 (llvmpipe)").await;
    browser.execute("document.querySelector('details').open = true", vec![]).await;
    for (width, height) in [(390, 844), (1440, 900)] {
        browser.shape((width, height, 1)).await;
        assert_eq!(browser.execute(FAULTS, vec![]).await, json!([]), "{width}");
        let tall = browser.execute("return document.documentElement.scrollHeight", vec![]).await;
        browser.shape((width, u32::try_from(tall.as_u64().unwrap()).unwrap(), 1)).await;
        browser.keep_screenshot(&format!("display-{width}.png")).await;
    }
    let page = browser.text().await;
    for text in [
        format!("{HOSTILE} (0000:01:00.0) could draw"),
        format!("(EE) {HOSTILE}\n"),
        format!("Last lines of the log of {HOSTILE}"),
        "Try again from the top".to_owned(),
        "X server: xvfb".to_owned(),
    ] {
        assert!(page.contains(&text), "{text:?} in {page}");
    }
    let harm = "return [document.querySelectorAll('img').length, typeof window.hacked]";
    assert_eq!(browser.execute(harm, vec![]).await, json!([0, "undefined"]));

    // What the restart takes along is said before, and without a yes nothing is asked for.
    browser.click_on("#again").await;
    shows(&browser, "Restart the X server?").await;
    for text in ["What failed is forgotten", "work that is not saved is lost", "With xvfb restart: kde."] {
        assert!(browser.text().await.contains(text), "{text}");
    }
    browser.click_on("#question button[value='']").await;
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn the_page_follows_the_daemon_and_remedies_are_copied() {
    let world = World::new().await;
    world.observer.update(|snapshot| snapshot.units = Vec::new());
    let browser = Browser::start().await;
    open(&browser, &world, "Looking at this machine").await;
    // The first plan, and what changes then.
    show(&world, &plan_of("amd-not-given"), Vec::new());
    shows(&browser, "but this container has no /dev/dri").await;
    world.observer.update(|snapshot| snapshot.units = vec![x_server(UnitState::Starting)]);
    shows(&browser, "starting").await;
    world.observer.update(|snapshot| snapshot.units = vec![x_server(UnitState::Ready)]);
    shows(&browser, "ready").await;

    // By the event that a paste would use; a page by plain http has no other way.
    let listen = "Object.defineProperty(navigator, 'clipboard', { value: undefined });
        document.addEventListener('copy', () => { window.copied = document.activeElement.value; });";
    browser.execute(listen, vec![]).await;
    browser.click_on("#why .commands button").await;
    shows(&browser, "Copied: --device /dev/dri").await;
    assert_eq!(browser.execute("return window.copied", vec![]).await, "--device /dev/dri");
    // A button keeps the focus when its section is drawn anew.
    show(&world, &plan_of("amd-not-given"), vec![failure("it ended")]);
    shows(&browser, "Failed since the start").await;
    let focus = "return document.activeElement.getAttribute('aria-label')";
    assert_eq!(browser.execute(focus, vec![]).await, "Copy --device /dev/dri");

    // Eight equal GPUs are one item, and a display that is drawn by a GPU has nothing to mend.
    show(&world, &plan_of("eight"), Vec::new());
    shows(&browser, "NVIDIA H100 80GB HBM3 (0000:db:00.0)").await;
    let items = "return document.querySelectorAll('#candidates-list > li').length";
    let all = plan_of("eight").display.candidates.len();
    let items = browser.execute(items, vec![]).await.as_u64().unwrap();
    assert!(items < all as u64 / 2, "{items} of {all}");
    show(&world, &made(tree::unpack("nvidia-complete").path(), &[], &["Xorg", "Xvfb", "vglrun"]), Vec::new());
    shows(&browser, "the best display for it").await;
    assert_eq!(browser.execute("return document.getElementById('why')", vec![]).await, Value::Null);
    assert_eq!(browser.console().await, [""; 0]);
}
