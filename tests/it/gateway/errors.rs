//! Error answers: pages for people, plain answers for programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use crate::gateway::upstream::{Upstream, before, token};
use crate::gateway::world::{TOKEN, USER, World, ask, basic, free_port, get, route};
use desktopd::observe::RouteStatus;
use desktopd::plan::routes::Bridge;

const HTML: &str = "Accept: text/html,*/*\r\n";

fn own(port: u16, url: Option<&str>) -> RouteStatus {
    RouteStatus { own: true, url: url.map(str::to_owned), ..RouteStatus::new("Portal", port, "/", None) }
}

#[tokio::test]
async fn people_get_an_error_page_with_links_and_programs_do_not() {
    let upstream = Upstream::start(&[
        ("/none", "HTTP/1.1 404 Not Found\r\nContent-Type: application/octet-stream\r\nContent-Security-Policy: x\r\nContent-Length: 4\r\n\r\ngone"),
        ("/own", "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<p>my</p>404"),
        ("/broken", "nothing that is HTTP!\r\n\r\n"),
    ])
    .await;
    let (world, port) = before(&upstream).await;
    world.observer.update(|snapshot| snapshot.routes = vec![own(world.pages, None)]);
    let (inside, outside) = (token(), String::new());
    let foreign = format!("{}Origin: http://evil\r\n", token());
    for (at, method, path, headers, status, kind, said) in [
        (world.pages, "GET", "/none", &inside, 404, "application/json", "There is nothing here."),
        (world.pages, "POST", "/", &inside, 405, "", "does not accept this method"),
        (port, "GET", "/desktopd/none", &inside, 404, "text/plain", "There is nothing here."),
        (port, "GET", "/broken", &inside, 502, "application/json", "gave no proper answer"),
        (port, "GET", "/none", &inside, 404, "application/octet-stream", "nothing at this address"),
        (port, "PUT", "/desktopd/login", &outside, 405, "text/plain", "This address takes a form."),
        (port, "POST", "/x", &foreign, 403, "application/json", "page of another origin"),
        (port, "POST", "/desktopd/login", &foreign, 403, "text/plain", "page of another origin"),
    ] {
        let program = ask(at, method, path, headers, "").await;
        assert_eq!(program.status, status, "{method} {path}: {}", program.head);
        assert!(
            program.header("content-type").unwrap_or_default().starts_with(kind),
            "{path}: {}",
            program.head
        );
        assert!(!program.body.contains("<h1>"), "{path}");
        let person = ask(at, method, path, &format!("{HTML}{headers}"), "").await;
        assert_eq!(person.status, status, "{method} {path}: {}", person.head);
        assert_eq!(
            person.header("content-type"),
            Some("text/html; charset=utf-8"),
            "{path}: {}",
            person.head
        );
        assert!(person.body.contains("<h1>") && person.body.contains(said), "{path}: {}", person.body);
        assert!(person.body.contains(&format!("HTTP {status}")), "{}", person.body);
        assert!(
            person.header("content-security-policy").unwrap().starts_with("default-src 'none'"),
            "{}",
            person.head
        );
        let portal = format!("href=\"http://127.0.0.1:{}/\"", world.pages);
        assert_eq!(person.body.contains(&portal), at == port, "{path}: {}", person.body);
        assert!(person.body.contains(">Service portal<"), "{path}: {}", person.body);
        assert_eq!(person.body.contains(">Desktop &lt;1&gt;<"), at == port, "{path}: {}", person.body);
        assert!(person.body.contains(">Log in<"), "a token is no session: {}", person.body);
        // A background request of a page counts as a program's.
        let script = ask(at, method, path, &format!("{HTML}Sec-Fetch-Mode: cors\r\n{headers}"), "").await;
        assert!(!script.body.contains("<h1>"), "{path}: {}", script.body);
    }
    // Answers of the API do not change.
    for path in ["/api/none", "/api/%3Cscript%3E"] {
        let answer = get(world.pages, path, &format!("{HTML}{inside}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/json")));
    }
    let script = get(world.pages, "/%3Cscript%3Ealert(1)", &format!("{HTML}{inside}")).await;
    assert!(script.status == 404 && !script.body.contains("script"), "{}", script.body);
    // A service's own error page passes unchanged.
    assert_eq!(get(port, "/own", &format!("{HTML}{inside}")).await.body, "<p>my</p>404");
    // A client with a session is not asked to log in, and a client on a port that is not ours gets no guessed link to
    // the portal.
    let cookie = format!("Cookie: {}\r\n{HTML}", world.cookie_at(port).await);
    assert!(!get(port, "/desktopd/none", &cookie).await.body.contains(">Log in<"));
    let elsewhere = get(port, "/desktopd/none", &format!("{cookie}Host: desk.example:26100\r\n")).await;
    assert!(!elsewhere.body.contains("Service portal"), "{}", elsewhere.body);
    let preset = own(world.pages, Some("https://portal.example/x"));
    world.observer.update(|snapshot| snapshot.routes = vec![preset]);
    let elsewhere = get(port, "/desktopd/none", &format!("{cookie}Host: desk.example:26100\r\n")).await;
    assert!(elsewhere.body.contains("href=\"https://portal.example/x\""), "{}", elsewhere.body);
    // Through Cloudflare, which replaces a 502 with a page of its own.
    let hidden = get(port, "/broken", &format!("{cookie}CF-Ray: 8f\r\n")).await;
    assert!(hidden.status == 200 && hidden.body.contains("HTTP 502"), "{}", hidden.head);
    let program = get(port, "/broken", &format!("{inside}CF-Ray: 8f\r\n")).await;
    assert_eq!(program.status, 502);
}

#[tokio::test]
async fn too_many_attempts_are_a_page_too() {
    let world = World::tuned(crate::gateway::world::credentials(), |settings| {
        settings.proxies.listed = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let from = "X-Forwarded-For: 203.0.113.1\r\n";
    for n in 0..5 {
        let guess = format!("{from}{}", basic(USER, &format!("guess {n}")));
        assert_eq!(get(world.port, "/", &guess).await.status, 401);
    }
    let guess = format!("{from}{}", basic(USER, "one more"));
    let program = get(world.port, "/", &guess).await;
    assert_eq!((program.status, program.header("content-type")), (429, Some("application/json")));
    let person = get(world.port, "/a", &format!("{guess}{HTML}")).await;
    assert_eq!((person.status, person.header("content-type")), (429, Some("text/html; charset=utf-8")));
    assert!(
        person.header("retry-after").is_some() && person.body.contains("Too many attempts"),
        "{}",
        person.body
    );
    assert!(person.body.contains("href=\"./desktopd/login\""), "{}", person.body);
}

#[tokio::test]
async fn a_failed_login_keeps_the_user_name_and_focuses_the_password() {
    let world = World::new().await;
    let attempt = async |user: &str| {
        let response = crate::gateway::world::log_in(world.port, user, "s3cret-typed", "/a").await;
        assert_eq!(response.status, 401);
        assert!(!response.body.contains("s3cret-typed"), "{}", response.body);
        response.body
    };
    let page = attempt("ada \"><script>").await;
    assert!(page.contains("value=\"ada &quot;&gt;&lt;script&gt;\" required>"), "{page}");
    assert!(page.contains("autocomplete=\"current-password\" required autofocus>"), "{page}");
    for none in ["", "a:b", "a\nb", &"x".repeat(300)] {
        let page = attempt(none).await;
        assert!(page.contains("value=\"\" required autofocus>"), "{none:?}: {page}");
        assert_eq!(page.matches("autofocus").count(), 1);
    }
}

#[tokio::test]
async fn the_resolver_answers_options_requests_without_a_login() {
    let world = World::new().await;
    for port in [world.port, world.pages] {
        for headers in ["", "Origin: https://cloud.example\r\nAccess-Control-Request-Method: GET\r\n"] {
            let response = ask(port, "OPTIONS", "/portal-resolver", headers, "").await;
            assert_eq!(response.status, 200, "{}", response.head);
            assert_eq!(response.header("access-control-allow-origin"), Some("*"));
            assert!(response.header("access-control-allow-methods").unwrap().contains("GET"));
        }
        assert_eq!(ask(port, "OPTIONS", "/portal-resolver/x", "", "").await.status, 401);
    }
}

#[tokio::test]
async fn bookmarks_of_guacamole_lead_to_the_vnc_page() {
    let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
    let mut vnc = route(free_port().await, world.service.address);
    let port = vnc.listen;
    vnc.path = "/vnc.html?autoconnect=true".into();
    vnc.rewrite.moved = vec!["/guacamole".into()];
    vnc.bridge = Some(Bridge { path: "/websockify".into(), files: Some(folder.path().to_owned()) });
    assert_eq!(world.gateway.set_routes(&[vnc]).await, []);
    let inside = format!("Authorization: Bearer {TOKEN}\r\n");
    for path in ["/guacamole", "/guacamole/", "/guacamole/client/x?a=b"] {
        let led = get(port, path, &inside).await;
        assert_eq!((led.status, &*led.location()), (303, "/vnc.html?autoconnect=true"), "{path}");
        assert_eq!(get(port, path, "").await.status, 401, "{path}");
    }
    assert_eq!(get(port, "/guacamole2", &inside).await.status, 404);
    assert_eq!(ask(port, "POST", "/guacamole", &inside, "x").await.status, 405);
}
