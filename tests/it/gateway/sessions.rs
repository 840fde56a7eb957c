//! Who is connected, how sessions are ended, and the credentials that are shown after the password was given again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::time::Duration;

use desktopd::config::secret::Secret;
use desktopd::gateway::auth::{Credentials, How};
use desktopd::observe::RouteStatus;
use desktopd::portal::api::Sessions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::world::{
    PASSWORD, Response, TOKEN, USER, World, ask, basic, credentials, get, log_in, read_until,
};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

async fn list(world: &World, headers: &str) -> Sessions {
    let answer = get(world.pages, "/api/sessions", headers).await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(!answer.head.contains("etag"), "{}", answer.head);
    serde_json::from_str(&answer.body).unwrap()
}

/// The headers of a browser that is logged in and sends a form of the portal.
async fn browser(world: &World) -> String {
    let cookie = world.cookie_at(world.pages).await;
    format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{}\r\n", world.pages)
}

async fn is_in(world: &World, headers: &str) -> bool {
    get(world.port, "/", headers).await.status == 200
}

async fn end(world: &World, headers: &str, body: &str) -> Response {
    ask(world.pages, "POST", "/api/sessions/end", &format!("{headers}{JSON}"), body).await
}

#[tokio::test]
async fn the_list_says_who_is_connected_and_with_what() {
    let world =
        World::tuned(credentials(), |settings| settings.proxies.listed = vec!["127.0.0.1".parse().unwrap()])
            .await;
    let own = browser(&world).await;
    let token = get(world.port, &format!("/?token={}", "t0ken%2B%2F%3D"), "Accept: text/html\r\n").await;
    let token = format!("Cookie: {}\r\nX-Forwarded-For: 203.0.113.7\r\n", token.cookie());
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    stream.write_all(format!("GET /events HTTP/1.1\r\nHost: a\r\n{token}\r\n").as_bytes()).await.unwrap();
    read_until(&mut stream, "first").await;
    get(world.port, "/", &format!("Authorization: Bearer {TOKEN}\r\nX-Forwarded-For: 203.0.113.8\r\n")).await;
    get(world.port, "/", "X-Forwarded-For: 203.0.113.9\r\n").await;

    let shown = list(&world, &own).await;
    assert!(shown.required);
    let [first, second] = &shown.sessions[..] else { panic!("{shown:?}") };
    assert!(first.own && !second.own);
    assert_eq!((first.how, second.how), (How::Password, How::Token));
    assert_eq!(
        (first.address.to_string(), second.address.to_string()),
        ("127.0.0.1".into(), "203.0.113.7".into())
    );
    assert_eq!(second.open.iter().map(|open| (open.port, open.count)).collect::<Vec<_>>(), [(world.port, 1)]);
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    for visit in &shown.sessions {
        assert!(
            (0..60_000).contains(&(now - visit.since)) && (0..60_000).contains(&(now - visit.last)),
            "{visit:?}"
        );
    }
    let programs: Vec<_> = shown.programs.iter().map(|program| program.address.to_string()).collect();
    assert_eq!(programs, ["203.0.113.8"], "no stranger is remembered");

    // The ids are good for nothing but this list.
    let cookie = own.split(['=', '\r']).nth(1).unwrap();
    for visit in &shown.sessions {
        assert!(!cookie.contains(&visit.id), "{cookie}");
        let forged = own.replace(cookie, &visit.id);
        assert!(!is_in(&world, &forged).await);
    }
    assert!(
        !list(&world, &format!("Authorization: Bearer {TOKEN}\r\n")).await.sessions.iter().any(|one| one.own)
    );
}

#[tokio::test]
async fn an_ended_session_is_out_and_its_connections_close() {
    let world = World::new().await;
    let (own, other) = (browser(&world).await, browser(&world).await);
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    stream.write_all(format!("GET /events HTTP/1.1\r\nHost: a\r\n{other}\r\n").as_bytes()).await.unwrap();
    read_until(&mut stream, "first").await;
    let shown = list(&world, &own).await;
    let victim = shown.sessions.iter().find(|visit| !visit.own).unwrap();

    let answer = end(&world, &own, &format!(r#"{{"id":"{}"}}"#, victim.id)).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
    let _ = closed.expect("it stays open");
    assert!(!is_in(&world, &other).await && is_in(&world, &own).await);
    assert_eq!(list(&world, &own).await.sessions.len(), 1);
    let again = end(&world, &own, &format!(r#"{{"id":"{}"}}"#, victim.id)).await;
    assert_eq!(again.status, 404, "{}", again.body);

    // By the form, its own: the next page is the login, which leads back.
    let own_id = list(&world, &own).await.sessions.remove(0).id;
    let answer =
        ask(world.pages, "POST", "/end-session", &format!("{own}{FORM}"), &format!("id={own_id}")).await;
    assert_eq!((answer.status, answer.location().as_str()), (303, "/settings"));
    let page = get(world.pages, "/settings", &format!("{own}Accept: text/html\r\n")).await;
    assert_eq!((page.status, page.location().as_str()), (303, "/desktopd/login?next=/settings"));
}

/// The body of a request may come long after the head, which was admitted.
#[tokio::test]
async fn a_request_that_is_held_back_does_nothing_after_its_session_has_ended() {
    let world = World::new().await;
    let (own, thief) = (browser(&world).await, browser(&world).await);
    let mut held = TcpStream::connect(("127.0.0.1", world.pages)).await.unwrap();
    let request = format!(
        "POST /api/sessions/end HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{thief}{JSON}\
         Connection: close\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n",
        world.pages
    );
    held.write_all(request.as_bytes()).await.unwrap();
    // The server waits for the body now.
    read_until(&mut held, "100 Continue").await;
    let victim = list(&world, &own).await.sessions.into_iter().find(|visit| !visit.own).unwrap();
    assert_eq!(end(&world, &own, &format!(r#"{{"id":"{}"}}"#, victim.id)).await.status, 204);
    // The answer may come before the body does.
    let _ = held.write_all(br#"{"others":true}"#).await;
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), held.read_to_end(&mut answer)).await;
    let _ = closed.expect("it stays open");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("403") && !answer.to_lowercase().contains("set-cookie"), "{answer}");
    assert!(is_in(&world, &own).await, "the others stay");
}

#[tokio::test]
async fn ending_all_others_also_ends_sessions_that_are_in_no_list() {
    let world = World::new().await;
    let (own, other) = (browser(&world).await, browser(&world).await);
    // This one has made no request: it is in no list.
    let unseen = format!("Cookie: {}\r\n", world.cookie().await);
    let form = format!("{own}{FORM}");
    let answer = ask(world.pages, "POST", "/end-session", &form, "others=1").await;
    assert_eq!((answer.status, answer.location().as_str()), (303, "/settings"));
    let fresh = format!("Cookie: {}\r\n", answer.cookie());
    assert!(is_in(&world, &fresh).await, "this browser stays logged in");
    for ended in [&own, &other, &unseen] {
        assert!(!is_in(&world, ended).await, "{ended}");
    }
    let shown = list(&world, &fresh).await.sessions;
    assert_eq!((shown.len(), shown[0].own, shown[0].how), (1, true, How::Password));
    // A client without a session gets none by this.
    let program = basic(USER, PASSWORD);
    let answer = end(&world, &program, r#"{"others":true}"#).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (204, None));
    assert!(!is_in(&world, &fresh).await);
}

#[tokio::test]
async fn foreign_pages_strangers_and_guesses_end_nothing() {
    let world = World::new().await;
    let (own, other) = (browser(&world).await, browser(&world).await);
    assert!(is_in(&world, &other).await);
    let shown = list(&world, &own).await.sessions;
    let id = &shown.iter().find(|visit| !visit.own).unwrap().id;
    let cookie = own.lines().next().unwrap();
    let origin = |text: &str| format!("{cookie}\r\n{text}");
    for headers in [
        origin(""),
        origin(&format!("Origin: http://127.0.0.1:{}\r\n", world.port)),
        origin("Origin: https://evil.example\r\n"),
        origin("Origin: null\r\n"),
        origin("Sec-Fetch-Site: same-site\r\n"),
        format!("Origin: http://127.0.0.1:{}\r\n", world.pages),
        String::new(),
    ] {
        for (path, kind, body) in [
            ("/api/sessions/end", JSON, format!(r#"{{"id":"{id}"}}"#)),
            ("/api/sessions/end", JSON, r#"{"others":true}"#.to_owned()),
            ("/end-session", FORM, format!("id={id}")),
            ("/end-session", FORM, "others=1".to_owned()),
            ("/credentials", FORM, "password=pass+word%3A%C3%BC".to_owned()),
        ] {
            let answer = ask(world.pages, "POST", path, &format!("{headers}{kind}"), &body).await;
            assert!([401, 403].contains(&answer.status), "{path} {headers}: {}", answer.status);
            assert!(!answer.body.contains(TOKEN) && !answer.head.contains("set-cookie"), "{}", answer.body);
        }
    }
    for body in [
        r#"{"id":""}"#.to_owned(),
        r#"{"id":"AAAAAAAAAAAAAAAAAAAAAA"}"#.to_owned(),
        format!(r#"{{"id":"{}"}}"#, &id[1..]),
        format!(r#"{{"id":"{}"}}"#, cookie.split('=').nth(1).unwrap()),
    ] {
        assert_eq!(end(&world, &own, &body).await.status, 404, "{body}");
    }
    for body in ["{}", r#"{"id":"a","others":true}"#, r#"{"id":1}"#, "others", "[]"] {
        let status = end(&world, &own, body).await.status;
        assert!([400, 422].contains(&status), "{body}: {status}");
    }
    // GET changes nothing.
    for path in
        [format!("/end-session?id={id}"), "/end-session?others=1".into(), format!("/settings?ask={id}")]
    {
        assert!(get(world.pages, &path, &own).await.status < 400, "{path}");
    }
    assert!(is_in(&world, &own).await && is_in(&world, &other).await);
}

#[tokio::test]
async fn a_login_never_takes_over_the_session_that_a_browser_brings() {
    let world = World::new().await;
    let brought = world.cookie_at(world.pages).await;
    let headers = format!("Cookie: {brought}\r\nOrigin: http://127.0.0.1:{}\r\n", world.pages);
    let form = "user=user&password=pass+word%3A%C3%BC&next=/";
    let answer = ask(world.pages, "POST", "/desktopd/login", &headers, form).await;
    assert_eq!(answer.status, 303);
    assert_ne!(answer.cookie(), brought, "each login has a session of its own");
    let made_up =
        "Cookie: desktopd=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    assert!(!is_in(&world, made_up).await);
}

#[tokio::test]
async fn a_flood_of_sessions_and_programs_stays_bounded_and_its_victim_can_end_all() {
    let world =
        World::tuned(credentials(), |settings| settings.proxies.listed = vec!["127.0.0.1".parse().unwrap()])
            .await;
    let own = browser(&world).await;
    for n in 0..300 {
        let line = world.auth.log_in(How::Token, false).unwrap();
        let cookie = line.to_str().unwrap().split(';').next().unwrap().to_owned();
        let from = format!("Cookie: {cookie}\r\nX-Forwarded-For: 203.0.{}.{}\r\n", n / 200, n % 200);
        assert!(is_in(&world, &from).await);
        let program =
            format!("Authorization: Bearer {TOKEN}\r\nX-Forwarded-For: 198.51.{}.{}\r\n", n / 200, n % 200);
        get(world.port, "/", &program).await;
    }
    let shown = list(&world, &own).await;
    assert!(shown.sessions[0].own, "the one that asks is there");
    assert!(shown.sessions.len() <= 224 && shown.programs.len() <= 32, "{}", shown.sessions.len());
    let page = get(world.pages, "/settings", &own).await;
    assert!(page.status == 200 && page.body.len() < 400_000, "{}", page.body.len());
    assert_eq!(end(&world, &own, r#"{"others":true}"#).await.status, 204);
    assert!(list(&world, &basic(USER, PASSWORD)).await.sessions.is_empty());
}

#[tokio::test]
async fn a_portal_without_a_login_shows_no_stranger_who_is_connected() {
    let port = crate::gateway::world::free_port().await;
    let open = Credentials { excluded: vec![port], ..credentials() };
    let world = World::with_portal(open, port).await;
    assert_eq!(get(world.pages, "/services", "").await.status, 200, "the port is open");
    for path in
        ["/settings", "/api/sessions", "/api/environment", "/sett%69ngs", "/api/./sessions", "/api/sessions/"]
    {
        let answer = get(world.pages, path, "").await;
        assert!([401, 404].contains(&answer.status), "{path}: {}", answer.status);
    }
    let page = get(world.pages, "/settings", "Accept: text/html\r\n").await;
    assert_eq!(page.location(), "/desktopd/login?next=/settings");
    let own = browser(&world).await;
    assert_eq!(get(world.pages, "/settings", &own).await.status, 200);
}

async fn reveal(world: &World, headers: &str, password: &str) -> Response {
    let body = password.bytes().map(|b| format!("%{b:02x}")).collect::<Vec<_>>().concat();
    ask(world.pages, "POST", "/credentials", &format!("{headers}{FORM}"), &format!("password={body}")).await
}

#[tokio::test]
async fn credentials_are_shown_for_the_right_password_only() {
    let world = World::new().await;
    let own = browser(&world).await;
    let token = "t0ken%2B%2F%3D";
    for password in ["", "wrong", "pass word", "user", TOKEN] {
        let answer = reveal(&world, &own, password).await;
        assert_eq!(answer.status, 403, "{password}: {}", answer.body);
        assert!(!answer.body.contains(token) && !answer.body.contains(PASSWORD), "{}", answer.body);
    }
    let world = World::new().await;
    world.observer.update(|snapshot| {
        let desktop = RouteStatus::new("Desktop", 6100, "/a?b=1", None);
        snapshot.routes = vec![RouteStatus { unit: "selkies".into(), ..desktop }];
    });
    let own = browser(&world).await;
    let answer = reveal(&world, &own, PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for text in [PASSWORD, TOKEN, &format!("http://127.0.0.1:6100/a?b=1&amp;token={token}")] {
        assert!(answer.body.contains(text), "{text} is not in {}", answer.body);
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(!answer.body.contains("data-live"), "scripts do not fetch it again");
    // Neither other pages nor logs have them.
    assert_eq!(get(world.pages, "/credentials", &own).await.location(), "/settings");
    for path in ["/settings", "/logs", "/api/sessions", "/api/environment", "/api/status"] {
        let body = get(world.pages, path, &own).await.body;
        assert!(!body.contains(PASSWORD) && !body.contains(TOKEN) && !body.contains(token), "{path}: {body}");
    }
    // A password that was changed since is not known in clear.
    world.auth.replace(USER, Secret::new("chosen 2")).await.unwrap();
    let own = log_in(world.pages, USER, "chosen 2", "/").await.cookie();
    let own = format!("Cookie: {own}\r\nOrigin: http://127.0.0.1:{}\r\n", world.pages);
    assert_eq!(reveal(&world, &own, PASSWORD).await.status, 403);
    let answer = reveal(&world, &own, "chosen 2").await;
    assert!(answer.status == 200 && answer.body.contains("only its hash"), "{}", answer.body);
    assert!(!answer.body.contains(PASSWORD) && !answer.body.contains("chosen 2"), "{}", answer.body);
}

#[tokio::test]
async fn guesses_in_the_form_are_limited_as_those_of_a_login_are() {
    let world =
        World::tuned(credentials(), |settings| settings.proxies.listed = vec!["127.0.0.1".parse().unwrap()])
            .await;
    let own = format!("{}X-Forwarded-For: 203.0.113.7\r\n", browser(&world).await);
    let before = world.auth.counters();
    let mut statuses = Vec::new();
    for n in 0..8 {
        statuses.push(reveal(&world, &own, &format!("guess {n}")).await.status);
    }
    assert_eq!(statuses[..5], [403; 5]);
    assert_eq!(statuses[7], 429, "{statuses:?}");
    let counted = world.auth.counters();
    assert_eq!((counted.failures - before.failures, counted.bans - before.bans), (5, 1));
    // The right one has to wait as well, here and at the login.
    let answer = reveal(&world, &own, PASSWORD).await;
    assert!(answer.status == 429 && answer.header("retry-after").is_some(), "{}", answer.head);
    // A form that is much too large is not read.
    assert_eq!(reveal(&world, &own, &"x".repeat(10_000)).await.status, 413);
}

#[tokio::test]
async fn without_authentication_the_page_says_so_and_shows_no_credentials() {
    let world = World::with(Credentials { enabled: false, ..credentials() }).await;
    let page = get(world.pages, "/settings", "").await;
    assert!(page.status == 200 && page.body.contains("Authentication is disabled"), "{}", page.body);
    assert!(!page.body.contains("type=\"password\"") && !page.body.contains("name=\"ask\""), "{}", page.body);
    let origin = format!("Origin: http://127.0.0.1:{}\r\n", world.pages);
    let answer = reveal(&world, &origin, PASSWORD).await;
    assert!(!answer.body.contains(TOKEN), "{}", answer.body);
}
