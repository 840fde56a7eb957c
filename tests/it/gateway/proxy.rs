//! Proxying: what passes to a service and back, and what does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::time::Duration;

use crate::gateway::world::{
    PASSWORD, Response, TOKEN, USER, World, ask, basic, free_port, get, log_in, read_until, route, talk,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn token() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: desk:6100\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: key\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn requests_arrive_with_the_right_headers() {
    let world = World::new().await;
    let headers = format!(
        "{}Host: desk:6100\r\nX-Forwarded-For: 1.2.3.4\r\nX_Real_Ip: 1.2.3.4\r\nTE: trailers\r\nAccept: */*\r\n",
        token()
    );
    let response = get(world.port, "/a%2fb?c=%20d", &headers).await;
    assert_eq!((response.status, &*response.body), (200, "service"));
    let head = world.service.last();
    assert!(head.starts_with("GET /a%2fb?c=%20d HTTP/1.1\r\n"), "{head}");
    for line in [
        "host: desk:6100",
        "x-forwarded-for: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: desk:6100",
        "accept: */*",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
    assert!(!head.contains("1.2.3.4"), "{head}");
    let http10 = format!("GET / HTTP/1.0\r\n{}\r\n", token());
    assert_eq!(Response::parse(&talk(world.port, &http10).await).status, 200);
    assert!(world.service.last().starts_with("GET / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn answers_lose_headers_that_are_not_for_the_client() {
    let world = World::new().await;
    let cookie = world.cookie().await;
    let name = cookie.split('=').next().unwrap();
    let response = get(world.port, "/cookies", &format!("Cookie: {cookie}\r\nX-Name: {name}\r\n")).await;
    assert_eq!(response.status, 200);
    let cookies: Vec<_> = response.head.lines().filter(|line| line.starts_with("set-cookie")).collect();
    assert_eq!(cookies, ["set-cookie: sid=1"]);
    assert_eq!(response.header("x-hop"), None);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = format!("GET /events HTTP/1.1\r\nHost: a\r\n{}\r\n", token());
    stream.write_all(head.as_bytes()).await.unwrap();
    // The service has not finished, and never will.
    read_until(&mut stream, "first").await;

    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: a\r\n{}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    // The head arrives before the body.
    let arrived = async {
        while !world.service.last().starts_with("POST /upload") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), arrived).await.unwrap();
    stream.write_all(b"3\r\nabc\r\n0\r\n\r\n").await.unwrap();
    let answer = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(answer.contains("3\r\nabc\r\n"), "{answer}");
}

#[tokio::test]
async fn trailers_pass_to_the_client() {
    let world = World::new().await;
    let answer = ask(world.port, "GET", "/trailers", &format!("{}TE: trailers\r\n", token()), "").await;
    assert!(answer.body.contains("x-sum: 42"), "{} {}", answer.head, answer.body);
}

#[tokio::test]
async fn broken_services_are_a_bad_gateway() {
    let world = World::new().await;
    for path in ["/broken", "/unasked"] {
        assert_eq!(get(world.port, path, &token()).await.status, 502, "{path}");
    }
    assert_eq!(get(world.port, "/", &token()).await.status, 200);
}

#[tokio::test]
async fn upgraded_connections_carry_both_ways_and_lose_nothing() {
    let world = World::new().await;
    let cookie = world.cookie().await;
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    // Early: before the answer, in the same packet as the request.
    let raw = upgrade("/ws", &format!("Origin: http://desk:6100\r\nCookie: {cookie}\r\n")) + "early ";
    stream.write_all(raw.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "hello early ").await;
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("sec-websocket-accept: yes"), "{answer}");
    let head = world.service.last();
    for line in ["host: desk:6100", "origin: http://desk:6100", "upgrade: websocket", "connection: Upgrade"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
    assert!(!head.contains("cookie"), "{head}");
    let large = "x".repeat(1 << 20);
    let (mut read, mut write) = stream.split();
    let mut echoed = vec![0; large.len()];
    let (sent, received) = tokio::join!(write.write_all(large.as_bytes()), read.read_exact(&mut echoed));
    sent.unwrap();
    received.unwrap();
    assert!(echoed == large.as_bytes());
}

#[tokio::test]
async fn a_refused_upgrade_ends_the_connection() {
    let world = World::new().await;
    let smuggled = format!("GET /smuggled HTTP/1.1\r\nHost: a\r\n{}\r\n", token());
    for raw in [
        upgrade("/no", &token()) + &smuggled,
        // Requests on an upgraded h2c connection would not be checked: the `Upgrade` header is not passed on.
        upgrade("/ws", &token()).replace("websocket\r\n", "h2c\r\n") + &smuggled,
        upgrade("/ws", &format!("{}Content-Length: 5\r\n", token())) + "hello",
        upgrade("/ws", "") + &smuggled,
    ] {
        let answer = talk(world.port, &raw).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(!answer.contains(" 101 ") || answer.contains(" 502 "), "{answer}");
    }
    assert!(world.service.requests().iter().all(|head| !head.contains("smuggled") && !head.contains("h2c")));
}

async fn upgraded(world: &World, cookie: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let raw = upgrade("/ws", &format!("Origin: http://desk:6100\r\nCookie: {cookie}\r\n"));
    stream.write_all(raw.as_bytes()).await.unwrap();
    read_until(&mut stream, "hello ").await;
    stream
}

#[tokio::test]
async fn upgraded_connections_and_streams_end_with_their_session() {
    let world = World::new().await;
    let (cookie, other) = (world.cookie().await, world.cookie().await);
    let mut ended = upgraded(&world, &cookie).await;
    let mut kept = upgraded(&world, &other).await;
    let mut events = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = format!("GET /events HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n");
    events.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut events, "first").await;
    let headers = format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{}\r\n", world.port);
    assert_eq!(ask(world.port, "POST", "/desktopd/logout", &headers, "").await.status, 303);
    let mut rest = Vec::new();
    let closed = async { (ended.read_to_end(&mut rest).await, events.read_to_end(&mut Vec::new()).await) };
    tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .expect("both should have been closed")
        .0
        .unwrap();
    kept.write_all(b"still").await.unwrap();
    read_until(&mut kept, "still").await;
    world.auth.close_all();
    let closed = tokio::time::timeout(Duration::from_secs(5), kept.read_to_end(&mut rest)).await;
    closed.expect("all should have been closed").unwrap();
}

#[tokio::test]
async fn an_upload_ends_with_its_session() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port().await;
    let route = route(port, listener.local_addr().unwrap());
    assert_eq!(world.gateway.set_routes(&[route]).await, []);
    let cookie = log_in(port, USER, PASSWORD, "/").await.cookie();
    let headers = format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{port}\r\n");
    let mut upload = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "POST /shell HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    let (mut service, _) = listener.accept().await.unwrap();
    read_until(&mut service, "first").await;
    assert_eq!(ask(port, "POST", "/desktopd/logout", &headers, "").await.status, 303);
    // The service, which has not answered yet, gets no more bytes.
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), service.read_to_end(&mut rest)).await;
    let _ = closed.expect("the request should have ended");
    assert_eq!(rest, b"");
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), upload.read_to_end(&mut answer)).await;
    let _ = closed.expect("the connection should have ended");
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{:?}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn an_answer_after_the_end_of_its_session_is_dropped() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port().await;
    assert_eq!(world.gateway.set_routes(&[route(port, listener.local_addr().unwrap())]).await, []);
    let (ended, kept) =
        (log_in(port, USER, PASSWORD, "/").await.cookie(), log_in(port, USER, PASSWORD, "/").await.cookie());
    let mut answers = Vec::new();
    for cookie in [&ended, &kept] {
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let head = format!("GET /poll HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut service, _) = listener.accept().await.unwrap();
        read_until(&mut service, "\r\n\r\n").await;
        let headers = format!("Cookie: {ended}\r\nOrigin: http://127.0.0.1:{port}\r\n");
        assert_eq!(ask(port, "POST", "/desktopd/logout", &headers, "").await.status, 303);
        service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answers.push((answer[9..12].to_owned(), answer.contains("secret")));
    }
    assert_eq!(answers, [("503".to_owned(), false), ("200".to_owned(), true)]);
}

#[tokio::test]
async fn shutdown_closes_all_connections_soon() {
    let world = World::new().await;
    let mut upgraded = upgraded(&world, &world.cookie().await).await;
    let mut events = TcpStream::connect(("127.0.0.1", world.pages)).await.unwrap();
    let head = format!("GET /api/status/stream HTTP/1.1\r\nHost: a\r\n{}\r\n", basic(USER, PASSWORD));
    events.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut events, "snapshot").await;
    let idle = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    world.stop.cancel();
    let before = std::time::Instant::now();
    world.gateway.drained().await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    let _ = tokio::time::timeout(Duration::from_secs(1), upgraded.read(&mut [0; 10])).await.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", world.port)).await.is_err());
    drop(idle);
}
