//! Text that would be markup, a script or an event if it were not escaped: output of services, their names, the reasons
//! of a state, and requested addresses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::path::Path;

use crate::gateway::upstream::token;
use crate::gateway::world::{Response, World, get, read_until, route, unit};
use desktopd::observe::UnitState;
use desktopd::plan::routes::Route;
use regex::Regex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const HOSTILE: [&str; 16] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</pre></title></main></span><h1>",
    "<!-- ",
    "]]><svg onload=alert(1)>",
    "&lt;script&gt;&#60;b&#x3e;",
    "\u{1b}[31m<b>\u{1b}]8;;javascript:alert(1)\u{1b}\\x\u{1b}]8;;\u{1b}\\",
    "\u{9b}31m\u{90}q\u{9c}<i>",
    "javascript:alert(1)",
    "\u{202e}<u>\u{2028}\u{0}\u{8}",
    "a\r\n\r\n<b>\nevent: enter\ndata: 1\n\n",
    "<\u{1b}[0ms\u{1b}[0mcript>",
    "{{7*7}}${7*7}<%= 7 %>",
    "\u{fe64}script\u{fe65}＜script＞",
    "\\u003cscript\\u003e",
];

/// The tags of a page, in order.
fn tags(page: &str) -> Vec<String> {
    // A tag that begins and does not end counts too.
    let tag = Regex::new("<[^>]*>?").unwrap();
    tag.find_iter(page).map(|found| found.as_str().to_owned()).collect()
}

async fn waiting(world: &World, text: &str) -> Response {
    // A service with this text in its title, reason, needs and output.
    let service = Route { title: text.into(), ..route(world.port, world.service.address) };
    assert_eq!(world.gateway.set_routes(&[service]).await, []);
    world.observer.update(|snapshot| {
        let mut waits = unit("selkies", UnitState::Waiting, &format!("waits for xorg {text}"));
        std::sync::Arc::make_mut(&mut waits.info).description = text.into();
        waits.status_text = text.into();
        snapshot.units = vec![unit("xorg", UnitState::Starting, text), waits];
    });
    world.logs.push("selkies", text);
    get(world.port, "/", &format!("{}Accept: text/html\r\n", token())).await
}

#[tokio::test]
async fn untrusted_text_adds_no_tags_to_the_waiting_page() {
    let plain = World::new().await;
    let usual = tags(&waiting(&plain, "text").await.body);
    assert!(usual.len() > 20 && usual.iter().all(|tag| tag.ends_with('>')), "{usual:?}");
    for text in HOSTILE {
        let world = World::new().await;
        let page = waiting(&world, text).await;
        assert_eq!(page.status, 502, "{text:?}");
        assert_eq!(tags(&page.body), usual, "{text:?} in {}", page.body);
        assert_eq!(page.header("content-type").unwrap(), "text/html; charset=utf-8");
        let controls = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        assert!(!page.body.contains(controls), "{text:?} in {:?}", page.body);
        let policy = page.header("content-security-policy").unwrap();
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        // The same to a program, and as events.
        let answer = get(world.port, "/", &token()).await;
        assert_eq!(answer.header("content-type").unwrap(), "application/json");
        assert_eq!(answer.header("x-content-type-options").unwrap(), "nosniff");
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
        let mut events = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let head = format!("GET /desktopd/wait/events HTTP/1.1\r\nHost: a\r\n{}\r\n", token());
        events.write_all(head.as_bytes()).await.unwrap();
        world.logs.push("selkies", text);
        world.observer.update(|snapshot| snapshot.units[1].reason = text.into());
        let seen = read_until(&mut events, "event: status").await;
        for line in seen.split("\r\n\r\n").nth(1).unwrap().lines() {
            let framing = line.is_empty() || usize::from_str_radix(line, 16).is_ok();
            assert!(
                framing || line.starts_with("event: ") || line.starts_with("data: "),
                "{line:?} in {seen}"
            );
        }
    }
}

#[tokio::test]
async fn api_answers_are_never_rendered_by_a_browser() {
    let world = World::new().await;
    for text in HOSTILE {
        waiting(&world, text).await;
        world.logs.push("desktopd", text);
    }
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        "/api/status".to_owned(),
        "/api/events".to_owned(),
        "/api/timeline".to_owned(),
        "/api/logs/selkies".to_owned(),
        "/api/logs/desktopd".to_owned(),
        format!("/api/logs/{script}"),
        format!("/api/logs/selkies?lines={script}"),
        "/api/logs".to_owned(),
        "/api/logs/download".to_owned(),
        format!("/api/logs?service={script}"),
        format!("/api/logs?regex=1&grep={script}("),
        format!("/api/logs/download?{script}"),
        format!("/api/{script}"),
        format!("/api/timeline.svg?theme={script}"),
        "/api/timeline.svg".to_owned(),
    ] {
        let answer = get(world.pages, &path, &format!("{}Accept: text/html\r\n", token())).await;
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(!kind.starts_with("text/html"), "{path}: {kind}");
        assert_eq!(answer.header("x-content-type-options").unwrap(), "nosniff", "{path}");
        assert!(
            answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"),
            "{path}"
        );
        if kind == "image/svg+xml" {
            // A picture can be opened as a page.
            let tags = tags(&answer.body);
            let known = ["svg", "text", "path", "g", "title", "rect"];
            for tag in tags {
                let name = tag.trim_matches(['<', '>', '/']).split([' ', '/']).next().unwrap().to_owned();
                assert!(known.contains(&&*name), "{tag} in {path}");
                assert!(!tag.contains(" on") && !tag.contains("href"), "{tag} in {path}");
            }
        }
    }
}

#[tokio::test]
async fn the_return_address_of_the_login_is_escaped_and_local() {
    let world = World::new().await;
    let usual = tags(&get(world.port, "/desktopd/login?next=/a", "").await.body);
    for text in HOSTILE.iter().chain(&["//evil", "/\\evil", "https://evil", "/\"><script>", "/'onfocus='x"]) {
        let next = text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let page = get(world.port, &format!("/desktopd/login?next={next}"), "").await;
        assert_eq!(page.status, 200);
        assert_eq!(tags(&page.body).len(), usual.len(), "{text:?} in {}", page.body);
        let value =
            page.body.split("name=\"next\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(
            value.starts_with('/') && !value.starts_with("//") && !value.contains(['<', '>', '\'', '\\']),
            "{value}"
        );
    }
}

/// The pages' own scripts insert text as text only, never as markup.
#[test]
fn page_scripts_insert_text_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for folder in
        ["gateway/assets", "portal/assets", "portal/web/src", "portal/web/src/logs", "portal/web/src/machine"]
    {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let Some("js" | "ts" | "html") = path.extension().and_then(|kind| kind.to_str()) else {
                continue;
            };
            let text = std::fs::read_to_string(&path).unwrap();
            seen += 1;
            for wrong in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "createContextualFragment",
                "setHTML",
                "srcdoc",
                "javascript:",
                "onclick=",
                "setTimeout('",
            ] {
                assert!(!text.contains(wrong), "{wrong} in {}", path.display());
            }
        }
    }
    assert!(seen >= 20, "{seen} files");
}
