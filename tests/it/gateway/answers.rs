//! Upstream answers that break off, contradict themselves, or are longer than announced: the client never takes a part
//! for the whole answer, and never gets the answer to another client's request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::time::Duration;

use crate::gateway::upstream::{Upstream, before, rest, send, statuses, token};
use crate::gateway::world::{free_port, read_until, route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{}{headers}\r\n", token())
}

const CLOSE: &str = "Connection: close\r\n";

/// The result for a client that reads carefully.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole(String),
    BrokenOff(String),
}

/// Reads one answer as strictly as possible; nothing may follow it.
fn read(answer: &str) -> (u16, End) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap();
    assert!(first.starts_with("HTTP/1.1 "), "{first}");
    let headers: Vec<_> = lines.map(|line| line.split_once(": ").expect("a header")).collect();
    let all = |wanted: &str| -> Vec<_> {
        let is = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(wanted);
        headers.iter().filter(is).map(|(_, value)| *value).collect()
    };
    let end = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([length], []) => {
            let length: usize = length.parse().unwrap();
            assert!(body.len() <= length, "more than announced: {answer:?}");
            if body.len() == length { End::Whole(body.into()) } else { End::BrokenOff(body.into()) }
        }
        ([], ["chunked"]) => chunks(body),
        ([], []) => End::Whole(body.into()),
        both => panic!("{both:?} in {head}"),
    };
    (first[9..12].parse().unwrap(), end)
}

fn chunks(mut bytes: &str) -> End {
    let mut body = String::new();
    while let Some((size, rest)) = bytes.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            let (trailers, rest) = rest.split_at(rest.rfind("\r\n").expect("an end"));
            assert_eq!(rest, "\r\n");
            return End::Whole(body + trailers.trim_end());
        }
        let Some(chunk) = rest.get(..size) else { break };
        body += chunk;
        bytes = rest[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    End::BrokenOff(body)
}

#[tokio::test]
async fn a_partial_answer_never_looks_complete() {
    let upstream = Upstream::start(&[
        ("/length", "!HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
        ("/none", "!HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        ("/chunk", "!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf"),
        ("/chunks", "!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ("/end", "!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"),
        ("/size", "!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n0\r\n\r\n"),
        ("/overflow", "!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n"),
        ("/events", "!HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ("/whole", "!HTTP/1.1 200 OK\r\n\r\nclosed"),
        ("/old", "!HTTP/1.0 200 OK\r\n\r\nclosed"),
    ])
    .await;
    let (_world, port) = before(&upstream).await;
    let half = || (200, End::BrokenOff("half".into()));
    for (path, expected) in [
        ("/length", half()),
        ("/none", (200, End::BrokenOff(String::new()))),
        ("/chunk", half()),
        ("/chunks", half()),
        ("/end", half()),
        ("/size", half()),
        ("/overflow", half()),
        ("/events", half()),
        // These bodies end with the connection.
        ("/whole", (200, End::Whole("closed".into()))),
        ("/old", (200, End::Whole("closed".into()))),
    ] {
        // The connection stays open after a complete answer; it closes after a broken one.
        let headers = if matches!(expected.1, End::Whole(_)) { CLOSE } else { "" };
        let answer = send(port, get(path, headers)).await;
        // An answer that breaks off at once may be missing altogether.
        if !answer.is_empty() || matches!(expected.1, End::Whole(_)) {
            assert_eq!(read(&answer), expected, "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn invalid_answers_are_a_bad_gateway() {
    let upstream = Upstream::start(&[
        ("/gone", "!"),
        ("/half", "!HTTP/1.1 200 OK\r\nContent-"),
        ("/nothing", "!\r\n\r\n"),
        ("/old", "!<html>hello</html>"),
        ("/status", "!HTTP/1.1 20 OK\r\n\r\n"),
        ("/letters", "!HTTP/1.1 abc OK\r\n\r\n"),
        ("/version", "!HTTP/4.1 200 OK\r\n\r\n"),
        ("/two", "!HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!"),
        ("/list", "!HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\nbody!"),
        ("/signed", "!HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nbody"),
        ("/less", "!HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody"),
        ("/much", "!HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nbody"),
        ("/cr", "!HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 4\r\n\r\nbody"),
        ("/nul", "!HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 4\r\n\r\nbody"),
        ("/folded", "!HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 4\r\n\r\nbody"),
        ("/name", "!HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 4\r\n\r\nbody"),
        ("/space", "!HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nbody"),
        (
            "/unasked",
            "!HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ),
        ("/hints", "!HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ])
    .await;
    let (_world, port) = before(&upstream).await;
    for path in [
        "/gone", "/half", "/nothing", "/old", "/status", "/letters", "/version", "/two", "/list", "/signed",
        "/less", "/much", "/cr", "/nul", "/folded", "/name", "/space", "/unasked", "/hints",
    ] {
        let answer = send(port, get(path, CLOSE)).await;
        let (status, end) = read(&answer);
        assert_eq!(status, 502, "{path}: {answer}");
        let End::Whole(body) = end else { panic!("{answer}") };
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], "Desktop <1> gave no proper answer", "{path}");
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
    assert_eq!(statuses(&send(port, get("/", CLOSE)).await), [200]);
}

#[tokio::test]
async fn bytes_after_an_answer_reach_no_client() {
    const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON";
    let long = |head: &str| -> &'static str { Box::leak(format!("{head}{POISON}").into_boxed_str()) };
    let upstream = Upstream::start(&[
        ("/more", long("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")),
        ("/both", long("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")),
        ("/swapped", long("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 999\r\n\r\n4\r\nbody\r\n0\r\n\r\n")),
        ("/twice", long("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody")),
        ("/empty", long("HTTP/1.1 204 No Content\r\n\r\n")),
        ("/same", long("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n")),
        ("/early", long("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")),
        ("/lf", long("HTTP/1.1 200 OK\nContent-Length: 4\n\nbody")),
    ])
    .await;
    let (_world, port) = before(&upstream).await;
    for path in ["/more", "/both", "/swapped", "/twice", "/empty", "/same", "/early", "/lf"] {
        for method in ["GET", "HEAD"] {
            for _ in 0..10 {
                let answer = send(port, get(path, CLOSE).replace("GET", method)).await;
                let (status, end) =
                    if method == "HEAD" { (200, End::Whole(String::new())) } else { read(&answer) };
                assert!(matches!(status, 200 | 204 | 304), "{path}: {answer}");
                let End::Whole(body) = end else { panic!("{path}: {answer}") };
                assert!(body.is_empty() || body == "body", "{method} {path}: {answer}");
                let answer = send(port, get("/next", CLOSE)).await;
                assert_eq!(read(&answer), (200, End::Whole("service".into())), "after {method} {path}");
            }
        }
    }
    // Nor on a client connection that stays open.
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    for path in ["/more", "/both", "/empty"] {
        client.write_all(get(path, "").as_bytes()).await.unwrap();
        client.write_all(get("/next", "").as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "service").await;
        assert!(!answer.contains("POISON"), "{answer}");
    }
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_service_do_not_pass() {
    let upstream = Upstream::start(&[(
        "/",
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Connection: x\r\nTrailer: x-sum, set-cookie, content-length\r\n\
         Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\nSet-Cookie: evil=1\r\nContent-Length: 9\r\n\r\n",
    )])
    .await;
    let (_world, port) = before(&upstream).await;
    let answer = send(port, get("/", "Connection: close, TE\r\nTE: trailers\r\n")).await.to_lowercase();
    assert_eq!(read(&answer.replacen("http", "HTTP", 1)).1, End::Whole("bodyx-sum: 1".into()));
    for gone in ["x-hop", "keep-alive", "upgrade", "proxy-", "evil"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
}

#[tokio::test]
async fn a_service_cannot_replace_the_session() {
    let (world, answers) = {
        let upstream = Upstream::start(&[]).await;
        let (world, _) = before(&upstream).await;
        let name = world.cookie().await.split_once('=').unwrap().0.to_owned();
        let set: String = ["NAME=x", "NAME =x", " NAME=x; Path=/", "NAME", "NAME;", "\tNAME=; Max-Age=0"]
            .map(|set| format!("Set-Cookie: {}\r\n", set.replace("NAME", &name)))
            .concat();
        let kept = format!("Set-Cookie: sid=1\r\nset-cookie: x{name}=2\r\n");
        (world, format!("HTTP/1.1 200 OK\r\n{set}{kept}Content-Length: 0\r\n\r\n"))
    };
    let upstream = Upstream::start(&[("/", Box::leak(answers.into_boxed_str()))]).await;
    let port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(port, upstream.address)]).await, []);
    let answer = send(port, get("/", CLOSE)).await;
    let set: Vec<_> = answer.lines().filter(|line| line.starts_with("set-cookie: ")).collect();
    assert_eq!(set.len(), 2, "{answer}");
    assert!(set[0] == "set-cookie: sid=1" && set[1].starts_with("set-cookie: x"), "{answer}");
}

#[tokio::test]
async fn uploads_ranges_and_events_are_not_held_back() {
    let upstream = Upstream::start(&[]).await;
    let (world, _) = before(&upstream).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(port, listener.local_addr().unwrap())]).await, []);
    for framing in ["Content-Length: 1000005", "Transfer-Encoding: chunked"] {
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let head = format!(
            "PUT /file HTTP/1.1\r\nHost: a\r\n{}{framing}\r\nRange: bytes=5-9\r\nIf-Range: \"x\"\r\nExpect: 100-continue\r\n\r\n",
            token()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut service, _) = listener.accept().await.unwrap();
        // `100 Continue` comes only now, when the service has accepted the connection.
        read_until(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
        let chunked = framing.starts_with("Transfer");
        let first: &[u8] = if chunked { b"5\r\nfirst\r\n" } else { b"first" };
        client.write_all(first).await.unwrap();
        let seen = read_until(&mut service, "first").await;
        assert!(seen.contains("range: bytes=5-9\r\n") && seen.contains("if-range: \"x\"\r\n"), "{seen}");
        assert!(!seen.contains("expect"), "{seen}");
        // The service answers before the rest of the upload has come, and the beginning of its answer arrives at once.
        service
            .write_all(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            .await
            .unwrap();
        let seen = read_until(&mut client, "data: 1\n\n").await;
        assert!(
            seen.starts_with("HTTP/1.1 206 ") && seen.contains("content-range: bytes 5-9/10\r\n"),
            "{seen}"
        );
        // The rest of the upload passes while the answer is being sent.
        let rest = vec![b'x'; 1_000_000];
        let (mut reader, mut writer) = service.split();
        let sending = async {
            if chunked {
                client.write_all(b"f4240\r\n").await.unwrap();
            }
            client.write_all(&rest).await.unwrap();
            if chunked {
                client.write_all(b"\r\n0\r\n\r\n").await.unwrap();
            }
        };
        let receiving = async {
            let (mut buffer, mut count) = (vec![0; 65536], 0);
            while count < rest.len() {
                let read = reader.read(&mut buffer).await.unwrap();
                assert!(read > 0, "ended after {count}");
                count += String::from_utf8_lossy(&buffer[..read]).matches('x').count();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(sending, receiving) })
            .await
            .unwrap();
        writer.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n").await.unwrap();
        read_until(&mut client, "data: 2\n\n\r\n0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn an_upload_ends_with_its_client_and_its_service() {
    let upstream = Upstream::start(&[]).await;
    let (world, _) = before(&upstream).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(port, listener.local_addr().unwrap())]).await, []);
    let head = format!("PUT /file HTTP/1.1\r\nHost: a\r\n{}Content-Length: 100000\r\n\r\nfirst", token());
    // The client closes: the service sees the connection close, but no end of the body.
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut service, _) = listener.accept().await.unwrap();
    read_until(&mut service, "first").await;
    drop(client);
    assert_eq!(rest(&mut service).await, "");
    // The service closes: the client sees that while it is still sending.
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut service, _) = listener.accept().await.unwrap();
    read_until(&mut service, "first").await;
    drop(service);
    assert_eq!(statuses(&rest(&mut client).await), [502]);
}
