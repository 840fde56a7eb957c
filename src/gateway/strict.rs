//! What a client really sent. The HTTP parser takes more than the standard allows and tidies it up before anybody can
//! look: lines that end in a bare LF, two lengths that agree, a length beside `Transfer-Encoding`. Another server may
//! read such a request in another way, and what one takes for a body is the next request to the other. So the bytes
//! are watched on their way to the parser, and whoever answers a request asks first what was found.
//!
//! Invariants: bytes pass unchanged; each head is looked at once, in one pass; nothing is kept between two heads;
//! a request about which nothing is known is refused; after something wrong, after a body without a length, and after
//! a wish to switch protocols, nothing more is accepted on the connection.

mod head;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::crowd::cost;
use super::pace::{At, Pace};
use head::{Body, Head};

/// A head can be no larger. The parser has its own limit, and the answer to what is beyond it.
const LARGEST: usize = 64 * 1024;

/// What may follow a request that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request.
    Request,
    /// Nothing: the answer has to close the connection, unless it switches protocols.
    Nothing,
}

/// What is known about the requests of one connection, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Requests that are as they should be, that others may follow, and that nobody has asked about yet.
    good: u32,
    /// How the one after those is.
    end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Unknown,
    /// As it should be, and the last one.
    Last,
    Bad(&'static str),
}

impl Verdicts {
    /// What was found in the head of the next request; the error says what is wrong with it. Call it exactly once for
    /// each request, in their order.
    pub(crate) fn next(&self) -> Result<Next, &'static str> {
        let mut known = self.known();
        if let Some(left) = known.good.checked_sub(1) {
            known.good = left;
            return Ok(Next::Request);
        }
        match known.end {
            End::Bad(why) => Err(why),
            End::Last => {
                known.end = End::Bad("nothing may follow the request before this one");
                Ok(Next::Nothing)
            }
            End::Unknown => Err("the head does not end where it should"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much more an unfinished head costs before that is counted. Bytes.
const STEP: i32 = 24 * 1024;

/// How much memory a byte of an unfinished head takes: the parser's buffer and the beginning of a line are each as
/// large as they had to become, and up to twice that.
const COPIES: usize = 3;

/// A client's connection, of which every byte that is read is looked at.
pub(crate) struct Watched<I> {
    io: I,
    place: Place,
    verdicts: Verdicts,
    pace: Pace,
    /// What the unfinished head has been charged with.
    charged: i32,
    /// Whether the client does not take what is written.
    unsent: bool,
}

/// Where in the stream of requests the next byte is.
enum Place {
    /// Between two requests.
    Between,
    /// In a head, of which the last read brought a part.
    Head(Box<Head>),
    /// In a body, with so many bytes to go.
    Body(u64),
    /// Where nothing is looked at any more.
    Beyond,
}

impl<I> Watched<I> {
    /// The connection, and what will be known about its requests.
    pub(super) fn new(io: I, pace: Pace) -> (Self, Verdicts) {
        let verdicts = Verdicts(Arc::default());
        let watched =
            Self { io, place: Place::Between, verdicts: verdicts.clone(), pace, charged: 0, unsent: false };
        (watched, verdicts)
    }

    /// The connection itself, for when it speaks another protocol.
    pub(crate) fn into_inner(mut self) -> I {
        let _ = self.wrote(Poll::Ready(()));
        self.io
    }

    /// Tells what has come, if that is more than another piece of a body.
    fn tell(&mut self, before: At) {
        let now = match &self.place {
            Place::Between => At::Between,
            Place::Head(_) => At::Head,
            Place::Body(_) | Place::Beyond => At::Body,
        };
        if (before, now) != (At::Body, At::Body) {
            self.pace.at(now);
        }
        let size = if let Place::Head(head) = &self.place { head.size() } else { 0 };
        // It is hardly larger than [`LARGEST`].
        let charge = i32::try_from(size * COPIES).unwrap_or(i32::MAX);
        if charge >= self.charged + STEP || (charge == 0 && self.charged > 0) {
            self.pace.place().charge((charge - self.charged) as isize);
            self.charged = charge;
        }
    }

    /// Notices when the client stops to take what is written, and when it goes on.
    fn wrote<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() != self.unsent {
            self.unsent = polled.is_pending();
            self.pace.unsent(self.unsent);
            self.pace.place().charge(if self.unsent { cost::UNSENT } else { -cost::UNSENT });
        }
        polled
    }

    fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match std::mem::replace(&mut self.place, Place::Beyond) {
                Place::Beyond => return,
                Place::Body(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    let left = left - here as u64;
                    self.place = if left == 0 { Place::Between } else { Place::Body(left) };
                }
                Place::Between => bytes = self.head(Head::default(), bytes),
                Place::Head(head) => bytes = self.head(*head, bytes),
            }
        }
    }

    /// Goes on with a head; returns what comes after it.
    fn head<'a>(&mut self, mut head: Head, mut bytes: &'a [u8]) -> &'a [u8] {
        loop {
            match head.line(&mut bytes) {
                Ok(head::Line::Unfinished) => {
                    self.place = Place::Head(Box::new(head));
                    return bytes;
                }
                Ok(head::Line::Header) => {}
                Ok(head::Line::End(Body::Length(length))) => {
                    self.verdicts.known().good += 1;
                    self.place = if length == 0 { Place::Between } else { Place::Body(length) };
                    return bytes;
                }
                Ok(head::Line::End(Body::Unfollowed)) => {
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

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let bytes = &buffer.filled()[before..];
        if !bytes.is_empty() {
            let before =
                if matches!(self.place, Place::Body(_) | Place::Beyond) { At::Body } else { At::Head };
            self.look(bytes);
            self.tell(before);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
