//! Cookies in both directions: which bytes of ours reach a service, checked at its socket; and the effect of cookies
//! with our names that another port of the same host, or a sibling domain, has planted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::gateway::http2::{self, Answer};
use crate::gateway::upstream::{rest, token};
use crate::gateway::world::{PASSWORD, TOKEN, USER, World, ask, basic, credentials, get, log_in, read_until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use desktopd::gateway::auth::{Credentials, How};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const COOKIE: &str = "C.1_auth_token";

fn provider() -> Credentials {
    Credentials { cookie: Some(COOKIE.into()), password_as_token: true, ..credentials() }
}

/// A service's socket, and every byte that arrived there.
struct Tap {
    address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, bytes) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let kept = Arc::clone(&bytes);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(listen(stream, Arc::clone(&kept)));
            }
        });
        Self { address, bytes }
    }

    /// The bytes since the last call.
    fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.bytes.lock().unwrap())).into_owned()
    }
}

async fn listen(mut stream: TcpStream, kept: Arc<Mutex<Vec<u8>>>) {
    let mut own = Vec::new();
    let mut answered = false;
    loop {
        let before = own.len();
        if stream.read_buf(&mut own).await.unwrap_or(0) == 0 {
            return;
        }
        kept.lock().unwrap().extend_from_slice(&own[before..]);
        let text = String::from_utf8_lossy(&own).to_lowercase();
        let whole = !text.contains("transfer-encoding") || text.contains("\r\n0\r\n");
        if answered || !text.contains("\r\n\r\n") || !whole {
            continue;
        }
        answered = true;
        let answer = if text.contains("upgrade: websocket") {
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        if !text.contains("upgrade: websocket") {
            return;
        }
    }
}

/// All credentials of the gateway, in every form in which a request can carry them: a path and headers.
fn ways(session: &str, other: &str) -> Vec<(String, Vec<(&'static str, String)>)> {
    let pair =
        |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let cookies = format!(
        "{session}; {other}; {COOKIE}_browser=s3cret1; __Secure-{COOKIE}_browser=s3cret2; {COOKIE}_crossing=s3cret3"
    );
    let with = |path: &str, more: Vec<(&'static str, String)>| {
        let cookie = ("cookie", format!("a=1; {session}"));
        (path.to_owned(), [vec![cookie], more].concat())
    };
    let referer = |rest: &str| ("referer", format!("http://127.0.0.1:1/{rest}"));
    vec![
        with("/one", vec![]),
        ("/two".into(), vec![("cookie", cookies)]),
        ("/three".into(), vec![("cookie", format!("x=1; {COOKIE}={TOKEN}"))]),
        ("/four".into(), vec![("authorization", pair(USER, PASSWORD))]),
        with("/five", vec![("authorization", pair(USER, "mistyped"))]),
        with("/six", vec![("authorization", pair("usr", PASSWORD))]),
        with("/seven", vec![("authorization", pair("x", TOKEN))]),
        ("/eight".into(), vec![("authorization", format!("Bearer {TOKEN}"))]),
        ("/nine".into(), vec![("authorization", format!("bearer {PASSWORD}"))]),
        with("/ten", vec![("authorization", format!("BEARER  {TOKEN}"))]),
        ("/eleven?b&token=t0ken%2B/%3D".into(), vec![]),
        ("/twelve?tok%65n=t0ken%2b%2f%3d&b".into(), vec![]),
        with("/thirteen?token=t0ken%2B/%3D", vec![("authorization", format!("Bearer {TOKEN}"))]),
        with("/fourteen", vec![referer("a?token=t0ken%2B/%3D&b")]),
        with("/fifteen", vec![referer("desktopd/login?next=/a%3Ftoken%3Dt0ken%252B/%253D")]),
        with("/sixteen", vec![referer("desk/desktopd/login?next=/a%3Ftoken%3Dt0ken%252B/%253D")]),
        with("/seventeen?token=pass%20word%3A%C3%BC", vec![]),
        with("/eighteen", vec![("proxy-authorization", pair(USER, PASSWORD))]),
    ]
}

/// Checks that the received bytes are complete and contain none of our secrets.
fn clean(came: &str, path: &str, secrets: &[String]) {
    let name = path.split(['?', '&']).next().unwrap();
    assert!(came.contains(name), "{path} did not arrive: {came}");
    let plain = came.to_lowercase();
    for secret in secrets.iter().map(|secret| secret.to_lowercase()) {
        assert!(!plain.contains(&secret), "{path}: {secret} in {came}");
    }
}

fn secrets(cookies: &[&str]) -> Vec<String> {
    let values = cookies.iter().map(|cookie| cookie.split_once('=').unwrap().1.to_owned());
    let fixed = [
        "s3cret",
        "t0ken",
        "t0k",
        "authorization",
        "basic ",
        "bearer",
        "auth_token",
        "%65n",
        "pass%20",
        "mistyped",
    ];
    let encoded = [STANDARD.encode(format!("{USER}:{PASSWORD}")), STANDARD.encode(PASSWORD)];
    values.chain(fixed.map(str::to_owned)).chain(encoded).collect()
}

#[tokio::test]
async fn no_credential_of_the_gateway_reaches_a_service() {
    let tap = Tap::start().await;
    let world = http2::with(provider(), Some(tap.address)).await;
    let cookie = |secure| {
        let line = world.auth.log_in(How::Password, secure).unwrap();
        line.to_str().unwrap().split(';').next().unwrap().to_owned()
    };
    let (http, https) = (cookie(false), cookie(true));
    let secrets = secrets(&[&http, &https]);
    let origin = format!("Origin: http://127.0.0.1:{}\r\n", world.port);
    for (path, headers) in ways(&http, &https) {
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let lines = lines.concat();
        // HTTP/1.1, also with a body that has trailers.
        let got = get(world.port, &path, &lines).await;
        assert_eq!(got.status, 200, "{path}: {}", got.head);
        clean(&tap.take(), &path, &secrets);
        let trailers = format!("Cookie: {http}\r\nAuthorization: Bearer {TOKEN}\r\nX-Sum: 1\r\n");
        let raw = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n{lines}{origin}\
             Trailer: Cookie, Authorization, X-Sum\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\n{trailers}\r\n",
            world.port
        );
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        stream.write_all(raw.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let came = tap.take();
        assert!(came.contains("body"), "{came}");
        clean(&came, &path, &secrets);
        // WebSocket.
        let raw = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{lines}{origin}\r\n",
            world.port
        );
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        stream.write_all(raw.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{path}: {answer}");
        clean(&tap.take(), &path, &secrets);
    }
    for (path, mut headers) in ways(&https, &http) {
        // HTTP/2, with a header for each cookie.
        let of_cookies = headers.iter().position(|(name, _)| *name == "cookie");
        let cookies = of_cookies.map(|at| headers.remove(at).1).unwrap_or_default();
        let authority = format!("127.0.0.1:{}", world.port);
        let mut sent =
            vec![(":method", "GET"), (":scheme", "https"), (":path", &*path), (":authority", &*authority)];
        sent.extend(headers.iter().map(|(name, value)| (*name, &**value)));
        sent.extend(cookies.split("; ").filter(|cookie| !cookie.is_empty()).map(|cookie| ("cookie", cookie)));
        assert_eq!(http2::ask(world.port, &sent, None).await, Answer::Status(200), "{path}");
        clean(&tap.take(), &path, &secrets);
    }
    // The service's own credentials pass.
    let own = format!("Cookie: a=1; {http}; b=2\r\n{}", basic("admin", "of the service"));
    assert_eq!(get(world.port, "/own?token=jupyter", &own).await.status, 200);
    let came = tap.take();
    for line in ["GET /own?token=jupyter HTTP/1.1\r\n", "cookie: a=1; b=2\r\n", "authorization: Basic "] {
        assert!(came.contains(line), "{line:?} in {came}");
    }
}

#[tokio::test]
async fn planted_cookies_with_our_name_do_not_hide_a_session() {
    let world = World::with(provider()).await;
    let cookie = world.cookie().await;
    let (name, value) = cookie.split_once('=').unwrap();
    let shaped = format!("{name}={}; ", "A".repeat(value.len()));
    for planted in [shaped.clone(), shaped.repeat(150), format!("{name}=; {name}; {name}=\"{value}; ")] {
        for headers in [format!("Cookie: {planted}{cookie}\r\n"), format!("Cookie: {cookie}; {planted}\r\n")]
        {
            assert_eq!(get(world.port, "/", &headers).await.status, 200);
            assert!(!world.service.last().to_lowercase().contains("cookie"), "{}", world.service.last());
        }
    }
    // A planted value does not log a client in, not even one that was valid once.
    let out = format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{}\r\n", world.port);
    assert_eq!(ask(world.port, "POST", "/desktopd/logout", &out, "").await.status, 303);
    for planted in [&*cookie, &*shaped, "C.1_auth_token_browser=x; C.1_auth_token_crossing=x"] {
        assert_eq!(get(world.port, "/", &format!("Cookie: {planted}\r\n")).await.status, 401);
    }
}

#[tokio::test]
async fn planted_cookies_that_look_like_tokens_block_no_login() {
    let world = World::tuned(provider(), |settings| {
        settings.proxies.listed = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let from = "X-Forwarded-For: 203.0.113.7\r\n";
    let html = "Accept: text/html\r\n";
    for n in 0..6 {
        let planted = format!("{from}Cookie: {COOKIE}=planted{n}\r\n");
        let program = get(world.port, "/", &planted).await;
        assert_eq!(program.status, if n < 5 { 401 } else { 429 }, "{n}: it is a guess");
        // A browser is still led to the login page.
        assert_eq!(get(world.port, "/", &format!("{planted}{html}")).await.status, 303);
    }
    let counters = world.auth.counters();
    assert_eq!((counters.failures, counters.bans), (5, 1));
    // Other credentials beside that cookie are accepted.
    let planted = format!("{from}Cookie: {COOKIE}=planted\r\n");
    assert_eq!(get(world.port, "/", &format!("{planted}{}", token())).await.status, 200);
    let mistyped = format!("{planted}{}", basic(USER, "mistyped"));
    assert_eq!(get(world.port, "/", &mistyped).await.status, 401, "not 429");
    assert_eq!(get(world.port, "/", &format!("{planted}{}", basic(USER, PASSWORD))).await.status, 200);
    let form = format!("user={USER}&password=pass+word:%C3%BC");
    assert_eq!(ask(world.port, "POST", "/desktopd/login", &planted, &form).await.status, 303);
    // The cookie of an ended session does not count as a guess.
    let stale = world.cookie().await;
    world.auth.replace(USER, desktopd::config::secret::Secret::new("changed")).await.unwrap();
    for _ in 0..10 {
        let headers = format!("X-Forwarded-For: 203.0.113.8\r\nCookie: {stale}\r\n");
        assert_eq!(get(world.port, "/", &headers).await.status, 401);
    }
    assert_eq!(log_in(world.port, USER, "changed", "/").await.status, 303);
}
