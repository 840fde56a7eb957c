//! The page of the logs in a real browser: its search, its links, its pause, and services that print anything, as fast as
//! they can.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is wrong")]
#![cfg(feature = "web")]

use std::fmt::Write as _;
use std::time::Duration;

use desktopd::portal::{Api, Right, api, serve_unix};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::mpsc;

use crate::gateway::portal_live::{SOON, enter, finds, reads};
use crate::gateway::world::{TOKEN, World};
use crate::poll::eventually;

const ROWS: &str = "return [...document.querySelectorAll('#log bdi')].map(one => one.textContent)";
const HITS: &str = "return document.getElementById('hits').textContent";

/// Rows with numbers, from one to the other.
fn numbered(from: usize, to: usize) -> String {
    (from..to).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{number:07} a row of a service that prints fast");
        text
    })
}

/// What is wrong with the numbers on the page: each gap must have a row that counts it.
const GAPS: &str = "let [next, lost, wrong] = [null, 0, []]; \
    for (const row of document.querySelectorAll('#log .row')) { \
      const text = row.querySelector('bdi').textContent; \
      const told = /^lost (\\d+) rows/.exec(text); \
      if (told) { lost += Number(told[1]); if (next !== null) next += Number(told[1]); continue; } \
      const number = Number(text.slice(0, 7)); \
      if (next !== null && number !== next) wrong.push(`${next} is missing before ${number}`); \
      next = number + 1; } \
    return { wrong: wrong.slice(0, 5), rows: document.querySelectorAll('#log .row').length, next, lost }";

#[tokio::test]
async fn a_search_is_counted_and_marked_and_its_address_shows_the_same() {
    let world = World::new().await;
    for text in ["error: one", "fine", "\u{1b}[31mERR\u{1b}[0mor and an error", "2 < 3"] {
        world.logs.push("kde", text);
    }
    let browser = enter(&world, "logs?service=kde").await;
    finds(&browser, ROWS, json!(["error: one", "fine", "ERRor and an error", "2 < 3"])).await;
    browser.execute("window.kept = true", vec![]).await;
    browser.type_text("/error\n").await;
    finds(&browser, HITS, json!("3 hits")).await;
    // All rows are there: a search leaves out none.
    finds(&browser, "return document.querySelectorAll('#log .row').length", json!(4)).await;
    finds(
        &browser,
        "return [...document.querySelectorAll('#log mark')].map(one => one.textContent)",
        json!(["error", "ERR", "or", "error"]),
    )
    .await;
    for (key, told, row) in [
        ("n", "1 of 3 hits", "error: one"),
        ("n", "2 of 3 hits", "ERRor and an error"),
        ("n", "3 of 3 hits", "ERRor and an error"),
        ("n", "1 of 3 hits", "error: one"),
        ("N", "3 of 3 hits", "ERRor and an error"),
    ] {
        browser.type_text(key).await;
        finds(&browser, HITS, json!(told)).await;
        assert_eq!(
            browser
                .execute("return document.querySelector('#log [aria-current] bdi').textContent", vec![])
                .await,
            json!(row)
        );
    }
    browser.click_on("#next").await;
    finds(&browser, HITS, json!("1 of 3 hits")).await;
    // A new row is counted as well.
    world.logs.push("kde", "error: all is new");
    finds(&browser, HITS, json!("1 of 4 hits")).await;
    assert_eq!(browser.execute("return window.kept", vec![]).await, json!(true), "the page was never left");
    browser.execute("const only = document.querySelector('[name=only]'); only.click()", vec![]).await;
    finds(&browser, ROWS, json!(["error: one", "ERRor and an error", "error: all is new"])).await;
    let address = browser.url().await;
    assert!(address.ends_with("logs?q=error&only=1&service=kde"), "{address}");
    browser.new_tab().await;
    browser.goto(&address.replace("q=error", "q=one%24%7Cnew%24&regex=1&level=error&since=2h")).await;
    finds(&browser, ROWS, json!(["error: one", "error: all is new"])).await;
    finds(&browser, HITS, json!("2 hits")).await;
    finds(
        &browser,
        "return [...new FormData(document.getElementById('choice'))].join(' ')",
        json!("q,one$|new$ regex,1 only,1 level,error since,2h service,kde"),
    )
    .await;
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn another_service_is_merged_by_one_click_and_a_row_has_a_link() {
    let world = World::new().await;
    let browser = enter(&world, "logs?service=kde,sshd").await;
    for number in 0..3 {
        for name in ["kde", "sshd", "xvfb"] {
            world.logs.push(name, &format!("{name} {number}"));
        }
    }
    let expected: Vec<String> =
        (0..3).flat_map(|n| ["kde", "sshd"].map(|name| format!("{name} {n}"))).collect();
    finds(&browser, ROWS, json!(expected)).await;
    // The box of a service that printed first after the page was opened comes with the next page.
    browser.goto(&browser.url().await).await;
    browser.click_on("#choice summary").await;
    browser.click_on("#choice [value='xvfb']").await;
    let expected: Vec<String> =
        (0..3).flat_map(|n| ["kde", "sshd", "xvfb"].map(|name| format!("{name} {n}"))).collect();
    finds(&browser, ROWS, json!(expected)).await;
    // The row in the middle, in a new tab.
    let link = browser
        .execute("return document.querySelectorAll('#log .row')[4].querySelector('a.at').href", vec![])
        .await;
    let link = link.as_str().unwrap().to_owned();
    assert!(link.contains("row=") && link.contains("service=xvfb"), "{link}");
    world.logs.push("kde", "later");
    browser.new_tab().await;
    browser.goto(&link).await;
    let linked = "return document.querySelector('#log .row[aria-current]#row bdi')?.textContent";
    finds(&browser, linked, json!("sshd 1")).await;
    reads(&browser, "These are the rows around the one of the link.").await;
    browser.click_on("#newest").await;
    finds(&browser, "return [...document.querySelectorAll('#log bdi')].at(-1).textContent", json!("later"))
        .await;
    browser.goto(&link.replace("row=", "row=9")).await;
    reads(&browser, "The row of this link is no longer in memory").await;
}

#[tokio::test]
async fn keys_change_how_rows_are_shown() {
    let world = World::new().await;
    let browser = enter(&world, "logs?service=kde").await;
    for text in ["error: first", "INFO fine", "error: second"] {
        world.logs.push("kde", text);
    }
    finds(&browser, "return document.querySelectorAll('#log .row.error').length", json!(2)).await;
    let here = "return document.querySelector('#log [aria-current] bdi').textContent";
    for (key, script, expected) in [
        ("e", here, json!("error: first")),
        ("e", here, json!("error: second")),
        ("E", here, json!("error: first")),
        ("j", here, json!("INFO fine")),
        ("w", "return document.getElementById('log').classList.contains('long')", json!(true)),
        ("w", "return document.getElementById('log').classList.contains('long')", json!(false)),
        ("t", "return /^\\d+ \\w+ ago$/.test(document.querySelector('#log time').textContent)", json!(true)),
        (
            "t",
            "return /^\\d+:\\d\\d:\\d\\d$/.test(document.querySelector('#log time').textContent)",
            json!(true),
        ),
        ("f", "return document.getElementById('pause').textContent", json!("Continue")),
        ("f", "return document.getElementById('pause').textContent", json!("Pause")),
    ] {
        browser.type_text(key).await;
        finds(&browser, script, expected).await;
    }
    browser.click_on("#copy").await;
    reads(&browser, "Copied: 3 rows").await;
}

#[tokio::test]
async fn progress_bars_are_rows_that_move() {
    let world = World::new().await;
    let browser = enter(&world, "logs?service=kde").await;
    let mut bars = [None; 10];
    for step in 0..20 {
        for (number, bar) in bars.iter_mut().enumerate() {
            *bar = Some(world.logs.show_row("kde", &format!("bar {number}: {step} of 20"), *bar, true))
                .map(|id| bar.unwrap_or(id));
        }
        if step == 10 {
            finds(&browser, "return document.querySelectorAll('#log .row').length", json!(10)).await;
        }
    }
    // Rows that end before the page follows the log are in the order of their ends.
    let moving: Vec<String> = (0..10).map(|number| format!("bar {number}: 19 of 20")).collect();
    finds(&browser, ROWS, json!(moving)).await;
    for (number, bar) in bars.into_iter().enumerate() {
        world.logs.push_all("kde", &format!("bar {number}: done\n"), bar).await;
    }
    let expected: Vec<String> = (0..10).map(|number| format!("bar {number}: done")).collect();
    finds(&browser, ROWS, json!(expected)).await;
}

#[tokio::test]
async fn no_row_that_is_kept_is_missing_after_a_pause() {
    let world = World::new().await;
    world.logs.push_all("kde", &numbered(0, 10), None).await;
    let browser = enter(&world, "logs?service=kde").await;
    finds(&browser, "return document.querySelectorAll('#log .row').length", json!(10)).await;
    browser.click_on("#pause").await;
    for number in (10..510).step_by(10) {
        world.logs.push_all("kde", &numbered(number, number + 10), None).await;
    }
    reads(&browser, "500 new rows").await;
    assert_eq!(
        browser.execute("return document.querySelectorAll('#log .row').length", vec![]).await,
        json!(10)
    );
    browser.click_on("#new").await;
    finds(&browser, GAPS, json!({ "wrong": [], "rows": 510, "next": 510, "lost": 0 })).await;
    // A person who reads rows above is not moved away either.
    browser.execute("document.getElementById('log').scrollTop = 0", vec![]).await;
    world.logs.push_all("kde", &numbered(510, 520), None).await;
    reads(&browser, "10 new rows").await;
    browser
        .execute("const log = document.getElementById('log'); log.scrollTop = log.scrollHeight", vec![])
        .await;
    finds(&browser, GAPS, json!({ "wrong": [], "rows": 520, "next": 520, "lost": 0 })).await;
    finds(&browser, "return document.getElementById('new').hidden", json!(true)).await;
}

#[tokio::test]
async fn a_flood_leaves_a_page_that_answers_and_counts_what_is_lost() {
    let world = World::new().await;
    let browser = enter(&world, "logs?service=kde").await;
    finds(&browser, "return document.getElementById('pause').hidden", json!(false)).await;
    let logs = world.logs.clone();
    let flood = tokio::spawn(async move {
        for batch in 0..60 {
            logs.push_all("kde", &numbered(batch * 1000, (batch + 1) * 1000), None).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    // The page answers while the rows come. How fast depends on the machine: it is printed, for a person to read.
    let watched = "window.clicks = []; document.addEventListener('click', event => requestAnimationFrame(() => \
        window.clicks.push(Math.round(performance.now() - event.timeStamp))))";
    browser.execute(watched, vec![]).await;
    for pressed in ["false", "true", "false"] {
        browser.click_on("#wrap").await;
        finds(&browser, "return document.getElementById('wrap').ariaPressed", json!(pressed)).await;
    }
    flood.await.unwrap();
    eventually("the last row", 3 * SOON, async || {
        let found = browser.execute(GAPS, vec![]).await;
        let rows = found["rows"].as_u64().unwrap_or_default();
        assert!(found["wrong"] == json!([]) && rows <= 20_000, "{found}");
        if found["next"] == 60_000 { Ok(()) } else { Err(found) }
    })
    .await;
    let figures =
        "return { clicks: window.clicks, heap: Math.round(performance.memory.usedJSHeapSize / 1e6) }";
    eprintln!(
        "milliseconds until clicks were answered, and the heap in MB: {}",
        browser.execute(figures, vec![]).await
    );
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn hostile_rows_stay_text() {
    let world = World::new().await;
    let browser = enter(&world, "logs?service=kde").await;
    let all: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    for text in [
        "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>",
        "\u{202e}gpj.exe",
        "nul \u{0} in it",
        &String::from_utf8_lossy(&all),
        &"y".repeat(16 * 1024),
    ] {
        world.logs.push("kde", text);
    }
    reads(&browser, "\\u{202e}gpj.exe").await;
    for (script, expected) in [
        ("return document.querySelectorAll('#log .row').length", json!(5)),
        ("return window.broken ?? null", json!(null)),
        ("return document.querySelectorAll('#log script, #log img').length", json!(0)),
        (
            "return document.querySelector('#log bdi').textContent",
            json!("<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"),
        ),
        ("return [...document.querySelectorAll('#log bdi')].at(-1).textContent.length", json!(16 * 1024)),
        ("return document.documentElement.scrollWidth <= innerWidth", json!(true)),
    ] {
        finds(&browser, script, expected).await;
    }
    assert_eq!(browser.console().await, [""; 0]);
}

#[tokio::test]
async fn a_download_is_what_the_command_prints() {
    let world = World::new().await;
    let browser = enter(&world, "logs").await;
    world.logs.push("kde", "\u{1b}[31mred\u{1b}[0m \u{202e}x <b>");
    world.logs.push("sshd", "error: ü");
    world.logs.push_all("kde", "one\ntwo error\n", None).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("run")).unwrap();
    std::fs::write(
        dir.path().join("desktopd.toml"),
        format!("[paths]\nrun = \"{}\"\n", dir.path().join("run").display()),
    )
    .unwrap();
    let listener = UnixListener::bind(dir.path().join("run/control.sock")).unwrap();
    let (_, handle) = tokio::sync::watch::channel(None);
    let router =
        api::router(Api::new(world.watch.clone(), world.observer.events(), world.logs.clone(), handle));
    let (listeners, listening) = mpsc::channel(1);
    listeners.try_send(listener).unwrap();
    tokio::spawn(serve_unix(listening, router, |_| Right::Change, world.stop.clone()));
    for (page, link, words) in [
        ("logs", "main a[href$='download?colour=0']", &["-n", "all"][..]),
        ("logs?service=kde", "#download", &["kde", "-n", "all"]),
        (
            "logs?q=error&only=1&level=error",
            "#download",
            &["-n", "all", "--grep", "error", "--level", "error"],
        ),
    ] {
        browser.goto(&format!("http://127.0.0.1:{}/{page}", world.pages)).await;
        let script = format!("return fetch(document.querySelector(\"{link}\").href).then(one => one.text())");
        let downloaded = browser.execute(&script, vec![]).await;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_desktopd"));
        command.arg("--config").arg(dir.path()).args(["logs", "--no-colour"]).args(words);
        let printed = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.contains("error") || page.contains("kde"), "{printed}");
        assert_eq!(downloaded, Value::from(printed), "{page}");
    }
}

#[tokio::test]
async fn a_refused_stream_is_explained() {
    let world = World::new().await;
    let browser = enter(&world, "services").await;
    let mut readers = Vec::new();
    for _ in 0..32 {
        let mut reader = TcpStream::connect(("127.0.0.1", world.pages)).await.unwrap();
        let request = format!(
            "GET /api/logs/stream HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
            world.pages
        );
        reader.write_all(request.as_bytes()).await.unwrap();
        assert!(reader.read(&mut [0; 64]).await.unwrap() > 0);
        readers.push(reader);
    }
    world.logs.push("coturn", "of the first page");
    browser.goto(&format!("http://127.0.0.1:{}/logs?service=coturn", world.pages)).await;
    reads(&browser, "These logs are not followed: 32 clients read logs already").await;
    reads(&browser, "Close another page or tab with logs").await;
    reads(&browser, "of the first page").await;
    drop(readers);
    world.logs.push("coturn", "after the refusal");
    finds(&browser, "return document.getElementById('refused').hidden", json!(true)).await;
    reads(&browser, "after the refusal").await;
}
