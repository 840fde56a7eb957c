//! A person's way through the image, from `docker run` to `docker stop`.

use std::time::{Duration, Instant};

use crate::browser::Browser;
use crate::desktop::Desktop;
use crate::net::{http_get, websocket_status};
use crate::poll::{eventually, within};
use crate::scenario::{self, PAINT};
use crate::stack::{self, PASSWORD, START, Stack, USER};

/// The stream behind the page, a route of its own.
const STREAM: &str = "/api/websockets";
const HTML: (&str, &str) = ("Accept", "text/html");

#[tokio::test]
async fn a_person_works_on_a_desktop_that_recovers_from_an_x_server_crash() {
    let (stack, browser) = (stack::start().await, Browser::start().await);
    only_a_login_opens_anything(&stack).await;

    let desktop = stack::enter(&browser, &stack, USER, PASSWORD).await;
    desktop.wait_until_still(Duration::from_secs(2), START).await;
    browser.keep_screenshot("desktop.png").await;
    paint(&desktop, "unpainted").await;
    browser.keep_screenshot("painted.png").await;

    let before = stack.status().expect("a status");
    let x_server = before.unit("x-server").and_then(|unit| unit.pid).expect("an X server");
    stack.exec_ok(&["kill", "-s", "KILL", &x_server.to_string()]);
    stack.wait_until_renewed(&before).await;
    eventually("a picture without the colour of before", START, async || {
        let left = desktop.count_pixels(PAINT).await;
        if left > 0 { Err(format!("{left} pixels are left")) } else { Ok(()) }
    })
    .await;
    desktop.wait_for_return(START).await;
    paint(&desktop, "unpainted-again").await;

    the_portal_shows_all(&stack, &browser).await;

    let start = Instant::now();
    stack.stop(Duration::from_secs(30));
    let took = start.elapsed();
    assert_eq!(stack.wait_exit_code(Duration::from_secs(5)).await, 0, "a stop does not count as a failure");
    assert!(took < Duration::from_secs(10), "docker stop took {took:?}");
    logs_are_named_and_hold_no_secret(&stack.logs());
}

async fn paint(desktop: &Desktop<'_>, evidence: &str) {
    if let Err(why) = scenario::paint_a_terminal(desktop, scenario::ATTEMPTS).await {
        panic!("{why}; {}", desktop.browser.keep_evidence(evidence).await);
    }
}

async fn only_a_login_opens_anything(stack: &Stack) {
    let login = stack::basic(USER, PASSWORD);
    let login = ("Authorization", login.as_str());
    let wrong = stack::basic(USER, "wrong");
    let wrong = ("Authorization", wrong.as_str());
    for (port, page) in [(stack.desktop_port(), stack.desktop()), (stack.portal_port(), stack.portal())] {
        let get = async |headers: &[(&str, &str)]| {
            http_get(&page, headers).await.unwrap_or_else(|error| panic!("{page}: {error}"))
        };
        assert_eq!(get(&[]).await.status, 401, "{page} without a login");
        assert_eq!(get(&[wrong]).await.status, 401, "{page} with a wrong password");
        let to_login = get(&[HTML]).await;
        assert_eq!(to_login.status, 303, "{page} for a person without a login");
        assert_eq!(to_login.headers["location"], "./desktopd/login", "{page} for a person without a login");
        assert_eq!(get(&[login]).await.status, 200, "{page} with a login");

        let stream = async |headers: &[(&str, &str)]| {
            let status = websocket_status(port, STREAM, headers).await;
            status.unwrap_or_else(|error| panic!("stream on {page}: {error}"))
        };
        assert_eq!(stream(&[]).await, 401, "stream without a login on {page}");
        assert_eq!(stream(&[wrong]).await, 401, "stream with a wrong password on {page}");
        let guessed = ("Cookie", "desktopd_00000000=guess");
        assert_eq!(stream(&[guessed]).await, 401, "stream with a guessed cookie on {page}");
        let foreign = ("Origin", "https://example.com");
        assert_eq!(stream(&[login, foreign]).await, 403, "stream for another site on {page}");
    }
    let status = format!("{}api/status", stack.portal());
    assert_eq!(http_get(&status, &[]).await.expect("an answer").status, 401, "{status} without a login");
    assert_eq!(http_get(&status, &[login]).await.expect("an answer").status, 200, "{status} with a login");
    let own = stack.desktop();
    let own = ("Origin", own.trim_end_matches('/'));
    let stream = websocket_status(stack.desktop_port(), STREAM, &[login, own]).await.expect("an answer");
    assert_eq!(stream, 101, "stream with a login, from its own page");
}

/// A login on one port is valid on the other port.
async fn the_portal_shows_all(stack: &Stack, browser: &Browser) {
    browser.goto(&format!("{}services", stack.portal())).await;
    // What a person has to open first is read too.
    let open = "document.querySelectorAll('details').forEach(part => { part.open = true; });";
    browser.execute(open, vec![]).await;
    let status = stack.status().expect("a status");
    let seen = within(Duration::from_secs(20), async || {
        let text = browser.text().await;
        let missing = status.units.iter().find(|unit| !text.contains(&unit.name));
        missing.map_or(Ok(()), |unit| Err(format!("{} is not in {text:?}", unit.name)))
    });
    if let Err(why) = seen.await {
        panic!("{why}; {}", browser.keep_evidence("portal").await);
    }
    // As people see the pages, on a screen and on a phone.
    for page in [
        "",
        "services",
        "service?name=kde",
        "logs?service=kde&service=selkies",
        "machine",
        "boot",
        "display",
        "tunnels",
        "setup",
        "settings",
    ] {
        browser.goto(&format!("{}{page}", stack.portal())).await;
        let name = if page.is_empty() { "home" } else { page.split('?').next().unwrap_or_default() };
        for (theme, width, height) in
            [("light", 1440, 900), ("dark", 1440, 900), ("light", 390, 844), ("dark", 390, 844)]
        {
            browser.theme(theme).await;
            browser.shape((width, height, 1)).await;
            let wide = "return document.documentElement.scrollWidth > innerWidth";
            assert_eq!(
                browser.execute(wide, vec![]).await,
                false,
                "{page} of {width} pixels scrolls sideways"
            );
            browser.keep_screenshot(&format!("portal-{name}-{width}-{theme}.png")).await;
        }
    }
}

fn logs_are_named_and_hold_no_secret(logs: &str) {
    assert!(!logs.contains(PASSWORD), "the password is in the log:\n{logs}");
    for name in ["desktopd", "kde", "selkies"] {
        let prefix = format!("{name} | ");
        assert!(logs.lines().any(|line| line.starts_with(&prefix)), "no line of {name} in:\n{logs}");
    }
    let named = |line: &&str| {
        line.split_once(" |").is_some_and(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
    };
    let nameless: Vec<&str> = logs.lines().filter(|line| !named(line)).collect();
    assert!(nameless.is_empty(), "lines without a service's name: {nameless:#?}");
}
