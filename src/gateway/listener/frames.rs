//! Limit for HTTP/2 frames that carry no request: each causes work, or a response, without a request. The HTTP/2
//! library limits the frames that belong to requests; the other frames are counted here.
//!
//! Invariants: bytes pass unchanged; only the header of a frame is kept; a normal client never reaches the limit.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::observed::Observer;
use crate::gateway::limits::{ConnectionSlot, cost};

/// The length of the connection preface of a client.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// The length of a frame's header: three bytes of length, its kind, its flags and four bytes of stream.
const HEADER: usize = 9;

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// The last frame of a stream.
const END_STREAM: u8 = 1;

/// The budget of a client for such frames, and the time it is for. A browser needs a few; tools that measure the speed
/// of a line send some tens of PING frames a second.
const ALLOWANCE: u32 = 2000;
const PERIOD: Duration = Duration::from_secs(10);

/// Counts the frames that are read from one connection.
pub(crate) struct Frames {
    slot: Arc<ConnectionSlot>,
    /// Bytes until the next header begins.
    skip: usize,
    header: [u8; HEADER],
    /// How much of the header was received.
    filled: usize,
    since: Instant,
    spent: u32,
    /// Whether the client does not read what is written.
    unsent: bool,
}

impl Frames {
    /// For a new connection.
    pub(super) fn new(slot: Arc<ConnectionSlot>) -> Self {
        let (header, since) = ([0; HEADER], Instant::now());
        Self { slot, skip: PREFACE, header, filled: 0, since, spent: 0, unsent: false }
    }

    fn look(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let here = self.skip.min(bytes.len());
            self.skip -= here;
            bytes = &bytes[here..];
            let here = bytes.len().min(HEADER - self.filled);
            self.header[self.filled..self.filled + here].copy_from_slice(&bytes[..here]);
            self.filled += here;
            bytes = &bytes[here..];
            if self.filled == HEADER {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.spend(price(kind, flags, self.skip))?;
            }
        }
        Ok(())
    }

    fn spend(&mut self, price: u32) -> io::Result<()> {
        if price == 0 {
            return Ok(());
        }
        let now = Instant::now();
        if now - self.since > PERIOD {
            (self.since, self.spent) = (now, 0);
        }
        self.spent += price;
        if self.spent > ALLOWANCE { Err(io::Error::other("too many HTTP/2 control frames")) } else { Ok(()) }
    }
}

/// The price of a frame.
fn price(kind: u8, flags: u8, length: usize) -> u32 {
    match kind {
        // The library iterates over all streams for it.
        SETTINGS => 20,
        PING => 2,
        DATA if length == 0 && flags & END_STREAM == 0 => 1,
        PRIORITY => 1,
        // Unknown frames are skipped by the library.
        kind if kind > CONTINUATION => 1,
        _ => 0,
    }
}

impl Observer for Frames {
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.look(bytes)
    }

    /// Notices when the client stops reading what is written, and when it continues.
    fn wrote(&mut self, written: Poll<usize>) {
        if written.is_pending() != self.unsent {
            self.unsent = written.is_pending();
            self.slot.charge(if self.unsent { cost::UNSENT_HTTP2 } else { -cost::UNSENT_HTTP2 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::limits::{ConnectionLimits, Peer};

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        [&size[1..], &[kind, flags, 0, 0, 0, 1], &vec![b'x'; length]].concat()
    }

    /// How many of these frames are accepted, read in pieces of this size.
    fn passed(frame: &[u8], piece: usize) -> usize {
        let mut frames = Frames::new(ConnectionLimits::of_ports().enter(Peer::User(None)));
        frames.look(&[b' '; PREFACE]).unwrap();
        (0..10_000)
            .position(|_| frame.chunks(piece).any(|bytes| frames.look(bytes).is_err()))
            .unwrap_or(usize::MAX)
    }

    #[tokio::test(start_paused = true)]
    async fn only_frames_without_a_request_are_limited() {
        for (what, frame, most) in [
            ("SETTINGS", frame(SETTINGS, 0, 6), 100),
            ("PING", frame(PING, 0, 8), 1000),
            ("PRIORITY", frame(PRIORITY, 0, 5), 2000),
            ("unknown", frame(0x42, 0, 3), 2000),
            ("empty DATA", frame(DATA, 0, 0), 2000),
            ("the end of a body", frame(DATA, END_STREAM, 0), usize::MAX),
            ("a body", frame(DATA, 0, 1000), usize::MAX),
            ("HEADERS", frame(1, 4, 100), usize::MAX),
            ("WINDOW_UPDATE", frame(8, 0, 4), usize::MAX),
        ] {
            for piece in [1, 9, 10, 5000] {
                assert_eq!(passed(&frame, piece), most, "{what} in pieces of {piece}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn allowance_is_renewed_after_the_period() {
        let mut frames = Frames::new(ConnectionLimits::of_ports().enter(Peer::User(None)));
        frames.look(&[b' '; PREFACE]).unwrap();
        for _ in 0..3 {
            (0..100).for_each(|_| frames.look(&frame(SETTINGS, 0, 0)).unwrap());
            tokio::time::advance(PERIOD * 2).await;
        }
    }
}
