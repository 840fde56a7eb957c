//! Bytes in both directions between two connections, for as long as both want.
//!
//! Invariants: what is read is written before more is read, so each side is as fast as the other one takes it; an idle
//! pair holds no buffer: reading goes into one buffer of the thread, and only what the other side did not take is kept;
//! the end of one direction is passed on and the other goes on.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once. Bytes. Twice as much as nginx's largest usual buffer costs nothing: there is one a thread.
const SCRATCH: usize = 64 * 1024;

/// How often a direction may read before the other one, and other connections, have their turn.
const TURN: usize = 8;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// A direction.
struct Flow {
    /// What the other side has not taken yet.
    unsent: Bytes,
    stage: Stage,
    /// Whether something was written that may still be in a buffer of the writer.
    unflushed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The reader has ended; the writer is to be told.
    Ending,
    Ended,
}

impl Flow {
    fn new(early: Bytes) -> Self {
        Self { unsent: early, stage: Stage::Running, unflushed: false }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut left = TURN;
        loop {
            while self.unsent.has_remaining() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.unsent))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.unflushed = true;
                self.unsent.advance(written);
            }
            // An empty `Bytes` may still hold on to what it was cut from.
            self.unsent = Bytes::new();
            match self.stage {
                Stage::Running => {}
                Stage::Ending => {
                    // A side that has gone already needs no farewell.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.stage = Stage::Ended;
                    return Poll::Ready(Ok(()));
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            left -= 1;
            let read = BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
                let mut filled = buffer.filled();
                if filled.is_empty() {
                    self.stage = Stage::Ending;
                }
                while !filled.is_empty() {
                    match Pin::new(&mut *to).poll_write(cx, filled)? {
                        Poll::Ready(0) => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero))),
                        Poll::Ready(written) => {
                            self.unflushed = true;
                            filled = filled.split_at(written).1;
                        }
                        Poll::Pending => {
                            self.unsent = Bytes::copy_from_slice(filled);
                            break;
                        }
                    }
                }
                Poll::Ready(Ok(()))
            });
            match read {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Carries bytes until both directions have ended or one has failed. `early` is what was read from each side before.
pub(super) async fn relay<A, B>(mut a: A, mut b: B, early: (Bytes, Bytes)) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Flow::new(early.0), Flow::new(early.1));
    std::future::poll_fn(|cx| {
        let there = there.poll(cx, &mut a, &mut b)?;
        let back = back.poll(cx, &mut b, &mut a)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_a_slow_reader_leaves_is_kept_and_ends_pass_on() {
        // Pipes of 1000 bytes take only a part of what is read at once.
        let (mut client, a) = tokio::io::duplex(1000);
        let (b, mut service) = tokio::io::duplex(1000);
        let early = (Bytes::from_static(b"early"), Bytes::from_static(b"hello"));
        let relayed = tokio::spawn(relay(a, b, early));
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let expected = [&b"early"[..], &sent].concat();
        let writing = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let mut received = Vec::new();
        service.read_to_end(&mut received).await.unwrap();
        assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
        // The other direction is open still.
        service.write_all(b", and goodbye").await.unwrap();
        service.shutdown().await.unwrap();
        assert_eq!(writing.await.unwrap(), "hello, and goodbye");
        relayed.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_side_that_breaks_ends_the_whole() {
        let (client, a) = tokio::io::duplex(10);
        let (b, service) = tokio::io::duplex(10);
        let relayed = tokio::spawn(relay(a, b, (Bytes::new(), Bytes::from(vec![0; 100]))));
        drop(client);
        assert!(relayed.await.unwrap().is_err());
        drop(service);
    }
}
