//! Streams of requests, changed at random: programs that read requests in quite different ways would all have read the
//! same requests that the gateway passes on out of the client's bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it is wrong")]

use std::cell::Cell;

use crate::gateway::upstream::{Came, Upstream, before, rest, token};
use crate::gateway::world::{World, route};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A way of parsing requests.
#[derive(Clone, Copy, Debug)]
struct Reader {
    /// Accepts a bare LF as the end of a line.
    lf: bool,
    /// Uses the first of several lengths.
    first: bool,
    /// Prefers the length to the chunks.
    length: bool,
    /// Accepts spaces around a header's name.
    spaces: bool,
}

/// All combinations of these ways.
fn readers() -> impl Iterator<Item = Reader> {
    let bit = |bits: u8, at: u8| bits >> at & 1 == 1;
    (0..16).map(move |bits| Reader {
        lf: bit(bits, 0),
        first: bit(bits, 1),
        length: bit(bits, 2),
        spaces: bit(bits, 3),
    })
}

impl Reader {
    fn line<'a>(self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let end = if self.lf {
            bytes.iter().position(|byte| *byte == b'\n')? + 1
        } else {
            bytes.windows(2).position(|two| two == b"\r\n")? + 2
        };
        let (line, left) = bytes.split_at(end);
        *bytes = left;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next request's target and body; `None` where there is no whole request.
    fn request(self, bytes: &mut &[u8]) -> Option<(String, String)> {
        let mut line = self.line(bytes)?;
        while line.is_empty() {
            line = self.line(bytes)?;
        }
        let address = String::from_utf8_lossy(line.split(|byte| *byte == b' ').nth(1)?).into_owned();
        let (mut lengths, mut chunked) = (Vec::new(), false);
        loop {
            let line = self.line(bytes)?;
            if line.is_empty() {
                break;
            }
            let line = String::from_utf8_lossy(line);
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = if self.spaces { name.trim() } else { name };
            if name.eq_ignore_ascii_case("content-length") {
                lengths.extend(value.split(',').filter_map(|length| length.trim().parse::<usize>().ok()));
            }
            chunked |=
                name.eq_ignore_ascii_case("transfer-encoding") && value.to_lowercase().contains("chunked");
        }
        let length = if self.first { lengths.first() } else { lengths.last() };
        if chunked && !(self.length && length.is_some()) {
            return Some((address, self.chunks(bytes)?));
        }
        let (body, left) = bytes.split_at_checked(length.copied().unwrap_or(0))?;
        *bytes = left;
        Some((address, String::from_utf8_lossy(body).into_owned()))
    }

    fn chunks(self, bytes: &mut &[u8]) -> Option<String> {
        let mut body = String::new();
        loop {
            let size = String::from_utf8_lossy(self.line(bytes)?).into_owned();
            let size = usize::from_str_radix(size.split([';', ' ', '\t']).next()?, 16).ok()?;
            if size == 0 {
                while !self.line(bytes)?.is_empty() {}
                return Some(body);
            }
            let (chunk, left) = bytes.split_at_checked(size)?;
            body += &String::from_utf8_lossy(chunk);
            *bytes = left;
            self.line(bytes)?;
        }
    }
}

/// Bytes that change the meaning of a request, to insert somewhere.
const PIECES: [&str; 26] = [
    "\n",
    "\r",
    "\r\n",
    "\r\n\r\n",
    "\n\n",
    " ",
    "\t",
    "\0",
    ":",
    "0",
    "1",
    "5",
    ",",
    ";",
    "x",
    "\u{b}",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length:\n5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: x\r\n",
    "transfer-encoding : chunked\r\n",
    "\r\nHost: b\r\n",
    "Content_Length: 9\r\n",
    "0\r\n\r\n",
    "GET /piece HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t0ken+/=\r\n\r\n",
];

fn request() -> impl Strategy<Value = String> {
    let inner = Just(format!("GET /inner HTTP/1.1\r\nHost: a\r\n{}\r\n", token()));
    let body = prop_oneof![3 => Just(String::new()), 2 => inner, 1 => "[a-z\r\n]{1,20}"];
    (body, any::<bool>()).prop_map(|(body, chunked)| match (&*body, chunked) {
        ("", _) => format!("GET /get HTTP/1.1\r\nHost: a\r\n{}\r\n", token()),
        (body, false) => {
            format!("POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{}\r\n{body}", body.len(), token())
        }
        (body, true) => format!(
            "POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{}\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            token(),
            body.len()
        ),
    })
}

/// Several requests, with a few changes mostly near the ends of lines.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<bool>(), any::<Index>(), 0_usize..3);
    let changes = prop::collection::vec(change, 0..4);
    (prop::collection::vec(request(), 1..4), changes).prop_map(|(requests, changes)| {
        let mut stream = requests.concat().into_bytes();
        for (at, near, piece, removed) in changes {
            let ends: Vec<_> = (0..stream.len()).filter(|at| stream[*at] == b'\n').map(|at| at + 1).collect();
            let at = if near && !ends.is_empty() { *at.get(&ends) } else { at.index(stream.len() + 1) };
            let end = (at + removed).min(stream.len());
            stream.splice(at.min(end)..end, piece.get(&PIECES).bytes());
        }
        stream
    })
}

async fn passed(world: &World, stream: &[u8], cut: usize) -> Vec<(String, String)> {
    // One service per stream: the gateway does not wait when a client breaks off, and requests that arrive after that
    // would count for the next stream.
    let upstream = Upstream::start(&[]).await;
    assert_eq!(world.gateway.set_routes(&[route(world.port, upstream.address)]).await, []);
    let mut client = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let (first, second) = stream.split_at(cut);
    let _ = client.write_all(first).await;
    tokio::task::yield_now().await;
    let _ = client.write_all(second).await;
    let _ = client.shutdown().await;
    rest(&mut client).await;
    let whole = upstream.take().into_iter().filter_map(|came| match came {
        Came::Request { head, body } => Some((head.split(' ').nth(1).unwrap().to_owned(), body)),
        Came::Rest(_) => None,
    });
    whole.collect()
}

#[test]
fn all_parsers_agree_on_passed_requests() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(async { before(&Upstream::start(&[]).await).await.0 });
    let (requests, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(stream(), any::<Index>()), |(stream, cut)| {
        let cut = cut.index(stream.len() + 1);
        let passed = runtime.block_on(passed(&world, &stream, cut));
        requests.set(requests.get() + passed.len());
        refused.set(refused.get() + usize::from(passed.is_empty()));
        for reader in readers() {
            let mut bytes = &stream[..];
            for request in &passed {
                // A request that has lost its credentials was answered by the gateway, and does not pass.
                let mut others = Vec::new();
                loop {
                    match reader.request(&mut bytes) {
                        Some(read) if read == *request => break,
                        Some(read) => others.push(read),
                        None => {
                            let shown = String::from_utf8_lossy(&stream);
                            let why = format!("{request:?} passed, {reader:?} reads {others:?} in {shown:?}");
                            return Err(TestCaseError::fail(why));
                        }
                    }
                }
            }
        }
        Ok(())
    });
    outcome.unwrap();
    // Some streams pass and some do not: otherwise the test would have shown nothing.
    let (requests, refused) = (requests.get(), refused.get());
    assert!(requests > 300 && refused > 50, "{requests} passed, {refused} streams did not");
}
