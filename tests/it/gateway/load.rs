//! Many, slow and large requests: they do not block other clients, and they leave no open descriptors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::time::Duration;

use crate::gateway::upstream::{Upstream, before, send, statuses, token};
use crate::gateway::world::{World, free_port, read_until, route};
use futures_util::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SLOW: usize = 200;

/// The number of connections to services that may stay open for the next request.
const KEPT: usize = SLOW / 4;

async fn slow(port: u16, count: usize, beginning: &str) -> Vec<TcpStream> {
    let connecting = (0..count).map(|_| async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        stream
    });
    join_all(connecting).await
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{}Connection: close\r\n{headers}\r\n", token())
}

/// Raises the limit of descriptors: one address gets a share of them, here enough for all clients.
fn make_room() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
}

/// Waits until this process has at most this number of descriptors open.
async fn descriptors(most: usize) {
    let waiting = async {
        while open() > most {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(done.is_ok(), "{} descriptors are open, {most} were", open());
}

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn slow_heads_and_bodies_do_not_block_other_clients() {
    make_room();
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    let warm = get("/", "");
    assert_eq!(statuses(&send(port, &warm).await), [200]);
    let before = open();
    let head = format!("GET /slow HTTP/1.1\r\nHost: a\r\n{}X: ", token());
    let body = format!("POST /slow HTTP/1.1\r\nHost: a\r\n{}Content-Length: 1000\r\n\r\n", token());
    let chunks =
        format!("POST /slow HTTP/1.1\r\nHost: a\r\n{}Transfer-Encoding: chunked\r\n\r\nff\r\n", token());
    let form =
        "POST /desktopd/login HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nContent-Length: 100\r\n\r\nuser=";
    for beginning in ["", "G", &head, &body, &chunks, form] {
        let mut busy = slow(port, SLOW, beginning).await;
        for round in 0..3 {
            let asking = (0..10).map(|_| send(port, &warm));
            for answer in join_all(asking).await {
                assert_eq!(statuses(&answer), [200], "{beginning:?}");
            }
            assert_eq!(statuses(&send(world.pages, get("/api/status", "")).await), [200]);
            // The slow clients still send.
            for stream in busy.iter_mut().filter(|_| !beginning.is_empty() && round < 2) {
                stream.write_all(b"x").await.unwrap();
            }
        }
        drop(busy);
        descriptors(before + KEPT).await;
    }
    let requests: Vec<_> = upstream.came().into_iter().map(|came| format!("{came:?}")).collect();
    assert!(requests.iter().all(|came| !came.contains("/slow") || came.starts_with("Rest")), "{requests:?}");
}

#[tokio::test]
async fn slow_readers_do_not_block_other_clients() {
    make_room();
    let large: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n{}", "x".repeat(4_000_000))
            .into_boxed_str(),
    );
    let upstream = Upstream::start(&[("/large", large)]).await;
    let (_world, port) = before(&upstream).await;
    let warm = get("/", "");
    assert_eq!(statuses(&send(port, &warm).await), [200]);
    let before = open();
    let mut busy = slow(port, SLOW / 4, &get("/large", "")).await;
    for stream in &mut busy {
        read_until(stream, "HTTP/1.1 200").await;
    }
    assert_eq!(statuses(&send(port, &warm).await), [200]);
    let mut one = busy.pop().unwrap();
    let mut count = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match tokio::time::timeout(Duration::from_secs(10), one.read(&mut buffer)).await.unwrap().unwrap() {
            0 => break,
            read => count += read,
        }
    }
    assert!(count >= 3_900_000, "{count} bytes of a slow reader's answer");
    drop((busy, one));
    descriptors(before + KEPT).await;
}

#[tokio::test]
async fn heads_up_to_their_limit_pass_whole() {
    const LIMIT: usize = 64 * 1024;
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    // The size is in many headers, in one header, and in the request target.
    let bare = get("/", "X: ").len();
    for size in [LIMIT - 1000, LIMIT - 64, LIMIT - 1, LIMIT] {
        let filler = "x".repeat(size - bare - 2);
        let raw = get("/", &format!("X: {filler}\r\n"));
        assert_eq!(raw.len(), size);
        let answer = send(port, &raw).await;
        // At the very limit the parser may want one byte more.
        if size < LIMIT {
            assert_eq!(statuses(&answer), [200], "{size}");
            assert!(upstream.only().contains(&filler), "{size}");
        }
        upstream.requests();
    }
    let many = format!("X-Header: {}\r\n", "y".repeat(600)).repeat(90);
    assert_eq!(statuses(&send(port, get("/", &many)).await), [200]);
    assert_eq!(upstream.only().matches("x-header: ").count(), 90);
    let long = format!("/{}", "z".repeat(60_000));
    assert_eq!(statuses(&send(port, get(&long, "")).await), [200]);
    assert!(upstream.only().starts_with(&format!("GET {long} ")));
    for (path, headers, status) in [
        ("/", format!("X: {}\r\n", "x".repeat(LIMIT)), [431]),
        ("/", format!("X: {}\r\n", "x".repeat(10 * LIMIT)), [431]),
        ("/", format!("X: {}\r\n", "x".repeat(500)).repeat(150), [431]),
        ("/", "X: \r\n".repeat(20_000), [431]),
        ("/", "X: \r\n".repeat(1000), [431]),
        (&format!("/{}", "z".repeat(LIMIT)), String::new(), [431]),
        (&format!("/{}", "z".repeat(LIMIT - 200)), String::new(), [200]),
    ] {
        for at in [port, world.pages] {
            let answer = send(at, get(path, &headers)).await;
            let expected = if at == world.pages && status == [200] { [404] } else { status };
            assert_eq!(statuses(&answer), expected, "{} bytes", headers.len() + path.len());
        }
        assert_eq!(upstream.requests().len(), usize::from(status == [200]));
    }
}

#[tokio::test]
async fn a_service_that_does_not_listen_leaves_no_open_connections() {
    make_room();
    let world = World::new().await;
    let (port, upstream) = (free_port().await, free_port().await);
    assert_eq!(world.gateway.set_routes(&[route(port, ([127, 0, 0, 1], upstream).into())]).await, []);
    let page = get("/", "Accept: text/html\r\n");
    let upgrade =
        get("/ws", "").replace("Connection: close\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(statuses(&send(port, &page).await), [502]);
    let before = open();
    for _ in 0..10 {
        let asking = (0..100).map(|number| {
            let (page, upgrade) = (&page, &upgrade);
            async move {
                let (raw, kind, status) = match number % 4 {
                    0 => (page.clone(), "text/html", 502),
                    1 => (get("/api", ""), "application/json", 502),
                    2 => (
                        page.replacen("GET", "POST", 1)
                            .replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\nabcdefghi"),
                        "text/html",
                        502,
                    ),
                    _ => (upgrade.clone(), "application/json", 503),
                };
                let answer = send(port, &raw).await;
                assert_eq!(statuses(&answer), [status], "{raw:?} got {answer}");
                assert!(answer.contains(&format!("content-type: {kind}")), "{raw:?} got {answer}");
                assert!(answer.contains("Desktop"), "{answer}");
            }
        });
        join_all(asking).await;
    }
    descriptors(before + KEPT).await;
    // The service listens again, and answers at once.
    let listener = TcpListener::bind(("127.0.0.1", upstream)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nback").await.unwrap();
        }
    });
    assert!(send(port, &page).await.ends_with("back"));
}

#[tokio::test]
async fn a_silent_service_delays_only_its_own_clients() {
    make_room();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::start(&[]).await;
    let world = World::new().await;
    let (mute, port) = (free_port().await, free_port().await);
    let routes = [route(mute, silent.local_addr().unwrap()), route(port, upstream.address)];
    assert_eq!(world.gateway.set_routes(&routes).await, []);
    assert_eq!(statuses(&send(port, get("/", "")).await), [200]);
    let before = open();
    let waiting = slow(mute, SLOW, &get("/", "")).await;
    let mut accepted = Vec::new();
    for _ in 0..SLOW {
        accepted.push(silent.accept().await.unwrap());
    }
    assert_eq!(statuses(&send(port, get("/", "")).await), [200]);
    // A client that stops waiting frees the service's connection too.
    drop(waiting);
    for (mut stream, _) in accepted {
        let mut request = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut request)).await;
        ended.expect("the connection to the service stays open").unwrap();
    }
    descriptors(before + KEPT).await;
}
