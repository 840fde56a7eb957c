//! Login credentials: any characters, changes at any time, many guesses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::time::Duration;

use crate::gateway::world::{
    PASSWORD, Response, TOKEN, USER, World, ask, basic, credentials, get, log_in, read_until,
};
use base64::Engine;
use desktopd::config::secret::Secret;
use desktopd::gateway::auth::{Credentials, Password};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn with_password(password: &str) -> Credentials {
    Credentials { password: Password::Plain(Secret::new(password)), ..credentials() }
}

/// Whether the login form and Basic both accept the password.
async fn gets_in(world: &World, user: &str, password: &str) -> bool {
    let form = log_in(world.port, user, password, "/").await.status == 303;
    let basic = get(world.port, "/", &basic(user, password)).await.status == 200;
    assert_eq!(form, basic, "{user}:{password}");
    form
}

#[tokio::test]
async fn every_character_is_accepted_in_a_form_and_in_basic() {
    let all: Vec<char> = (b' '..=b'~').map(char::from).chain(['\t']).collect();
    for half in all.chunks(48) {
        let password: String = half.iter().collect();
        assert!(gets_in(&World::with(with_password(&password)).await, USER, &password).await, "{password:?}");
        let world = World::new().await;
        world.auth.replace("a b@c%&+=", Secret::new(&*password)).await.unwrap();
        assert!(gets_in(&world, "a b@c%&+=", &password).await, "{password:?}");
        assert!(!gets_in(&world, "a b@c%&+=", &password[1..]).await, "{password:?}");
    }
}

#[tokio::test]
async fn letters_beyond_ascii_are_compared_as_they_are_typed() {
    // One letter as one code point, and as a letter and a combining accent: keyboards and browsers send the first.
    let (composed, decomposed) = ("caf\u{e9} 密码 🔑", "cafe\u{301} 密码 🔑");
    let world = World::with(with_password(composed)).await;
    assert!(gets_in(&world, USER, composed).await && !gets_in(&world, USER, decomposed).await);
    // Basic transfers bytes: the Latin-1 form that an old client sends is another password.
    let latin = base64::engine::general_purpose::STANDARD.encode(b"user:caf\xe9");
    assert_eq!(get(world.port, "/", &format!("Authorization: Basic {latin}\r\n")).await.status, 401);
}

#[tokio::test]
async fn a_password_of_more_than_72_bytes_is_refused() {
    let world = World::new().await;
    let (longest, longer) = ("é".repeat(36), "é".repeat(36) + "x");
    assert!(world.auth.replace(USER, Secret::new(&*longer)).await.unwrap_err().contains("73 bytes"));
    assert!(gets_in(&world, USER, PASSWORD).await);
    world.auth.replace(USER, Secret::new(&*longest)).await.unwrap();
    assert!(gets_in(&world, USER, &longest).await && !gets_in(&world, USER, &longer).await);
}

#[tokio::test]
async fn a_cookie_of_another_instance_opens_nothing() {
    let (one, two) = (World::new().await, World::with(with_password("another")).await);
    let cookie = one.cookie().await;
    assert_eq!(get(one.port, "/", &format!("Cookie: {cookie}\r\n")).await.status, 200);
    assert_eq!(get(two.port, "/", &format!("Cookie: {cookie}\r\n")).await.status, 401);
}

async fn upgraded(world: &World, shown: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let raw = format!(
        "GET /ws HTTP/1.1\r\nHost: desk:6100\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: key\r\nSec-WebSocket-Version: 13\r\nOrigin: http://desk:6100\r\n{shown}\r\n"
    );
    stream.write_all(raw.as_bytes()).await.unwrap();
    read_until(&mut stream, "hello ").await;
    stream
}

#[tokio::test]
async fn changed_credentials_close_connections_and_end_sessions() {
    let world = World::new().await;
    let cookie = format!("Cookie: {}\r\n", world.cookie().await);
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let mut open = Vec::new();
    for shown in [&*cookie, &*token, &*basic(USER, PASSWORD)] {
        open.push(upgraded(&world, shown).await);
    }
    let mut events = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    events.write_all(format!("GET /events HTTP/1.1\r\nHost: a\r\n{cookie}\r\n").as_bytes()).await.unwrap();
    read_until(&mut events, "first").await;
    open.push(events);

    world.auth.replace("ada", Secret::new("chosen")).await.unwrap();
    for stream in &mut open {
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
        // With or without an error, but the connection closes now.
        let _ = closed.expect("it stays open");
    }
    assert_eq!(get(world.port, "/", &cookie).await.status, 401);
    // The old pair was right a moment ago, and its check was cached.
    assert!(!gets_in(&world, USER, PASSWORD).await && gets_in(&world, "ada", "chosen").await);
    assert_eq!(get(world.port, "/", &token).await.status, 200);
    let mut later = upgraded(&world, &token).await;
    later.write_all(b"still").await.unwrap();
    read_until(&mut later, "still").await;
}

#[tokio::test]
async fn the_token_reaches_no_service() {
    let world = World::new().await;
    let cookie = format!("Cookie: {}\r\n", world.cookie().await);
    for shown in [
        format!("{cookie}Referer: http://127.0.0.1:{}/x?token=t0ken%2B/%3D&a\r\n", world.port),
        format!("{cookie}Referer: http://127.0.0.1/x?tok%65n=t0ken%2b%2f%3d\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\n"),
    ] {
        assert_eq!(get(world.port, "/", &shown).await.status, 200);
    }
    for path in ["/x?token=t0ken%2B/%3D", "/x?a&tok%65n=t0ken%2B/%3D", "/x?%74oken=t0ken%2b%2f%3d&b"] {
        assert_eq!(get(world.port, path, "").await.status, 200, "{path}");
        assert_eq!(get(world.port, path, &cookie).await.status, 200, "{path}");
        // A browser does not keep it either.
        let response = get(world.port, path, "Accept: text/html\r\n").await;
        let to = response.location();
        assert!(response.status == 303 && !to.contains("t0k"), "{path}: {to}");
    }
    let heads = world.service.requests();
    assert_eq!(heads.len(), 9);
    for head in heads {
        assert!(!head.contains("t0k") && !head.contains("%65n") && !head.contains("%74oken"), "{head}");
    }
}

#[tokio::test]
async fn a_services_own_token_passes_with_a_login() {
    let world = World::new().await;
    let cookie = format!("Cookie: {}\r\nAccept: text/html\r\n", world.cookie().await);
    let referer = "Referer: http://127.0.0.1:8888/lab?token=jupyter\r\n";
    let response = get(world.port, "/lab?token=jupyter&a", &format!("{cookie}{referer}")).await;
    assert_eq!((response.status, &*response.body), (200, "service"));
    let head = world.service.last();
    assert!(
        head.starts_with("GET /lab?token=jupyter&a ") && head.contains("/lab?token=jupyter\r\n"),
        "{head}"
    );
    assert_eq!(world.auth.counters().failures, 0);
    // A client without a login is led back there after the login.
    let response = get(world.port, "/lab?token=jupyter", "Accept: text/html\r\n").await;
    assert_eq!(response.location(), "/desktopd/login?next=/lab%3Ftoken%3Djupyter");
    assert_eq!(world.auth.counters().failures, 1);
}

#[tokio::test]
async fn hundreds_of_guesses_at_once_do_not_block_a_login() {
    let world = World::new().await;
    let guess = async |port: u16, n: usize| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{}\r\n",
            basic(USER, &format!("guess {n}"))
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let mut guesses = Vec::new();
    for n in 0..200 {
        guesses.push(guess(world.port, n).await);
    }
    // Guesses until answers are as slow as they become.
    let slow = async {
        while world.auth.counters().failures < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), slow).await.unwrap();
    let form = log_in(world.port, USER, PASSWORD, "/").await;
    assert_eq!(form.status, 303, "{}", form.head);
    let counters = world.auth.counters();
    assert!(counters.failures < 50 && counters.bans == 0, "most still wait: {counters:?}");
    let cookie = format!("Cookie: {}\r\n", form.cookie());
    assert_eq!(get(world.port, "/", &cookie).await.status, 200);
    drop(guesses);
}

#[tokio::test]
async fn a_refused_guess_gets_a_retry_after() {
    let world = World::new().await;
    // More guesses than may wait at once: the first of them are refused.
    let mut streams = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{}\r\n",
            basic(USER, &format!("guess {n}"))
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let sent_away = async {
        while world.auth.counters().refused == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), sent_away).await.unwrap();
    let answers = futures_util::future::join_all(streams.iter_mut().map(async |stream| {
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read_to_string(&mut answer)).await;
        read.is_ok().then(|| Response::parse(&answer))
    }));
    let answers: Vec<_> = answers.await.into_iter().flatten().collect();
    let refused = answers.iter().find(|answer| answer.status == 429).expect("at least one 429");
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert!(answers.iter().all(|answer| [401, 429].contains(&answer.status)));
}

#[tokio::test]
async fn credentials_are_not_changed_through_the_gateway() {
    let world = World::new().await;
    // Not from a browser, not even with a valid login.
    let headers = format!("{}Content-Type: application/json\r\n", basic(USER, PASSWORD));
    let body = r#"{"user":"ada","password":"chosen"}"#;
    let status = ask(world.pages, "POST", "/api/credentials", &headers, body).await.status;
    assert!(status == 404 || status == 405, "{status}");
    assert!(gets_in(&world, USER, PASSWORD).await);
}
