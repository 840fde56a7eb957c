//! Requests and answers: what passes unchanged, what a route changes, and what is counted and logged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::io::Read as _;
use std::time::Duration;

use desktopd::config::rewrite::Rewrite;
use desktopd::gateway::Settings;
use desktopd::plan::routes::Route;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::world::{
    PASSWORD, TOKEN, USER, World, ask, basic, credentials, free_port, get, read_until, route, talk,
};

pub fn token() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// A service that answers every request with the same bytes, and records the head of each request.
async fn scripted(
    answer: impl Into<Vec<u8>>,
) -> (std::net::SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, seen) = tokio::sync::mpsc::unbounded_channel();
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            let _ = heads.send(head);
            let _ = stream.write_all(&answer).await;
        }
    });
    (address, seen)
}

/// A port that leads to such a service.
async fn behind(
    world: &World,
    answer: impl Into<Vec<u8>>,
    rewrite: Rewrite,
) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (address, seen) = scripted(answer).await;
    let port = free_port().await;
    let route = Route { rewrite, ..route(port, address) };
    assert_eq!(world.gateway.set_routes(&[route]).await, []);
    (port, seen)
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// The received bytes of the answer, head and body apart.
async fn raw(port: u16, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all)).await.unwrap().unwrap();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let body = all.split_off(end);
    (String::from_utf8(all).unwrap().to_lowercase(), body)
}

/// The body behind `Transfer-Encoding: chunked`.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
}

#[tokio::test]
async fn a_service_may_be_asked_for_as_localhost() {
    let world = World::new().await;
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: http://localhost:PORT/in?a=b\r\nContent-Length: 0\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let port = free_port().await;
    let rewrite = Rewrite { localhost: true, ..Rewrite::default() };
    let route = Route { rewrite, ..route(port, upstream) };
    assert_eq!(world.gateway.set_routes(&[route]).await, []);
    let headers = format!(
        "{}Host: desk:{port}\r\nOrigin: http://desk:{port}\r\nReferer: http://desk:{port}/a\r\n",
        token()
    );
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(redirect.replace("PORT", &upstream.port().to_string()).as_bytes()).await.unwrap();
        head
    };
    let (response, head) = tokio::join!(get(port, "/", &headers), serving);
    let local = format!("localhost:{}", upstream.port());
    for line in [
        format!("host: {local}"),
        format!("origin: http://{local}"),
        format!("referer: http://{local}/a"),
        format!("x-forwarded-host: desk:{port}"),
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
    assert_eq!(response.header("location"), Some("/in?a=b"));
    // The service sees the other origin, too.
    let foreign = headers.replace("Origin: http://desk", "Origin: http://evil");
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(ok("", "").as_bytes()).await.unwrap();
        head
    };
    let (_, head) = tokio::join!(get(port, "/", &foreign), serving);
    assert!(head.contains(&format!("origin: http://evil:{port}\r\n")), "{head}");
}

#[tokio::test]
async fn forwarded_headers_can_be_switched_off_for_a_service() {
    let world = World::new().await;
    let rewrite = Rewrite { forwarded: false, ..Rewrite::default() };
    let (port, mut seen) = behind(&world, ok("", "x"), rewrite).await;
    get(port, "/", &token()).await;
    let head = seen.recv().await.unwrap();
    assert!(!head.contains("forwarded") && !head.contains("real-ip"), "{head}");
    assert!(head.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");
}

#[tokio::test]
async fn handshakes_have_title_case_and_a_size_limit_where_a_service_needs_it() {
    let world = World::new().await;
    let switched =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
    let rewrite = Rewrite { title_case: true, handshake_limit: Some(1024), ..Rewrite::default() };
    let (port, mut seen) = behind(&world, switched, rewrite).await;
    let upgrade = |more: &str| {
        format!(
            "GET /websockify HTTP/1.1\r\nhost: desk:{port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: key\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: binary\r\n{}{more}\r\n",
            token()
        )
    };
    let origin = format!("origin: http://desk:{port}\r\n");
    assert!(talk(port, &upgrade(&origin)).await.ends_with("hello"));
    let head = seen.recv().await.unwrap();
    for line in ["Host: desk:", "Origin: http://desk:", "Connection: Upgrade\r\n", "Upgrade: websocket\r\n"] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} in {head}");
    }
    assert!(head.to_lowercase().contains("\r\nsec-websocket-protocol: binary\r\n"), "{head}");
    let long = upgrade(&format!("{origin}sec-websocket-extensions: {}\r\n", "x".repeat(1025)));
    let answer = talk(port, &long).await;
    assert!(
        answer.starts_with("HTTP/1.1 431 ") && answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    assert!(seen.try_recv().is_err(), "it reached the service");
}

#[tokio::test]
async fn a_route_may_set_headers_of_its_answers() {
    let world = World::new().await;
    let headers = vec![
        ("cross-origin-opener-policy".parse().unwrap(), "same-origin".parse().unwrap()),
        ("x-frame-options".parse().unwrap(), "SAMEORIGIN".parse().unwrap()),
    ];
    let service = ok("X-Frame-Options: DENY\r\nX-Own: 1\r\n", "x");
    let (port, _seen) = behind(&world, service, Rewrite { headers, ..Rewrite::default() }).await;
    let response = get(port, "/", &token()).await;
    assert_eq!(response.header("cross-origin-opener-policy"), Some("same-origin"));
    assert_eq!(response.header("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!((response.header("x-own"), response.head.matches("x-frame-options").count()), (Some("1"), 1));
}

#[tokio::test]
async fn texts_are_compressed_for_clients_that_accept_it() {
    let text = "<p>the same again and again</p>\n".repeat(500);
    let html = ok("Content-Type: text/html\r\nETag: \"v1\"\r\n", &text);
    let world = World::new().await;
    let (port, _seen) = behind(&world, html.clone(), Rewrite::default()).await;
    let ask =
        |headers: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}{headers}\r\n", token());
    for coding in ["gzip", "zstd"] {
        let (head, body) = raw(port, &ask(&format!("Accept-Encoding: {coding}\r\n"))).await;
        assert!(head.contains(&format!("content-encoding: {coding}\r\n")), "{head}");
        assert!(head.contains("vary: accept-encoding\r\n") && head.contains("etag: w/\"v1\"\r\n"), "{head}");
        assert!(!head.contains("content-length"), "{head}");
        let body = unchunked(&body);
        assert!(body.len() < text.len() / 10, "{}", body.len());
        let mut plain = String::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&*body).read_to_string(&mut plain).unwrap(),
            _ => zstd::Decoder::new(&*body).unwrap().read_to_string(&mut plain).unwrap(),
        };
        assert!(plain == text);
    }
    for headers in ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip\r\nSec-Fetch-Site: same-site\r\n"] {
        let (head, body) = raw(port, &ask(headers)).await;
        assert!(!head.contains("content-encoding") && body == text.as_bytes(), "{headers} {head}");
        assert!(head.contains("etag: \"v1\"") && head.contains("vary: accept-encoding"), "{head}");
    }
    let settings = Settings { compress: false, ..Settings::default() };
    let world = World::configured(credentials(), settings).await;
    let (port, _seen) = behind(&world, html, Rewrite::default()).await;
    let (head, body) = raw(port, &ask("Accept-Encoding: gzip\r\n")).await;
    assert!(
        !head.contains("content-encoding") && !head.contains("vary") && body == text.as_bytes(),
        "{head}"
    );
}

#[tokio::test]
async fn own_pages_are_compressed_only_without_secrets() {
    let world = World::new().await;
    let headers = format!("{}Accept-Encoding: gzip\r\n", token());
    let coded = async |port, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        raw(port, &request).await.0.contains("content-encoding: gzip\r\n")
    };
    for path in ["/display.css", "/portal.css", "/desktopd/gateway.css", "/desktopd/wait.js"] {
        assert!(coded(world.pages, path).await, "{path}");
    }
    world.observer.update(|snapshot| snapshot.display = "x".repeat(5000));
    for path in ["/", "/api/status", "/desktopd/metrics", "/desktopd/login"] {
        assert!(!coded(world.pages, path).await, "{path}");
    }
}

#[tokio::test]
async fn a_streamed_answer_is_compressed_and_passed_piece_by_piece() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(port, listener.local_addr().unwrap())]).await, []);
    for kind in ["text/event-stream", "application/x-ndjson"] {
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n{}\r\n", token());
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut service, _) = listener.accept().await.unwrap();
        read_until(&mut service, "\r\n\r\n").await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        service.write_all(head.as_bytes()).await.unwrap();
        let head = read_until(&mut client, "\r\n\r\n").await.to_lowercase();
        assert_eq!(head.contains("content-encoding: gzip"), kind != "text/event-stream", "{head}");
        let mut coded = Vec::new();
        for said in ["first\n", "second\n"] {
            service.write_all(format!("{:x}\r\n{said}\r\n", said.len()).as_bytes()).await.unwrap();
            if kind == "text/event-stream" {
                read_until(&mut client, said).await;
                continue;
            }
            // Each piece is a chunk of its own, and can be read before the next one is written.
            let mut plain = String::new();
            while !plain.ends_with(said) {
                let mut buffer = [0; 4096];
                let read = tokio::time::timeout(Duration::from_secs(10), client.read(&mut buffer));
                let read = read.await.expect("this piece is held back").unwrap();
                coded.extend_from_slice(&buffer[..read]);
                let mut whole = coded.clone();
                whole.extend_from_slice(b"0\r\n\r\n");
                plain.clear();
                let mut bytes = Vec::new();
                let _ = flate2::read::GzDecoder::new(&*unchunked(&whole)).read_to_end(&mut bytes);
                plain.push_str(&String::from_utf8(bytes).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn heads_ranges_and_empty_answers_stay_what_they_are() {
    let world = World::new().await;
    let text = ("Content-Type: text/plain\r\n", "x".repeat(5000));
    let piece = format!(
        "HTTP/1.1 206 Partial Content\r\n{}Content-Range: bytes 0-4999/9000\r\nContent-Length: 5000\r\n\r\n{}",
        text.0, text.1
    );
    let headers = format!("{}Accept-Encoding: gzip\r\nRange: bytes=0-4999\r\nIf-Range: \"v1\"\r\n", token());
    let (port, mut seen) = behind(&world, piece, Rewrite::default()).await;
    let response = get(port, "/", &headers).await;
    assert_eq!((response.status, response.header("content-range")), (206, Some("bytes 0-4999/9000")));
    assert_eq!((response.body.len(), response.header("content-encoding")), (5000, None));
    let head = seen.recv().await.unwrap();
    assert!(head.contains("range: bytes=0-4999\r\n") && head.contains("if-range: \"v1\"\r\n"), "{head}");

    let answer = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 5000\r\n\r\n", text.0);
    let (port, mut seen) = behind(&world, answer, Rewrite::default()).await;
    let response = ask(port, "HEAD", "/", &headers, "").await;
    assert_eq!(
        (response.status, response.header("content-length"), &*response.body),
        (200, Some("5000"), "")
    );
    assert!(seen.recv().await.unwrap().starts_with("HEAD / "));

    for (answer, status) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Type: text/html\r\n\r\n", 304),
    ] {
        let (port, _seen) = behind(&world, answer, Rewrite::default()).await;
        let response = get(port, "/", &headers).await;
        assert_eq!((response.status, &*response.body), (status, ""));
        assert!(response.header("transfer-encoding").is_none(), "{}", response.head);
    }
}

#[tokio::test]
async fn no_100_continue_for_a_body_that_is_not_read() {
    let world = World::new().await;
    let expect = |headers: &str| {
        format!(
            "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n{headers}\r\n"
        )
    };
    // Without a login, and with a service that does not listen.
    let answer = talk(world.port, &expect("")).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    world.observer.update(|snapshot| snapshot.units[0].state = desktopd::observe::UnitState::Starting);
    let answer = talk(world.port, &expect(&token())).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    world.observer.update(|snapshot| snapshot.units[0].state = desktopd::observe::UnitState::Ready);
    let port = free_port().await;
    let gone = route(port, ([127, 0, 0, 1], free_port().await).into());
    assert_eq!(world.gateway.set_routes(&[gone]).await, []);
    let answer = talk(port, &expect(&token())).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

#[tokio::test]
async fn trailers_pass_to_the_service_too() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(port, listener.local_addr().unwrap())]).await, []);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}Trailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nx-sum: 42\r\n\r\n",
        token()
    );
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_until(&mut stream, "x-sum: 42\r\n\r\n").await;
        stream.write_all(ok("", "").as_bytes()).await.unwrap();
        request
    };
    let (answer, request) = tokio::join!(talk(port, &request), serving);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(request.contains("trailer: x-sum\r\n") && request.contains("2\r\nok\r\n"), "{request}");
}

#[tokio::test]
async fn an_upload_waits_for_its_reader_and_arrives_whole() {
    const SIZE: usize = 48 << 20;
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(port, listener.local_addr().unwrap())]).await, []);
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\nConnection: close\r\n{}\r\n",
        token()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut service, _) = listener.accept().await.unwrap();
    read_until(&mut service, "\r\n\r\n").await;
    // The service does not read: the upload fills only the buffers on the way.
    let (block, mut sent) = (vec![7; 64 << 10], 0);
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), client.write(&block)).await {
        sent += written.unwrap();
        assert!(sent < SIZE * 3 / 4, "all of it was taken, though the service does not read");
    }
    let (mut answer, mut client) = client.into_split();
    let sending = async {
        while sent < SIZE {
            let rest = block.len().min(SIZE - sent);
            sent += client.write(&block[..rest]).await.unwrap();
        }
    };
    let reading = async {
        let mut received = 0;
        let mut buffer = vec![0; 1 << 20];
        // `read_until` may have taken the first bytes of the body.
        while received < SIZE - (8 << 10) {
            let read = service.read(&mut buffer).await.unwrap();
            assert!(read > 0 && buffer[..read].iter().all(|byte| *byte == 7), "{received}");
            received += read;
        }
        service.write_all(ok("", "done").as_bytes()).await.unwrap();
        let mut text = String::new();
        answer.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("done"), "{text}");
    };
    tokio::time::timeout(Duration::from_secs(50), async { tokio::join!(sending, reading) }).await.unwrap();
}

#[tokio::test]
async fn requests_are_logged_only_on_request_and_without_secrets() {
    let settings = Settings { access_log: true, ..Settings::default() };
    let world = World::configured(credentials(), settings).await;
    let cookie = world.cookie().await;
    let headers = format!("{}Cookie: {cookie}; sid=own\r\n", basic(USER, PASSWORD));
    assert_eq!(
        get(world.port, &format!("/a/b?token={TOKEN}&key=of-the-service"), &headers).await.status,
        200
    );
    assert_eq!(get(world.port, "/x", "").await.status, 401);
    let lines = async {
        loop {
            let lines = world.logs.tail("gateway", 100);
            if lines.len() >= 3 {
                return lines.iter().map(|line| line.text.to_string()).collect::<Vec<_>>();
            }
            tokio::task::yield_now().await;
        }
    };
    let lines = tokio::time::timeout(Duration::from_secs(10), lines).await.unwrap();
    let start = format!("127.0.0.1 :{} GET /a/b 200 7 B ", world.port);
    assert!(lines.iter().any(|line| line.starts_with(&start) && line.ends_with(" ms")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("GET /x 401 ")), "{lines:?}");
    let all = lines.concat();
    for secret in [TOKEN, PASSWORD, "of-the-service", "sid=", cookie.split('=').nth(1).unwrap(), "?"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    let shown = get(world.pages, "/api/logs/gateway", &token()).await;
    assert!(shown.body.contains("GET /a/b 200"), "{}", shown.body);
    let world = World::new().await;
    get(world.port, "/a", &token()).await;
    world.logs.push("desktopd", "the daemon's own");
    let shown = get(world.pages, "/api/logs/gateway", &token()).await;
    assert!(shown.body.contains("the daemon's own"), "{}", shown.body);
    assert_eq!(world.logs.tail("gateway", 1), []);
}
