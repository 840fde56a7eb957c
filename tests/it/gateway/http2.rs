//! HTTP/2 requests that would become something else in HTTP/1.1: in HTTP/2 every part is a string of bytes with a
//! length, so a name or a path may contain bytes that end a line, a header or a request on the way to the service.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::gateway::tls_client::{client, shake};
use crate::gateway::upstream::{Came, Upstream};
use crate::gateway::world::{credentials, free_port, route, unit};
use desktopd::gateway::auth::{Auth, Credentials};
use desktopd::gateway::tls::{Files, Sources, Tls};
use desktopd::gateway::{Gateway, Settings};
use desktopd::logs::{Console, Limits, Logs};
use desktopd::observe::{Observer, UnitState};
use desktopd::state::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// A valid credential.
const BEARER: &str = "Bearer t0ken+/=";

pub struct World {
    pub port: u16,
    pub auth: Auth,
    upstream: Upstream,
    stop: CancellationToken,
    _observer: Observer,
    _gateway: Gateway,
    _state: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn world() -> World {
    with(credentials(), None).await
}

/// A gateway with TLS, in front of `service` or of an upstream that records what it receives.
pub async fn with(credentials: Credentials, service: Option<SocketAddr>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let (state, _) = State::open(dir.path(), "test");
    let none = || Files { certificate: dir.path().join("none.crt"), key: dir.path().join("none.key") };
    let sources = Sources { given: None, provider: none(), names: vec!["localhost".into()] };
    let (tls, _) = Tls::open(sources, Arc::new(state));
    let (observer, _) = Observer::new(1, 0);
    observer.update(|snapshot| snapshot.units = vec![unit("selkies", UnitState::Ready, "")]);
    let logs = Logs::new(Limits { dir: None, file_size: 0, files: 0, ring: 1000 }, Console::silent());
    let stop = CancellationToken::new();
    let settings = Settings { address: [127, 0, 0, 1].into(), tls: Some(tls), ..Settings::default() };
    let auth = Auth::new(credentials, &[7; 32], 4);
    let gateway = Gateway::new(settings, auth.clone(), &observer, logs, stop.clone());
    let upstream = Upstream::start(&[]).await;
    let port = free_port().await;
    assert_eq!(gateway.set_routes(&[route(port, service.unwrap_or(upstream.address))]).await, []);
    World { port, auth, upstream, stop, _observer: observer, _gateway: gateway, _state: dir }
}

async fn connect(port: u16) -> TlsStream<TcpStream> {
    let config = client(None, &[b"h2"]);
    let mut stream = shake(port, config, "localhost").await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, b"")).await.unwrap();
    stream
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Headers in HPACK, without the table and without compression.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = match u8::try_from(text.len()).unwrap() {
            short @ ..127 => vec![short],
            long => vec![127, long - 127],
        };
        bytes.extend(text.bytes());
        bytes
    };
    headers.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The result of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    Refused,
}

/// Sends one request, with a body where there is one, and reads the answer.
pub async fn ask(port: u16, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
    let mut stream = connect(port).await;
    let end = if body.is_some() { 4 } else { 5 };
    stream.write_all(&frame(1, end, 1, &block(headers))).await.unwrap();
    if let Some(body) = body {
        // It may have been refused already.
        let _ = stream.write_all(&frame(0, 1, 1, body.as_bytes())).await;
    }
    let reading = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return Answer::Refused;
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).await.unwrap();
            match head[3] {
                1 => return Answer::Status(status(&payload)),
                // RST_STREAM, and GOAWAY, whose error code is 0 when nothing is wrong.
                3 => return Answer::Refused,
                7 if payload[4..8] != [0; 4] => return Answer::Refused,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("neither an answer nor an end")
}

/// The status at the beginning of an answer's header block.
fn status(block: &[u8]) -> u16 {
    // An update of the table's size may come first.
    let start = block.iter().position(|byte| byte >> 5 != 1).unwrap();
    match block[start..] {
        [byte @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
        // An indexed name, and three digits with or without Huffman coding.
        [0x08 | 0x48 | 0x18, 3, a, b, c, ..] => std::str::from_utf8(&[a, b, c]).unwrap().parse().unwrap(),
        [0x08 | 0x48 | 0x18, ref rest @ ..] => digits(&rest[1..=usize::from(rest[0] & 0x7f)]),
        ref other => panic!("no status in {other:?}"),
    }
}

/// The Huffman code of digits.
fn digits(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = ["00000", "00001", "00010"].iter().position(|code| bits[at..].starts_with(code));
        let (digit, length) = match short {
            Some(digit) => (digit, 5),
            // 3 is 011001, and the codes of the larger digits follow.
            None => (usize::from_str_radix(&bits[at..at + 6], 2).unwrap() - 0b01_1001 + 3, 6),
        };
        at += length;
        number = number * 10 + u16::try_from(digit).unwrap();
    }
    number
}

/// Sends these frames, and reads until the connection ends or this number of answers has come: the number of answers,
/// and the first status.
async fn flood(port: u16, frames: &[u8], most: usize) -> (usize, Option<u16>) {
    let mut stream = connect(port).await;
    // The connection may end before all frames are sent.
    let _ = stream.write_all(frames).await;
    let (mut answers, mut first) = (0, None);
    let reading = async {
        let mut head = [0; 9];
        while answers < most && stream.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            if stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            if head[3] == 1 {
                answers += 1;
                first = first.or_else(|| Some(status(&payload)));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(8), reading).await.expect("neither enough answers nor an end");
    (answers, first)
}

#[tokio::test]
async fn a_client_without_a_login_has_few_login_forms_at_once() {
    let world = world().await;
    let form = block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/desktopd/login"),
        (":authority", "desk:6100"),
        ("origin", "https://desk:6100"),
    ]);
    let forms: Vec<_> = (0..100).map(|at| frame(1, 4, 2 * at + 1, &form)).collect();
    // 16 login forms are read; the rest are answered at once, before any of the 16 has ended.
    assert_eq!(flood(world.port, &forms.concat(), 84).await, (84, Some(503)));
}

#[tokio::test]
async fn too_many_frames_without_a_request_end_the_connection() {
    let world = world().await;
    let (settings, ping) = (frame(4, 0, 0, b""), frame(6, 0, 0, b"12345678"));
    let request = frame(1, 5, 1, &block(&usual()));
    for (noise, enough, too_many) in [(settings, 50, 5000), (ping, 500, 50_000)] {
        let some = [noise.repeat(enough), request.clone()].concat();
        assert_eq!(flood(world.port, &some, 1).await, (1, Some(200)));
        assert_eq!(flood(world.port, &noise.repeat(too_many), 1).await, (0, None));
    }
}

/// A correct request.
fn usual() -> [(&'static str, &'static str); 5] {
    [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/a?b"),
        (":authority", "desk:6100"),
        ("authorization", BEARER),
    ]
}

#[tokio::test]
async fn a_request_stays_one_request() {
    let world = world().await;
    let usual = usual();
    // A correct request arrives.
    assert_eq!(ask(world.port, &usual, Some("body")).await, Answer::Status(200));
    let requests = world.upstream.requests();
    assert_eq!(requests.len(), 1);
    let (head, body) = &requests[0];
    assert!(head.starts_with("POST /a?b HTTP/1.1\r\n") && head.contains("\r\nhost: desk:6100\r\n"), "{head}");
    assert!(!head.contains("t0ken"), "{head}");
    assert_eq!(body, "body");

    for method in ["GET", "DELETE"] {
        let headers = usual.map(|(name, value)| (name, if name == ":method" { method } else { value }));
        assert_eq!(ask(world.port, &headers, Some("body")).await, Answer::Status(200));
        assert_eq!(world.upstream.requests()[0].1, "body", "{method}");
    }

    let smuggled = "/ HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nX: y";
    let replaced: [(&str, &str); 24] = [
        (":path", smuggled),
        (":path", "/a b"),
        (":path", "/a\tb"),
        (":path", "/a\nb"),
        (":path", "/\0"),
        (":path", "a"),
        (":path", ""),
        (":path", "*"),
        (":path", "http://evil/"),
        (":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"),
        (":method", "GET /smuggled"),
        (":method", ""),
        (":method", "CONNECT"),
        (":method", "TRACE"),
        (":authority", "a\r\nX: y"),
        (":authority", "a b"),
        (":authority", "u@a"),
        (":authority", "a/b"),
        (":authority", "a:99999"),
        (":authority", "a, b"),
        (":authority", "[::1"),
        (":authority", ""),
        (":scheme", "https://evil/?"),
        (":scheme", "h\r\ni"),
    ];
    for (name, value) in replaced {
        let headers = usual.map(|(known, usual)| if known == name { (known, value) } else { (known, usual) });
        for body in [None, Some("body")] {
            let answer = ask(world.port, &headers, body).await;
            let refused = matches!(answer, Answer::Refused | Answer::Status(400 | 405));
            assert!(refused, "{name} {value:?} got {answer:?}");
            assert_eq!(world.upstream.requests(), [], "{name} {value:?}");
        }
    }
}

#[tokio::test]
async fn no_header_becomes_more_than_one() {
    let world = world().await;
    let usual = usual();
    let added = [
        ("x", "y\r\nTransfer-Encoding: chunked\r\nX: z"),
        ("x", "y\nz"),
        ("x", "y\rz"),
        ("x", "y\0"),
        ("x: y\r\nz", "1"),
        ("x y", "1"),
        ("x:", "1"),
        ("", "1"),
        ("X", "1"),
        ("host", "evil"),
        ("host", "desk:6100, evil"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("connection", "x-forwarded-for"),
        ("keep-alive", "1"),
        ("proxy-connection", "1"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("te", "chunked"),
        ("content-length", "0"),
        ("content-length", "3"),
        ("content-length", "5"),
        ("content-length", "+4"),
        ("content-length", "x"),
        ("content-length", "4, 4"),
        ("content-length", "04"),
        (":path", "/other"),
        (":authority", "evil"),
        (":status", "200"),
        (":x", "y"),
        ("authorization", "Bearer x"),
    ];
    for (name, value) in added {
        let headers: Vec<_> = usual.into_iter().chain([(name, value)]).collect();
        let answer = ask(world.port, &headers, Some("body")).await;
        let refused = matches!(answer, Answer::Refused | Answer::Status(400));
        assert!(refused, "{name:?} {value:?} got {answer:?}");
        // A body of another length than announced may have begun to pass, but never ends properly.
        let came = world.upstream.came();
        assert!(came.iter().all(|came| matches!(came, Came::Rest(_))), "{name:?} {value:?}: {came:?}");
    }
    for lengths in [["4", "4"], ["4", "5"], ["5", "4"], ["4", "x"], ["4", "04"]] {
        let headers: Vec<_> =
            usual.into_iter().chain(lengths.map(|length| ("content-length", length))).collect();
        let answer = ask(world.port, &headers, Some("body")).await;
        assert!(matches!(answer, Answer::Refused | Answer::Status(400)), "{lengths:?} got {answer:?}");
    }
    assert!(world.upstream.came().iter().all(|came| matches!(came, Came::Rest(_))));
}

#[tokio::test]
async fn headers_that_are_dropped_in_http1_are_dropped_in_http2() {
    let world = world().await;
    let claims = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-real-ip",
        "forwarded",
        "cf-connecting-ip",
        "x_forwarded_for",
        "content_length",
        "x-original-url",
        "remote-user",
        "proxy-authorization",
    ];
    let mut headers = vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", "desk:6100"),
        ("authorization", BEARER),
        ("te", "trailers"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ];
    headers.extend(claims.map(|name| (name, "66.6.6.6")));
    assert_eq!(ask(world.port, &headers, None).await, Answer::Status(200));
    let head = world.upstream.only();
    assert!(!head.contains("66.6.6.6") && !head.contains("t0ken"), "{head}");
    for line in [
        "host: desk:6100",
        "x-forwarded-for: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "cookie: a=1; b=2",
        "te: trailers",
    ] {
        assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {head}");
    }
    // Without a login, the request is refused.
    headers.retain(|(name, _)| *name != "authorization");
    assert_eq!(ask(world.port, &headers, None).await, Answer::Status(401));
    assert_eq!(world.upstream.requests(), []);
}
