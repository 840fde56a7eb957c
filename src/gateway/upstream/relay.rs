//! Copies bytes in both directions between two connections until both directions have ended.
//!
//! Invariants: bytes that were read are written before more is read, so each side is read only as fast as the other
//! side takes the bytes; an idle pair holds no buffer: reads use one buffer per thread, and only bytes that the other
//! side did not take yet are kept; the end of one direction is passed on, and the other direction continues.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once. Twice nginx's largest usual buffer costs nothing, because there is one per thread.
const SCRATCH: usize = 64 * 1024;

/// How often a direction may read before the other direction, and other connections, get their turn.
const TURN: usize = 8;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// One direction.
struct Flow {
    /// Bytes that the other side has not taken yet.
    unsent: Bytes,
    stage: Stage,
    /// Whether written bytes may still be in a buffer of the writer.
    unflushed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The reader has reached its end; the writer is not yet shut down.
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
            // An empty `Bytes` may still keep the allocation that it was cut from.
            self.unsent = Bytes::new();
            match self.stage {
                Stage::Running => {}
                Stage::Ending => {
                    // Errors are ignored: the other side may already be closed.
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

/// Copies bytes until both directions have ended or one has failed. `early` is what was already read from each side.
pub(crate) async fn relay<A, B>(mut a: A, mut b: B, early: (Bytes, Bytes)) -> io::Result<()>
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
    async fn slow_reader_gets_all_bytes_and_half_close_is_passed_on() {
        // Pipes of 1000 bytes take only a part of the bytes that are read at once.
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
        // The other direction is still open.
        service.write_all(b", and goodbye").await.unwrap();
        service.shutdown().await.unwrap();
        assert_eq!(writing.await.unwrap(), "hello, and goodbye");
        relayed.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn error_on_one_side_ends_the_relay() {
        let (client, a) = tokio::io::duplex(10);
        let (b, service) = tokio::io::duplex(10);
        let relayed = tokio::spawn(relay(a, b, (Bytes::new(), Bytes::from(vec![0; 100]))));
        drop(client);
        assert!(relayed.await.unwrap().is_err());
        drop(service);
    }
}
