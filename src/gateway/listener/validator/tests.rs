//! Tests with valid heads, invalid heads, and streams of heads in pieces.

use crate::gateway::limits::{ConnectionLimits, Peer};
use crate::gateway::listener::timeouts::Stalls;
use std::io::Cursor;

use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::*;

fn timeouts() -> ConnectionTimeouts {
    ConnectionTimeouts::new(Stalls::End, ConnectionLimits::of_ports().enter(Peer::User(None)))
}

/// Passes the stream in pieces of these lengths, and the rest at once.
fn validate(stream: &[u8], pieces: &[usize]) -> Verdicts {
    let (mut validator, verdicts) = Validator::new(timeouts());
    let mut rest = stream;
    for piece in pieces {
        let (here, more) = rest.split_at((*piece).min(rest.len()));
        validator.look(here);
        rest = more;
    }
    validator.look(rest);
    verdicts
}

/// The results for this number of requests.
fn verdicts(stream: &[u8], pieces: &[usize], count: usize) -> Vec<Result<Next, &'static str>> {
    let verdicts = validate(stream, pieces);
    (0..count).map(|_| verdicts.next()).collect()
}

fn one(head: &str) -> Result<Next, &'static str> {
    validate(head.as_bytes(), &[]).next()
}

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn valid_heads_are_accepted() {
    for lines in [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.0\r\n",
        "GET /a?b=%20&c=\u{fc} HTTP/1.1\r\nhOST:a:1\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nContent-Length:\t 18446744073709551615 \r\nHost: a\r\n",
        "POST / HTTP/1.0\r\nContent-Length: 10\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\u{fc}\t\r\na_b: c\r\n!#$%&'*+-.^_`|~: 1\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n",
    ] {
        assert_eq!(one(&format!("{lines}\r\n")), Ok(Next::Request), "{lines:?}");
    }
    for lines in [
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:Chunked \r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n",
    ] {
        let stream = format!("{lines}\r\n{GOOD}");
        let found = verdicts(stream.as_bytes(), &[], 3);
        assert_eq!(found[0], Ok(Next::Nothing), "{lines:?}");
        assert!(found[1].is_err() && found[2].is_err(), "{lines:?}");
    }
}

#[test]
fn ambiguous_heads_are_refused() {
    let headers = [
        ("Content-Length: 1\r\nContent-Length: 1", "there is more than one Content-Length"),
        ("Content-Length: 1\r\nContent-Length: 2", "there is more than one Content-Length"),
        ("Content-Length: 1\r\ncontent-length: 1", "there is more than one Content-Length"),
        ("Content-Length: 1, 1", "Content-Length is not a number"),
        ("Content-Length: +1", "Content-Length is not a number"),
        ("Content-Length: -1", "Content-Length is not a number"),
        ("Content-Length: 0x1", "Content-Length is not a number"),
        ("Content-Length: 01", "Content-Length is not a number"),
        ("Content-Length: 1 1", "Content-Length is not a number"),
        ("Content-Length: \u{661}", "Content-Length is not a number"),
        ("Content-Length:", "Content-Length is not a number"),
        ("Content-Length: 18446744073709551616", "Content-Length is not a number"),
        ("Content-Length : 1", "a header's name is malformed"),
        ("Content-Length\t: 1", "a header's name is malformed"),
        ("Content-Length: 1\r\n 2", "a header continues on a second line"),
        (" Content-Length: 1", "a header continues on a second line"),
        ("X: 1\r\n\tTransfer-Encoding: chunked", "a header continues on a second line"),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "a body has one length, not both Content-Length and Transfer-Encoding",
        ),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "a body has one length, not both Content-Length and Transfer-Encoding",
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "there is more than one Transfer-Encoding",
        ),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding is not chunked"),
        ("Transfer-Encoding: gzip, chunked", "Transfer-Encoding is not chunked"),
        ("Transfer-Encoding: chunked, chunked", "Transfer-Encoding is not chunked"),
        ("Transfer-Encoding: xchunked", "Transfer-Encoding is not chunked"),
        ("Transfer-Encoding: \"chunked\"", "Transfer-Encoding is not chunked"),
        ("Transfer-Encoding: chunked;q=1", "Transfer-Encoding is not chunked"),
        ("Transfer-Encoding:", "Transfer-Encoding is not chunked"),
        ("Transfer-Encoding: \u{b}chunked", "a header holds a control character"),
        ("Transfer-Encoding : chunked", "a header's name is malformed"),
        ("Host: a", "a request needs exactly one Host"),
        ("host: b", "a request needs exactly one Host"),
        ("X: a\nTransfer-Encoding: chunked", "a line ends without CR"),
        ("X: a\rTransfer-Encoding: chunked", "a header holds a control character"),
        ("X: a\r\rX: b", "a header holds a control character"),
        ("X: \0", "a header holds a control character"),
        ("X: \u{7f}", "a header holds a control character"),
        ("X\0: a", "a header's name is malformed"),
        ("X", "a header's name is malformed"),
        (": a", "a header has no name"),
        ("X(: a", "a header's name is malformed"),
        ("\u{fc}: a", "a header's name is malformed"),
    ];
    for (header, why) in headers {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n");
        assert_eq!(one(&head), Err(why), "{header:?}");
        // What follows it is not checked.
        assert_eq!(verdicts((head + GOOD).as_bytes(), &[], 2)[1], Err(why), "{header:?}");
    }
    for (head, why) in [
        ("GET / HTTP/1.1\r\n\r\n", "a request needs exactly one Host"),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "a request needs exactly one Host"),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0 has no Transfer-Encoding"),
        ("GET / HTTP/1.1\nHost: a\n\n", "a line ends without CR"),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "a line ends without CR"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", "a line ends without CR"),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", "a line ends without CR"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "the request line is not a method, an address and a version"),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "the request line is not a method, an address and a version"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "the request line is not a method, an address and a version"),
        ("GET /\r\n\r\n", "the request line is not a method, an address and a version"),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "the request line is not a method, an address and a version"),
        ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "the request line is not a method, an address and a version"),
        ("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", "the address is malformed"),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", "the address is malformed"),
        ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", "the address is malformed"),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "the method is malformed"),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "the version is not HTTP/1.0 or HTTP/1.1"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "the version is not HTTP/1.0 or HTTP/1.1"),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", "the version is not HTTP/1.0 or HTTP/1.1"),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", "the request line is not a method, an address and a version"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "the head does not end where it should"),
        ("", "the head does not end where it should"),
    ] {
        assert_eq!(one(head), Err(why), "{head:?}");
    }
}

#[test]
fn bodies_are_skipped() {
    let inner = "GET /inner HTTP/1.1\nbad";
    let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let stream = format!("{post}{GOOD}{post}{post}GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n");
    let good = Ok(Next::Request);
    let bad = Err("a header's name is malformed");
    assert_eq!(verdicts(stream.as_bytes(), &[], 6), [good, good, good, good, bad, bad]);
    // Data after an upgrade request belongs to the other protocol.
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\0\n\n\0";
    assert_eq!(verdicts(upgrade.as_bytes(), &[], 1), [Ok(Next::Nothing)]);
}

#[test]
fn head_size_is_limited_and_idle_connections_are_small() {
    let line = format!("X: {}\r\n", "x".repeat(1000));
    let head = |lines| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", line.repeat(lines));
    assert_eq!(one(&head(64)), Ok(Next::Request));
    assert_eq!(one(&head(66)), Err("the head is too large"));
    let endless = "x".repeat(head::LARGEST + 1);
    assert_eq!(verdicts(endless.as_bytes(), &[1000; 70], 1), [Err("the head is too large")]);
    let kept = size_of::<ValidatedStream<()>>() + size_of::<Mutex<Known>>() + 2 * size_of::<usize>();
    assert!(kept < 100, "{kept} bytes");
}

#[tokio::test]
async fn bytes_pass_unchanged() {
    let stream = format!("{GOOD}\0\r\n{GOOD}{}", "\u{fc}\n".repeat(20_000));
    let (mut connection, verdicts) = validated(Cursor::new(stream.clone()), timeouts());
    let mut passed = Vec::new();
    connection.read_to_end(&mut passed).await.unwrap();
    assert!(passed == stream.as_bytes());
    assert_eq!(verdicts.next(), Ok(Next::Request));
    assert!(verdicts.next().is_err());
    assert_eq!(connection.into_inner().position(), stream.len() as u64);
}

/// A request of any kind, usually a valid one.
fn request() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        6 => Just("GET / HTTP/1.1\r\n"),
        1 => Just("POST /a HTTP/1.0\r\n"),
        1 => Just("\r\nGET / HTTP/1.1\r\n"),
        1 => Just("GET  / HTTP/1.1\r\n"),
    ];
    let header = prop_oneof![
        6 => "[A-Za-z-]{1,9}: [ -~]{0,30}\r\n",
        1 => Just("X: a\n".to_owned()),
        1 => Just("Host: b\r\n".to_owned()),
        1 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        1 => Just("Upgrade: websocket\r\n".to_owned()),
        1 => Just("X: a\r\n b\r\n".to_owned()),
    ];
    let body = prop_oneof![Just(String::new()), "[ -~\r\n]{1,80}"];
    (line, prop::collection::vec(header, 0..3), body).prop_map(|(line, headers, body)| {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        format!("{line}Host: a\r\n{}{length}\r\n{body}", headers.concat())
    })
}

proptest! {
    #[test]
    fn splitting_the_stream_does_not_change_the_results(
        requests in prop::collection::vec(request(), 1..6),
        pieces in prop::collection::vec(0_usize..40, 0..30),
    ) {
        let stream = requests.concat();
        let count = requests.len() + 1;
        let whole = verdicts(stream.as_bytes(), &[], count);
        prop_assert_eq!(&verdicts(stream.as_bytes(), &pieces, count), &whole);
        prop_assert_eq!(&verdicts(stream.as_bytes(), &vec![1; stream.len()], count), &whole);
        // After an error all further results are errors.
        prop_assert!(whole.iter().skip_while(|verdict| **verdict == Ok(Next::Request)).skip(1).all(Result::is_err));
    }

    #[test]
    fn nothing_panics(stream in prop::collection::vec(any::<u8>(), 0..300), piece in 0_usize..300) {
        let _ = verdicts(&stream, &[piece], 3);
    }
}
