//! Authentication: which requests are let through, and which are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::time::Duration;

use crate::gateway::world::{PASSWORD, TOKEN, USER, World, ask, basic, credentials, get, log_in, talk};
use desktopd::config::secret::Secret;
use desktopd::gateway::auth::Password;

const HTML: &str = "Accept: text/html,*/*\r\n";

#[tokio::test]
async fn nothing_is_reachable_without_a_login() {
    let world = World::new().await;
    let upgrade = "Upgrade: websocket\r\n";
    for port in [world.port, world.pages] {
        for (method, path, headers) in [
            ("GET", "/", ""),
            ("GET", "/api/status", ""),
            ("GET", "/api/events", ""),
            ("GET", "/api/events/stream", ""),
            ("GET", "/api/status/stream", ""),
            ("GET", "/api/timeline.svg", ""),
            ("GET", "/display.css", ""),
            ("GET", "/ws", upgrade),
            ("POST", "/api/units/stop", ""),
            ("PUT", "/desktopd/health", ""),
            ("OPTIONS", "/", "Origin: http://evil\r\n"),
            ("GET", "/desktopd/wait/events", ""),
            ("GET", "/desktopd/login/../../api/status", ""),
            ("GET", "/desktopd/other", ""),
            ("GET", "/manifest.json/../api/status", ""),
            ("POST", "/manifest.json", ""),
            ("GET", "/.well-known/acme-challenge/../../api/status", ""),
            ("GET", "/?token=", ""),
            ("GET", "/?token=wrong", ""),
            ("GET", "/", "Authorization: Bearer wrong\r\n"),
            ("GET", "/", "Authorization: Bearer\r\n"),
            ("GET", "/", "Authorization: Bearer \r\n"),
            ("GET", "/", "Authorization: Basic Og==\r\n"),
            ("GET", "/", "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n"),
        ] {
            let response = ask(port, method, path, headers, "").await;
            assert_eq!(response.status, 401, "{method} {path} {headers}");
        }
    }
    assert_eq!(world.service.requests(), [""; 0]);
}

#[tokio::test]
async fn browsers_get_the_login_page_and_programs_a_challenge() {
    let world = World::new().await;
    let response = get(world.port, "/a/b?c=d&e", HTML).await;
    assert_eq!(response.status, 303);
    assert_eq!(response.location(), "/desktopd/login?next=/a/b%3Fc%3Dd%26e");
    let response = get(world.port, "//evil.example/", HTML).await;
    assert_eq!(response.location(), "/desktopd/login");

    let response = get(world.port, "/", "Accept: */*\r\n").await;
    assert!(response.header("www-authenticate").unwrap().starts_with("Basic realm=\"desktopd\""));
    let fetched = get(world.port, "/", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n").await;
    assert_eq!((fetched.status, fetched.header("www-authenticate")), (401, None));
    // A program with a wrong password gets no login page; a browser that sends an old password does.
    let wrong = format!("{HTML}{}", basic(USER, "old"));
    assert_eq!(get(world.port, "/", &wrong).await.status, 401);
    let wrong = format!("{wrong}Sec-Fetch-Mode: navigate\r\n");
    assert_eq!(get(world.port, "/", &wrong).await.status, 303);
}

#[tokio::test]
async fn the_login_page_leads_back() {
    let world = World::new().await;
    let page = get(world.port, "/desktopd/login?next=/a%3Fb%22%3E%3Cscript%3E", HTML).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("value=\"/a?b&quot;&gt;&lt;script&gt;\""), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.header("cache-control").unwrap(), "no-store");

    let response = log_in(world.port, USER, PASSWORD, "/a?b=c").await;
    assert_eq!((response.status, &*response.location()), (303, "/a?b=c"));
    let attributes = response.header("set-cookie").unwrap();
    assert!(attributes.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax"), "{attributes}");
    assert!(!attributes.contains(USER));

    let cookie = format!("Cookie: a=1; {}\r\n", response.cookie());
    let response = get(world.port, "/x", &cookie).await;
    assert_eq!((response.status, &*response.body), (200, "service"));
    // One session is valid on all ports.
    assert_eq!(get(world.pages, "/api/status", &cookie).await.status, 200);
    let again = get(world.port, "/desktopd/login?next=/a", &cookie).await;
    assert_eq!((again.status, &*again.location()), (303, "/a"));
}

#[tokio::test]
async fn the_redirect_after_a_login_stays_on_this_host() {
    let world = World::new().await;
    for next in ["//evil", "/\\evil", "https://evil", "https:evil", "/\t/evil", "javascript:alert(1)", ""] {
        let response = log_in(world.port, USER, PASSWORD, next).await;
        assert_eq!((response.status, &*response.location()), (303, "/"), "{next:?}");
    }
    let token = "token=t0ken%2B/%3D";
    let response = get(world.port, &format!("//evil/?{token}"), HTML).await;
    assert_eq!((response.status, &*response.location()), (303, "/"));
}

#[tokio::test]
async fn wrong_logins_are_refused() {
    let world = World::new().await;
    for (user, password) in [(USER, "wrong"), ("other", PASSWORD), ("", "")] {
        let response = log_in(world.port, user, password, "/").await;
        assert_eq!((response.status, response.header("set-cookie")), (401, None));
    }
    let foreign = "Origin: http://evil.example\r\n";
    let form = format!("user={USER}&password=pass+word:%C3%BC");
    assert_eq!(ask(world.port, "POST", "/desktopd/login", foreign, &form).await.status, 403);
    assert_eq!(ask(world.port, "POST", "/desktopd/login", "", &form).await.status, 303);
    let large = "x".repeat(20_000);
    assert_eq!(ask(world.port, "POST", "/desktopd/login", "", &large).await.status, 400);
}

#[tokio::test]
async fn basic_bearer_and_token_are_accepted() {
    let world = World::new().await;
    for headers in [
        basic(USER, PASSWORD),
        basic(USER, PASSWORD),
        format!("Authorization: Bearer {TOKEN}\r\n"),
        format!("authorization: bearer {TOKEN}\r\n"),
    ] {
        assert_eq!(get(world.port, "/", &headers).await.status, 200, "{headers}");
        assert!(!world.service.last().to_lowercase().contains("authorization"));
        let shown = "Referer: http://h/?token=seen\r\n";
        assert_eq!(get(world.port, "/manifest.json?token=seen&v=1", shown).await.status, 200);
        let came = world.service.last();
        assert!(came.contains("/manifest.json?v=1") && !came.contains("seen"), "{came}");
    }
    assert_eq!(get(world.port, "/x?a=b&token=t0ken%2B/%3D&c", "").await.status, 200);
    assert!(world.service.last().starts_with("GET /x?a=b&c HTTP/1.1\r\n"), "{}", world.service.last());
}

#[tokio::test]
async fn the_open_button_gets_a_cookie_and_a_clean_address() {
    let world = World::new().await;
    let response = get(world.port, "/x?a=b&token=t0ken%2B/%3D", HTML).await;
    assert_eq!((response.status, &*response.location()), (303, "/x?a=b"));
    assert_eq!(response.header("referrer-policy").unwrap(), "no-referrer");
    let cookie = format!("Cookie: {}\r\n{HTML}", response.cookie());
    assert_eq!(get(world.port, "/x?a=b", &cookie).await.status, 200);
    // A client with a session keeps the session; the token is removed from the address all the same.
    let again = get(world.port, "/x?token=t0ken%2B/%3D", &cookie).await;
    assert_eq!((again.status, again.header("set-cookie")), (303, None));
    assert!(world.service.requests().iter().all(|head| !head.contains("t0ken")));
}

#[tokio::test]
async fn a_service_never_sees_what_authenticates_to_us() {
    let world = World::new().await;
    let cookie = world.cookie().await;
    let headers = format!("Cookie: a=1; {cookie}; b=2\r\n{}", basic(USER, "mistyped"));
    assert_eq!(get(world.port, "/", &headers).await.status, 200);
    let head = world.service.last();
    assert!(head.contains("cookie: a=1; b=2\r\n"), "{head}");
    assert!(!head.contains("desktopd_") && !head.to_lowercase().contains("authorization"), "{head}");
    // A service's own `Authorization` passes through beside our session.
    let headers = format!("Cookie: {cookie}\r\n{}", basic("admin", "of the service"));
    assert_eq!(get(world.port, "/", &headers).await.status, 200);
    let head = world.service.last().to_lowercase();
    assert!(head.contains("authorization: basic") && !head.contains("cookie"), "{head}");
}

#[tokio::test]
async fn logging_out_ends_the_session_for_good() {
    let world = World::new().await;
    let (cookie, other) = (world.cookie().await, world.cookie().await);
    let headers = format!("Cookie: {cookie}\r\n");
    assert_eq!(get(world.port, "/desktopd/logout", &headers).await.status, 405);
    let foreign = format!("{headers}Origin: http://127.0.0.1:1\r\n");
    assert_eq!(ask(world.port, "POST", "/desktopd/logout", &foreign, "").await.status, 403);
    assert_eq!(get(world.port, "/", &headers).await.status, 200);
    let own = format!("{headers}Origin: http://127.0.0.1:{}\r\n", world.port);
    let response = ask(world.port, "POST", "/desktopd/logout", &own, "").await;
    assert_eq!(response.status, 303);
    assert!(response.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(get(world.port, "/", &headers).await.status, 401);
    assert_eq!(get(world.port, "/", &format!("Cookie: {other}\r\n")).await.status, 200);
}

#[tokio::test]
async fn writes_come_from_our_own_pages_or_from_programs() {
    let world = World::new().await;
    let cookie = format!("Cookie: {}\r\n", world.cookie().await);
    let basic = basic(USER, PASSWORD);
    let own = format!("Origin: http://127.0.0.1:{}\r\n", world.port);
    let neighbour = format!("Origin: http://127.0.0.1:{}\r\n", world.pages);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (who, origin, status) in [
        (&cookie, &*own, 200),
        (&cookie, &*neighbour, 403),
        (&cookie, "Origin: null\r\n", 403),
        (&cookie, "", 403),
        (&basic, &*own, 200),
        (&basic, &*neighbour, 403),
        (&basic, "Origin: http://evil\r\n", 403),
        (&basic, "", 200),
        (&basic, "Sec-Fetch-Site: cross-site\r\n", 403),
    ] {
        let headers = format!("{who}{origin}");
        assert_eq!(ask(world.port, "POST", "/", &headers, "x").await.status, status, "{headers}");
        if status == 403 {
            let refused = get(world.port, "/ws", &format!("{headers}{upgrade}")).await;
            assert_eq!(refused.status, 403, "{headers}");
        }
    }
}

#[tokio::test]
async fn long_passwords_are_not_cut() {
    for (length, works) in [(72, true), (73, false)] {
        let password = "é".repeat(36) + &"x".repeat(length - 72);
        let password_source = Password::Plain(Secret::new(&*password));
        let world =
            World::with(desktopd::gateway::auth::Credentials { password: password_source, ..credentials() })
                .await;
        let status = get(world.port, "/", &basic(USER, &password)).await.status;
        assert_eq!(status == 200, works, "{length}");
        assert_eq!(get(world.port, "/", &basic(USER, &format!("{password}y"))).await.status, 401);
    }
}

#[tokio::test]
async fn guesses_are_slowed_down_and_sessions_are_not() {
    let world = World::new().await;
    let cookie = format!("Cookie: {}\r\n", world.cookie().await);
    for guess in ["a", "b", "c", "d"] {
        assert_eq!(get(world.port, "/", &basic(USER, guess)).await.status, 401);
    }
    let before = std::time::Instant::now();
    get(world.port, "/", &basic(USER, "e")).await;
    assert!(before.elapsed() >= Duration::from_millis(250));
    let before = std::time::Instant::now();
    for headers in [&*cookie, &*format!("Authorization: Bearer {TOKEN}\r\n")] {
        assert_eq!(get(world.port, "/", headers).await.status, 200);
    }
    assert!(before.elapsed() < Duration::from_millis(250));
    // Checking a password that was right a while ago takes no less time than checking a wrong one.
    let before = std::time::Instant::now();
    assert_eq!(get(world.port, "/", &basic(USER, PASSWORD)).await.status, 200);
    assert!(before.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_guess_counts_when_its_client_hangs_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // A slow hash, so that the client has hung up when the check ends.
    let hash = bcrypt::hash(PASSWORD, 8).unwrap();
    let world = World::with(desktopd::gateway::auth::Credentials {
        password: Password::Hash(Secret::new(hash)),
        ..credentials()
    })
    .await;
    let seen = "GET /desktopd/health HTTP/1.1\r\nHost: h\r\n\r\n";
    let head = format!("{seen}GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", basic(USER, "wrong"));
    let counted = async {
        while world.auth.counters().failures == 0 {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            // A client that hangs up before its request was looked at has not guessed.
            stream.read_exact(&mut [0; 12]).await.unwrap();
            drop(stream);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("the guess counts");
}

#[tokio::test]
async fn wrong_tokens_are_guesses_too() {
    let world = World::new().await;
    let before = std::time::Instant::now();
    for n in 0..5 {
        let guess = format!("Authorization: Bearer guess{n}\r\n");
        assert_eq!(get(world.port, "/", &guess).await.status, 401);
    }
    assert!(before.elapsed() >= Duration::from_millis(700), "{:?}", before.elapsed());
    let before = std::time::Instant::now();
    assert_eq!(get(world.port, "/", &format!("Authorization: Bearer {TOKEN}\r\n")).await.status, 200);
    assert!(before.elapsed() < Duration::from_millis(250), "a right password never waits");
}

#[tokio::test]
async fn cookies_of_other_ports_do_not_hide_ours() {
    let world = World::new().await;
    let cookie = world.cookie().await;
    let name = cookie.split('=').next().unwrap();
    let planted = format!("{name}=planted; ").repeat(8);
    for before in ["x=\u{fc}; ", &planted] {
        assert_eq!(
            get(world.port, "/", &format!("Cookie: {before}{cookie}\r\n")).await.status,
            200,
            "{before}"
        );
    }
}

#[tokio::test]
async fn too_many_or_too_long_unit_names_are_refused_at_once() {
    let world = World::new().await;
    let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\n");
    for names in [format!("[\"{}\"]", "a".repeat(1_000_000)), format!("[{}\"a\"]", "\"a\",".repeat(300))] {
        let body = format!("{{\"names\":{names}}}");
        let before = std::time::Instant::now();
        assert_eq!(ask(world.pages, "POST", "/api/units/start", &headers, &body).await.status, 400);
        assert!(before.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn open_ports_answer_under_known_names_only() {
    let world = World::with(desktopd::gateway::auth::Credentials { enabled: false, ..credentials() }).await;
    assert_eq!(get(world.port, "/", "").await.status, 200);
    assert_eq!(get(world.port, "/", "Host: localhost:1\r\n").await.status, 200);
    assert_eq!(get(world.port, "/", "Host: evil.example\r\n").await.status, 421);
    assert_eq!(get(world.pages, "/api/status", "Host: evil.example\r\n").await.status, 421);
    // Reading the portal needs no login here, changing something does.
    assert_eq!(get(world.pages, "/api/status", "").await.status, 200);
    let json = "Content-Type: application/json\r\n";
    let names = r#"{"names":["selkies"]}"#;
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", json, names).await.status, 401);
    let admitted = format!("{json}{}", basic(USER, PASSWORD));
    assert_eq!(ask(world.pages, "POST", "/api/units/stop", &admitted, names).await.status, 503);
    // An open port does not let pages of other origins in.
    assert_eq!(ask(world.port, "POST", "/", "Origin: http://evil\r\n", "x").await.status, 403);
    // A service's own login is not checked by the gateway.
    assert_eq!(get(world.port, "/", &basic("admin", "x")).await.status, 200);
    assert!(world.service.last().to_lowercase().contains("authorization: basic"));
}

#[tokio::test]
async fn excluded_ports_are_open_and_others_are_not() {
    let world = World::new().await;
    let port = crate::gateway::world::free_port().await;
    let excluded = desktopd::gateway::auth::Credentials { excluded: vec![port], ..credentials() };
    let other = World::with(excluded).await;
    let route = crate::gateway::world::route(port, world.service.address);
    assert_eq!(other.gateway.set_routes(&[route]).await, []);
    assert_eq!(get(port, "/", "").await.status, 200);
    assert_eq!(get(other.pages, "/", "").await.status, 401);
}

#[tokio::test]
async fn open_paths_need_no_login_and_reveal_nothing() {
    let world = World::new().await;
    for port in [world.port, world.pages] {
        for path in ["/desktopd/health", "/ai-dock/health-check", "/portal-resolver", "/desktopd/gateway.css"]
        {
            assert_eq!(get(port, path, "").await.status, 200, "{path}");
        }
        assert_eq!(get(port, "/ai-dock/pre-auth", "").await.location(), "/");
    }
    assert_eq!(
        get(world.port, "/portal-resolver", "").await.header("access-control-allow-origin"),
        Some("*")
    );
    let shown = "Authorization: Bearer x\r\nCookie: desktopd_1=x\r\n";
    assert_eq!(get(world.port, "/manifest.json", shown).await.status, 200);
    assert!(!world.service.last().to_lowercase().contains("authorization"));
    world.logs.push("selkies", "a line of the log");
    world.observer.update(|snapshot| {
        snapshot.units[0].state = desktopd::observe::UnitState::Failed;
        snapshot.units[0].reason = "the reason".into();
    });
    let response = get(world.port, "/manifest.json", HTML).await;
    assert_eq!(response.status, 502);
    assert!(!response.body.contains("the reason") && !response.body.contains("a line of"));
}

#[tokio::test]
async fn ambiguous_requests_are_refused() {
    let world = World::new().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for raw in [
        format!("GET / HTTP/1.1\r\n{token}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n{token}\r\n"),
        format!("GET http://other/ HTTP/1.1\r\nHost: a\r\n{token}\r\n"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n{token}\r\nx"),
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n{token}\r\nx"),
        format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{token}\r\n0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{token} folded\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n{token}\r\n"),
        format!("GET / HTTP/1.1\r\nHost : a\r\n{token}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{token}Authorization: Bearer x\r\n\r\n"),
        format!("OPTIONS * HTTP/1.1\r\nHost: a\r\n{token}\r\n"),
    ] {
        let raw = raw.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        assert_eq!(
            crate::gateway::world::Response::parse(&talk(world.port, &raw).await).status,
            400,
            "{raw}"
        );
    }
    for method in ["TRACE", "CONNECT"] {
        let raw = format!("{method} /a HTTP/1.1\r\nHost: a\r\n{token}Connection: close\r\n\r\n");
        let answer = talk(world.port, &raw).await;
        assert!(answer.contains(" 405 ") || answer.contains(" 400 "), "{answer}");
    }
    assert_eq!(world.service.requests(), [""; 0]);
}

#[tokio::test]
async fn a_body_with_two_lengths_ends_the_connection() {
    let world = World::new().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let second = format!("GET /smuggled HTTP/1.1\r\nHost: a\r\n{token}\r\n");
        let raw = format!("POST /two HTTP/1.1\r\nHost: a\r\n{token}{lengths}\r\n0\r\n\r\n{second}");
        let answer = talk(world.port, &raw).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert!(world.service.requests().iter().all(|head| !head.contains("smuggled")));
    assert!(world.service.requests().iter().all(|head| !head.to_lowercase().contains("content-length: 5")));
}
