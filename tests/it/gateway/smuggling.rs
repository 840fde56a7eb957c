//! Request smuggling: requests that two programs could read in different ways. Each case checks the client's answer and
//! the service's input: nothing, or one request without ambiguity.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use crate::gateway::upstream::{Came, Upstream, before, rest, send, statuses, token};
use crate::gateway::world::{World, read_until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(headers: &str, body: &str) -> String {
    format!("POST /outer HTTP/1.1\r\nHost: a\r\n{}{headers}\r\n{body}", token())
}

/// The whole request is refused, the bytes after it are not read, and the service receives nothing.
async fn refused(world: &World, port: u16, upstream: &Upstream, raw: &str) {
    for at in [port, world.pages] {
        let answer = send(at, raw).await;
        // The parser itself answers an impossible body length.
        let status = if raw.contains("18446744073709551615") { 431 } else { 400 };
        assert_eq!(statuses(&answer), [status], "{raw:?} got {answer:?}");
    }
    assert_eq!(upstream.requests(), [], "{raw:?}");
}

#[tokio::test]
async fn two_lengths_are_refused() {
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    let length = SMUGGLED.len();
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    for (headers, body) in [
        // CL.TE and TE.CL
        (format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", chunked.len()), &*chunked),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", chunked.len()), &chunked),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n".into(),
            &format!("{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        ),
        ("Transfer-Encoding: chunked\r\nContent-Length: x\r\n".into(), &chunked),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\nContent-Length: 9\r\n".into(), &chunked),
        // TE.TE
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".into(), &chunked),
        ("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n".into(), &chunked),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".into(), &chunked),
        ("Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n".into(), &chunked),
        ("Transfer-Encoding: identity, chunked\r\n".into(), &chunked),
        ("Transfer-Encoding: gzip, chunked\r\n".into(), &chunked),
        ("Transfer-Encoding: chunked, identity\r\n".into(), &chunked),
        ("Transfer-Encoding: xchunked\r\n".into(), &chunked),
        ("Transfer-Encoding: identity\r\n".into(), &chunked),
        ("Transfer-Encoding:\r\n".into(), &chunked),
        ("Transfer-Encoding: \u{b}chunked\r\n".into(), &chunked),
        ("Transfer-Encoding: \"chunked\"\r\n".into(), &chunked),
        ("Transfer-Encoding : chunked\r\n".into(), &chunked),
        ("X: y\r\n Transfer-Encoding: chunked\r\n".into(), &chunked),
        ("Transfer-Encoding:\r\n chunked\r\n".into(), &chunked),
        ("X: y\nTransfer-Encoding: chunked\r\n".into(), &chunked),
        ("X: y\rTransfer-Encoding: chunked\r\n".into(), &chunked),
        // CL.CL
        (format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"), SMUGGLED),
        (format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), SMUGGLED),
        (format!("Content-Length: {length}\r\ncontent-length: 0\r\n"), SMUGGLED),
        (format!("Content-Length: {length}, {length}\r\n"), SMUGGLED),
        (format!("Content-Length: {length}\nX: y\r\n"), SMUGGLED),
        (format!("Content-Length: +{length}\r\n"), SMUGGLED),
        (format!("Content-Length: 0{length}\r\n"), SMUGGLED),
        (format!("Content-Length: {length}_0\r\n"), SMUGGLED),
        (format!("Content-Length : {length}\r\n"), SMUGGLED),
        (format!("Content-Length: 0\r\n {length}\r\n"), SMUGGLED),
        ("Content-Length: -1\r\n".into(), SMUGGLED),
        ("Content-Length: 0x10\r\n".into(), SMUGGLED),
        ("Content-Length: 18446744073709551615\r\n".into(), SMUGGLED),
        ("Content-Length: 18446744073709551616\r\n".into(), SMUGGLED),
        ("Content-Length:\r\n".into(), SMUGGLED),
    ] {
        refused(&world, port, &upstream, &post(&headers, body)).await;
    }
    let old =
        post("Transfer-Encoding: chunked\r\n", &chunked).replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost");
    refused(&world, port, &upstream, &old).await;
}

#[tokio::test]
async fn malformed_heads_are_refused() {
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    let auth = token();
    for raw in [
        format!("GET / HTTP/1.1\nHost: a\n{}\n", auth.replace("\r\n", "\n")),
        format!("GET / HTTP/1.1\r\nHost: a\n{auth}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}\n{SMUGGLED}"),
        format!("\nGET / HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}X: a\rGET /smuggled HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}X: a\r\r\n\r\n{SMUGGLED}"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}X: \0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}X\0: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}X: a\r\n folded\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n Host: a\r\n{auth}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}X\r\n\r\n"),
        format!("GET  / HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET /  HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET /\tHTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET /a b HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET / HTTP/1.1 \r\nHost: a\r\n{auth}\r\n"),
        format!("GET / HTTP/1.2\r\nHost: a\r\n{auth}\r\n"),
        format!("GET / HTTP/3.0\r\nHost: a\r\n{auth}\r\n"),
        format!("GET / HTTP/1.1\rHost: a\r\n{auth}\r\n"),
        format!("GET /\0 HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET /\u{7f} HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET /#fragment HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("G@T / HTTP/1.1\r\nHost: a\r\n{auth}\r\n"),
        format!("GET\r\n\r\n{SMUGGLED}"),
    ] {
        refused(&world, port, &upstream, &raw).await;
    }
}

#[tokio::test]
async fn a_request_before_a_bad_one_is_answered() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    let good = format!("GET /good HTTP/1.1\r\nHost: a\r\n{}\r\n", token());
    let whole = post("Content-Length: 4\r\n", "\n\n\n\n");
    let bad = post("Content-Length: 4\r\nContent-Length: 4\r\n", "body");
    let stream = format!("{good}{whole}{good}{bad}{good}");
    let answer = send(port, &stream).await;
    assert_eq!(statuses(&answer), [200, 200, 200, 400], "{answer}");
    let bodies: Vec<_> = upstream.requests().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["", "\n\n\n\n", ""]);
    // The same bytes in small pieces.
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.set_nodelay(true).unwrap();
    for piece in stream.as_bytes().chunks(7) {
        // The request may be refused before all of it is sent.
        let _ = client.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(statuses(&rest(&mut client).await), [200, 200, 200, 400]);
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn chunked_bodies_are_encoded_again() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    for (body, arrives) in [
        ("0\r\n\r\n", ""),
        ("3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("003\r\nabc\r\n000\r\n\r\n", "abc"),
        ("3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", "abc"),
        ("3 \r\nabc\r\n0\r\n\r\n", "abc"),
        ("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", "abcdefghijklmnopqrstuvwxyz"),
    ] {
        // Bytes after the chunks are not read, whatever they are.
        let raw = post("Transfer-Encoding: chunked\r\n", body) + SMUGGLED;
        let answer = send(port, &raw).await;
        assert_eq!(statuses(&answer), [200], "{body:?} got {answer:?}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        let requests = upstream.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert_eq!(requests[0].1, arrives, "{body:?}");
        assert!(!requests[0].0.contains("content-length"), "{requests:?}");
    }
}

#[tokio::test]
async fn a_body_is_not_lost_whatever_the_method() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PROPFIND"] {
        for (headers, sent) in
            [("Content-Length: 4\r\n", "body"), ("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n")]
        {
            let raw = post(&format!("{headers}Connection: close\r\n"), sent).replacen("POST", method, 1);
            assert_eq!(statuses(&send(port, raw).await), [200], "{method} {headers}");
            let requests = upstream.requests();
            assert_eq!(requests.len(), 1);
            assert_eq!(requests[0].1, "body", "{method} {headers}");
        }
    }
}

#[tokio::test]
async fn broken_chunks_are_not_a_complete_request() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    for body in [
        "\r\nabc\r\n0\r\n\r\n",
        "x\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX\r\n\r\n",
        "3\r\nabc\r\n0\r\n X: y\r\n\r\n",
        "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
    ] {
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let raw = post("Transfer-Encoding: chunked\r\n", body) + SMUGGLED;
        client.write_all(raw.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let answer = rest(&mut client).await;
        let found = statuses(&answer);
        assert!(found.iter().all(|status| *status >= 400) && found.len() <= 1, "{body:?} got {answer:?}");
    }
    // The service may have received the beginning of some of these requests, but the end of none.
    let good = format!("GET /good HTTP/1.1\r\nHost: a\r\n{}Connection: close\r\n\r\n", token());
    assert_eq!(statuses(&send(port, &good).await), [200]);
    let whole = upstream.came().into_iter().filter(|came| matches!(came, Came::Request { .. }));
    let whole: Vec<_> = whole.collect();
    assert!(
        matches!(&whole[..], [Came::Request { head, .. }] if head.starts_with("GET /good ")),
        "{whole:?}"
    );
}

#[tokio::test]
async fn trailers_never_become_headers() {
    let upstream = Upstream::start(&[]).await;
    let (_world, port) = before(&upstream).await;
    let headers = "Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-sum, host, content-length, authorization, \
                   x-forwarded-for, x_forwarded_for, cookie, transfer-encoding\r\n";
    let body = "1\r\na\r\n0\r\nX-Sum: 42\r\nHost: evil\r\nContent-Length: 5\r\nAuthorization: Basic x\r\n\
                X-Forwarded-For: 1.2.3.4\r\nX_Forwarded_For: 1.2.3.4\r\nCookie: a=b\r\nTransfer-Encoding: x\r\n\
                X-Other: 1\r\n\r\n";
    assert_eq!(statuses(&send(port, post(headers, body)).await), [200]);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].1, "a[x-sum: 42]");
}

#[tokio::test]
async fn bytes_after_a_refused_upgrade_are_not_read() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let upstream = Upstream::start(&[("/ws", switch)]).await;
    let (_world, port) = before(&upstream).await;
    let auth = token();
    let ask = |path: &str, protocol: &str, more: &str| {
        let host = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n");
        format!("{host}Upgrade: {protocol}\r\n{auth}{more}\r\n")
    };
    // The service refuses the upgrade.
    let answer = send(port, ask("/other", "websocket", "") + SMUGGLED).await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(upstream.only().starts_with("GET /other "));
    // Upgrades that never reach the service.
    for raw in [
        ask("/ws", "h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
        ask("/ws", "H2C", ""),
        ask("/ws", "websocket, h2c", ""),
        ask("/ws", "TLS/1.0", ""),
        ask("/ws", "HTTP/2.0", ""),
        ask("/ws", "websocket\r\nUpgrade: h2c", ""),
        ask("/ws", "websocket", "").replace("HTTP/1.1", "HTTP/1.0"),
        ask("/ws", "websocket", "").replace("Connection: Upgrade", "Connection: close"),
    ] {
        let answer = send(port, raw.clone() + SMUGGLED).await;
        assert_eq!(statuses(&answer).len(), 1, "{raw:?} got {answer}");
        assert_ne!(statuses(&answer), [101], "{raw:?}");
        for (head, _) in upstream.requests() {
            let head = head.to_lowercase();
            assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
            assert!(!head.contains("smuggled"), "{head}");
        }
    }
    for raw in [
        ask("/ws", "websocket", "Content-Length: 36\r\n") + SMUGGLED,
        ask("/ws", "websocket", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + SMUGGLED,
    ] {
        assert_eq!(statuses(&send(port, raw).await), [400]);
        assert_eq!(upstream.requests(), []);
    }
}

#[tokio::test]
async fn upgrades_to_other_protocols_are_refused() {
    let upstream = Upstream::start(&[]).await;
    let (world, port) = before(&upstream).await;
    let auth = token();
    for (raw, status) in [
        (format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n{auth}\r\n{SMUGGLED}"), 405),
        (format!("CONNECT /a HTTP/1.1\r\nHost: a:80\r\n{auth}\r\n{SMUGGLED}"), 405),
        (format!("TRACE / HTTP/1.1\r\nHost: a\r\n{auth}Connection: close\r\n\r\n"), 405),
        (format!("OPTIONS * HTTP/1.1\r\nHost: a\r\n{auth}Connection: close\r\n\r\n"), 400),
    ] {
        for at in [port, world.pages] {
            let answer = send(at, &raw).await;
            assert_eq!(statuses(&answer), [status], "{raw:?} got {answer:?}");
            assert!(!answer.contains("t0ken"), "{answer}");
        }
        assert_eq!(upstream.requests(), [], "{raw:?}");
    }
    // HTTP/2 in plain text without an upgrade: understood completely, or not at all.
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let answer = rest(&mut client).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    // The gateway still answers.
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{auth}\r\n").as_bytes()).await.unwrap();
    read_until(&mut client, "service").await;
}
