//! A service that speaks neither HTTP nor WebSocket, behind the gateway: the WebSocket bridge, the files beside it, and
//! Unix sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use desktopd::observe::UnitState;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::gateway::websocket::{Desk, SOON, bridged, end_of, handshake, next, token};
use crate::gateway::world::{ask, get, read_until, talk, unit};

#[tokio::test]
async fn only_a_client_with_a_login_reaches_the_server() {
    let desk = Desk::new().await;
    let cookie = format!("Cookie: {}\r\n", desk.cookie().await);
    let cases = [
        (handshake("/websockify", ""), 401),
        (handshake("/websockify", "Authorization: Bearer wrong\r\n"), 401),
        (handshake("/websockify", &format!("{cookie}Origin: https://evil.example\r\n")), 403),
        (handshake("/websockify", &cookie), 403),
        (handshake("/websockify", &format!("{}Origin: https://evil.example\r\n", token())), 403),
        (handshake("/other", &token()), 404),
        (handshake("/websockify/", &token()), 404),
        (handshake("/websockify", &token()).replace("Version: 13", "Version: 8"), 426),
        (handshake("/websockify", &token()).replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 426),
        (handshake("/websockify", &token()).replace("GET ", "POST "), 426),
        // An ambiguous upgrade is no upgrade, whatever its Origin.
        (handshake("/websockify", &format!("{cookie}Origin: https://evil.example\r\nUpgrade: h2c\r\n")), 426),
    ];
    for (raw, status) in cases {
        let answer = talk(desk.port, &raw).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{raw}\n{answer}");
    }
    let plain = get(desk.port, "/websockify", &token()).await;
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")), "{}", plain.head);
    let none = tokio::time::timeout(Duration::from_millis(50), desk.server.accept()).await;
    assert!(none.is_err(), "the service received something");
    let own = format!("{cookie}Origin: http://desk:6200\r\n");
    desk.open(&own).await;
}

#[tokio::test]
async fn bytes_arrive_as_they_were_sent_both_ways() {
    let desk = Desk::new().await;
    let (client, service) = desk.open(&token()).await;
    let sent: Vec<u8> = (0..5_000_003u32).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect();
    let (mut from_service, mut to_service) = service.into_split();
    let (mut to_client, mut from_client) = client.split();
    let uploads = async {
        // Boundaries of messages have no meaning, also where a message is empty.
        for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000].into_iter().cycle().scan(0, |at, size| {
            let from = *at;
            *at += size;
            (from < sent.len()).then(|| (from, (from + size).min(sent.len())))
        }) {
            to_client.send(Message::binary(sent[size.0..size.1].to_vec())).await.unwrap();
        }
        to_client.send(Message::Ping("still there".into())).await.unwrap();
    };
    let arrives = async {
        let mut got = vec![0; sent.len()];
        from_service.read_exact(&mut got).await.unwrap();
        assert!(got == sent, "the uploaded file is different");
    };
    let downloads = async {
        to_service.write_all(&sent).await.unwrap();
    };
    let comes_back = async {
        let (mut got, mut pong) = (Vec::new(), false);
        while got.len() < sent.len() || !pong {
            match from_client.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => got.extend_from_slice(&bytes),
                Message::Pong(bytes) => pong = &bytes[..] == b"still there",
                other => panic!("{other:?}"),
            }
        }
        assert!(got == sent, "the downloaded file is different");
    };
    let all = async { tokio::join!(uploads, arrives, downloads, comes_back) };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("both ways at once");
}

#[tokio::test]
async fn the_end_of_either_side_ends_the_other() {
    let desk = Desk::new().await;
    let (mut client, mut service) = desk.open(&token()).await;
    client.send(Message::binary("last")).await.unwrap();
    client.close(None).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, service.read_to_end(&mut rest)).await.expect("an end").unwrap();
    assert_eq!(rest, b"last");
    assert_eq!(end_of(&mut client).await, None);

    let (client, mut service) = desk.open(&token()).await;
    drop(client);
    let ended = tokio::time::timeout(SOON, service.read_to_end(&mut rest)).await;
    ended.expect("a browser that went without a word has gone too").unwrap();

    let (mut client, mut service) = desk.open(&token()).await;
    service.write_all(b"bye").await.unwrap();
    drop(service);
    // The service does not read from this connection any more.
    client.send(Message::binary("are you there?")).await.unwrap();
    assert_eq!(next(&mut client).await, Some(Message::binary("bye")));
    assert_eq!(end_of(&mut client).await, Some(CloseCode::Normal));
}

#[tokio::test]
async fn protocol_errors_end_the_connection() {
    let desk = Desk::new().await;
    let large = Message::binary(vec![0; 1024 * 1024 + 1]);
    for (message, expected) in [(Message::text("text"), CloseCode::Unsupported), (large, CloseCode::Size)] {
        let (mut client, mut service) = desk.open(&token()).await;
        // The other end may have closed before all of it is sent.
        let _ = client.send(message).await;
        assert_eq!(end_of(&mut client).await, Some(expected));
        assert_eq!(service.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
    let (client, mut service) = desk.open(&token()).await;
    let mut stream = client.into_inner();
    // A binary frame without a mask.
    stream.write_all(b"\x82\x03abc").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end").unwrap();
    assert_eq!(answer[..1], [0x88], "a close frame");
    assert_eq!(answer[2..4], 1002_u16.to_be_bytes());
    assert_eq!(service.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_slow_side_slows_the_other_one_down() {
    // Far more than two sockets and the gateway's buffers hold, far less than a program without a limit would take.
    const MUCH: usize = 16 << 20;
    let desk = Desk::new().await;
    let (mut client, mut service) = desk.open(&token()).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pour = tokio::spawn(async move {
        while service.write_all(&vec![7; 64 * 1024]).await.is_ok() {
            counter.fetch_add(64 * 1024, Ordering::Relaxed);
        }
    });
    let stuck = settled(&taken).await;
    assert!(stuck < MUCH, "{stuck} bytes for a browser that reads nothing");
    let mut read = 0;
    while read < MUCH {
        read += next(&mut client).await.expect("it goes on when it is read").len();
    }
    pour.abort();

    let (mut client, mut service) = desk.open(&token()).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pour = tokio::spawn(async move {
        while client.send(Message::binary(vec![7; 64 * 1024])).await.is_ok() {
            counter.fetch_add(64 * 1024, Ordering::Relaxed);
        }
    });
    let stuck = settled(&taken).await;
    assert!(stuck < MUCH, "{stuck} bytes for a service that reads nothing");
    service.read_exact(&mut vec![0; MUCH]).await.unwrap();
    pour.abort();
}

/// The count when it no longer grows.
async fn settled(count: &AtomicUsize) -> usize {
    let mut last = usize::MAX;
    loop {
        let now = count.load(Ordering::Relaxed);
        if now == last && now > 0 {
            return now;
        }
        last = now;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn a_bridge_ends_with_its_session() {
    let desk = Desk::new().await;
    let (cookie, other) = (desk.cookie().await, desk.cookie().await);
    let own = |cookie: &str| format!("Cookie: {cookie}\r\nOrigin: http://desk:6200\r\n");
    let (mut ended, mut service) = desk.open(&own(&cookie)).await;
    let (mut kept, mut kept_service) = desk.open(&own(&other)).await;
    let headers = format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{}\r\n", desk.port);
    assert_eq!(ask(desk.port, "POST", "/desktopd/logout", &headers, "").await.status, 303);
    assert_eq!(end_of(&mut ended).await, Some(CloseCode::Away));
    assert_eq!(service.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    kept_service.write_all(b"still").await.unwrap();
    assert_eq!(next(&mut kept).await, Some(Message::binary("still")));
    desk.world.auth.close_all();
    assert_eq!(end_of(&mut kept).await, Some(CloseCode::Away));
}

#[tokio::test]
async fn the_binary_subprotocol_is_taken_where_it_is_offered() {
    let desk = Desk::new().await;
    for (offer, answer) in [("binary", true), ("base64, binary", true), ("base64", false)] {
        let mut stream = TcpStream::connect(("127.0.0.1", desk.port)).await.unwrap();
        let headers = format!("{}Sec-WebSocket-Protocol: {offer}\r\n", token());
        stream.write_all(handshake("/websockify", &headers).as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        assert_eq!(head.contains("sec-websocket-protocol: binary\r\n"), answer, "{offer}: {head}");
    }
}

#[tokio::test]
async fn pages_are_served_beside_it_and_nothing_else_is() {
    let desk = Desk::new().await;
    assert_eq!(get(desk.port, "/vnc.html", "").await.status, 401);
    let entry = get(desk.port, "/", &token()).await;
    assert_eq!((entry.status, &*entry.location()), (303, "/vnc.html?autoconnect=true&path=websockify"));
    let page = get(desk.port, "/vnc.html?autoconnect=true", &token()).await;
    assert_eq!((page.status, &*page.body), (200, "<p>pages</p>"), "{}", page.head);
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let since = format!("{}If-Modified-Since: {}\r\n", token(), page.header("last-modified").unwrap());
    assert_eq!(get(desk.port, "/vnc.html", &since).await.status, 304);
    let script = get(desk.port, "/rfb.js", &token()).await;
    assert_eq!(script.header("content-type"), Some("text/javascript"), "browsers refuse modules else");
    assert_eq!(script.header("x-content-type-options"), Some("nosniff"));
    let head = ask(desk.port, "HEAD", "/rfb.js", &token(), "").await;
    assert_eq!((head.status, &*head.body), (200, ""), "{}", head.head);
    let post = ask(desk.port, "POST", "/rfb.js", &token(), "x").await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/none", "/%2fetc/passwd", "/vnc.html/.."] {
        let answer = get(desk.port, path, &token()).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_waiting_page_replaces_a_server_that_is_not_ready() {
    let desk = Desk::new().await;
    desk.world.observer.update(|snapshot| {
        snapshot.units = vec![unit("selkies", UnitState::Starting, "waiting for its socket")];
    });
    let page = get(desk.port, "/", &format!("{}Accept: text/html\r\n", token())).await;
    assert_eq!(page.status, 502, "{}", page.head);
    assert!(page.body.contains("is starting") && page.body.contains("waiting for its socket"));
    assert!(talk(desk.port, &handshake("/websockify", &token())).await.starts_with("HTTP/1.1 503 "));
    desk.world.observer.update(|snapshot| snapshot.units[0].state = UnitState::Ready);
    desk.open(&token()).await;
}

#[tokio::test]
async fn http_works_through_a_unix_socket_too() {
    let desk = Desk::with(None).await;
    let serve = async {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nservice",
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello",
        ] {
            let mut stream = desk.accept().await;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut head).await.unwrap() > 0);
            }
            assert!(head.starts_with(b"GET /a?b HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let visit = async {
        let answer = get(desk.port, "/a?b", &token()).await;
        assert_eq!((answer.status, &*answer.body), (200, "service"));
        let mut stream = TcpStream::connect(("127.0.0.1", desk.port)).await.unwrap();
        stream.write_all(handshake("/a?b", &token()).as_bytes()).await.unwrap();
        read_until(&mut stream, "hello").await;
    };
    tokio::join!(serve, visit);
}

#[tokio::test]
async fn a_socket_of_another_user_counts_as_not_listening() {
    let desk = Desk::new().await;
    let socket = |path: &Path, owner| bridged(desk.port, path.to_owned(), owner, None);
    let path = desk.folder.path().join("vnc.sock");
    let stranger = nix::unistd::getuid().as_raw() + 1;
    for route in [socket(&path, stranger), socket(&desk.folder.path().join("none"), 0)] {
        assert_eq!(desk.world.gateway.set_routes(&[route]).await, []);
        let answer = get(desk.port, "/", &token()).await;
        assert_eq!(answer.status, 502, "{}", answer.head);
        assert!(answer.body.contains("does not answer"), "{}", answer.body);
    }
}
