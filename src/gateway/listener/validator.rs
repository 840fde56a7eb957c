//! The request validator: it checks the bytes that a client really sent. The HTTP parser accepts more than the standard
//! allows and normalises it before the request can be checked: lines that end in a bare LF, two lengths that agree, a
//! length together with `Transfer-Encoding`. Another server may parse such a request differently, and what one server
//! takes for a body is the next request for the other. So the bytes are checked on their way to the parser, and the
//! code that answers a request first asks for the result.
//!
//! Invariants: bytes pass unchanged; each head is scanned once, in one pass; nothing is kept between two heads; a
//! request without a result is refused; after an error, after a body without a length, and after a request to switch
//! protocols, nothing more is accepted on the connection.

mod head;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::observed::{Observed, Observer};
use super::timeouts::{ConnectionTimeouts, Phase};
use crate::gateway::limits::cost;
use head::Head;

/// What may follow a valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request.
    Request,
    /// Nothing: the answer has to close the connection, unless it switches protocols.
    Nothing,
}

/// The results for the requests of one connection, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Valid requests that others may follow, whose result has not been fetched yet.
    good: u32,
    /// The result for the request after those.
    end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Unknown,
    /// Valid, and the last one.
    Last,
    Bad(&'static str),
}

impl Verdicts {
    /// The result for the next request; the error says what is wrong with its head. Call it exactly once for each
    /// request, in their order.
    pub(crate) fn next(&self) -> Result<Next, &'static str> {
        let mut known = self.known();
        if let Some(left) = known.good.checked_sub(1) {
            known.good = left;
            return Ok(Next::Request);
        }
        match known.end {
            End::Bad(why) => Err(why),
            End::Last => {
                known.end = End::Bad("no request may follow the previous request");
                Ok(Next::Nothing)
            }
            End::Unknown => Err("the head does not end where it should"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The step in which the cost of an unfinished head is charged. Bytes.
const STEP: i32 = 24 * 1024;

/// How much memory a byte of an unfinished head takes: the parser's buffer and the stored beginning of a line are each
/// as large as needed, and up to twice that.
const COPIES: usize = 3;

/// A client's connection. Every byte that is read from it is checked.
pub(crate) type ValidatedStream<I> = Observed<I, Validator>;

/// Checks what is read from one connection.
pub(crate) struct Validator {
    position: Position,
    verdicts: Verdicts,
    timeouts: ConnectionTimeouts,
    /// The bytes that are charged for the unfinished head.
    charged: i32,
    /// Whether the client does not read what is written.
    unsent: bool,
}

/// The position of the next byte in the stream of requests.
enum Position {
    /// Between two requests.
    Between,
    /// In a head that is not complete yet.
    Head(Box<Head>),
    /// In a body, with this number of bytes left.
    Body(u64),
    /// After the last request: nothing is checked any more.
    Beyond,
}

/// Wraps a connection; returns the results for its requests as well.
pub(crate) fn validated<I>(io: I, timeouts: ConnectionTimeouts) -> (ValidatedStream<I>, Verdicts) {
    let (validator, verdicts) = Validator::new(timeouts);
    (Observed::new(io, validator), verdicts)
}

impl Validator {
    fn new(timeouts: ConnectionTimeouts) -> (Self, Verdicts) {
        let verdicts = Verdicts(Arc::default());
        let validator = Self {
            position: Position::Between,
            verdicts: verdicts.clone(),
            timeouts,
            charged: 0,
            unsent: false,
        };
        (validator, verdicts)
    }

    /// Reports the new position to the timeouts, unless it is only another piece of a body, and charges the unfinished
    /// head.
    fn tell(&mut self, before: Phase) {
        let now = match &self.position {
            Position::Between => Phase::Between,
            Position::Head(_) => Phase::Head,
            Position::Body(_) | Position::Beyond => Phase::Body,
        };
        if (before, now) != (Phase::Body, Phase::Body) {
            self.timeouts.at(now);
        }
        let size = if let Position::Head(head) = &self.position { head.size() } else { 0 };
        // It is hardly larger than [`head::LARGEST`].
        let charge = i32::try_from(size * COPIES).unwrap_or(i32::MAX);
        if charge >= self.charged + STEP || (charge == 0 && self.charged > 0) {
            self.timeouts.slot().charge((charge - self.charged) as isize);
            self.charged = charge;
        }
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match std::mem::replace(&mut self.position, Position::Beyond) {
                Position::Beyond => return,
                Position::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    let left = left - here as u64;
                    self.position = if left == 0 { Position::Between } else { Position::Body(left) };
                }
                Position::Between => bytes = self.head(Head::default(), bytes),
                Position::Head(head) => bytes = self.head(*head, bytes),
            }
        }
    }

    /// Continues with a head; returns the bytes after it.
    fn head<'a>(&mut self, mut head: Head, mut bytes: &'a [u8]) -> &'a [u8] {
        loop {
            match head.line(&mut bytes) {
                Ok(head::Line::Unfinished) => {
                    self.position = Position::Head(Box::new(head));
                    return bytes;
                }
                Ok(head::Line::Header) => {}
                Ok(head::Line::End(Some(length))) => {
                    self.verdicts.known().good += 1;
                    self.position = if length == 0 { Position::Between } else { Position::Body(length) };
                    return bytes;
                }
                Ok(head::Line::End(None)) => {
                    self.verdicts.known().end = End::Last;
                    return bytes;
                }
                Err(why) => {
                    self.verdicts.known().end = End::Bad(why);
                    return bytes;
                }
            }
        }
    }
}

impl Observer for Validator {
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            let before = if matches!(self.position, Position::Body(_) | Position::Beyond) {
                Phase::Body
            } else {
                Phase::Head
            };
            self.look(bytes);
            self.tell(before);
        }
        Ok(())
    }

    /// Notices when the client stops reading what is written, and when it continues.
    fn wrote(&mut self, written: Poll<usize>) {
        if written.is_pending() != self.unsent {
            self.unsent = written.is_pending();
            self.timeouts.unsent(self.unsent);
            self.timeouts.slot().charge(if self.unsent { cost::UNSENT } else { -cost::UNSENT });
        }
    }
}

#[cfg(test)]
mod tests;
