//! A stream whose traffic is observed: bytes pass unchanged, and an observer sees them. One implementation for all
//! observers, so that none of them forgets a method of the traits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Sees the traffic of a stream.
pub(crate) trait Observer {
    /// These bytes were read. An error ends the stream; the bytes before it have passed.
    fn read(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// This many bytes were written; `Pending`: the other side does not read, so nothing could be written.
    fn wrote(&mut self, written: Poll<usize>);
}

/// A stream, and the observer of its traffic.
pub(crate) struct Observed<I, O> {
    io: I,
    pub(crate) observer: O,
}

impl<I, O: Observer> Observed<I, O> {
    pub(crate) fn new(io: I, observer: O) -> Self {
        Self { io, observer }
    }

    /// The stream itself, for when another owner continues with it. The observer no longer waits for a write.
    pub(crate) fn into_inner(mut self) -> I {
        self.observer.wrote(Poll::Ready(0));
        self.io
    }

    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let written = match &polled {
            Poll::Ready(written) => Poll::Ready(*written.as_ref().unwrap_or(&0)),
            Poll::Pending => Poll::Pending,
        };
        self.observer.wrote(written);
        polled
    }
}

impl<I: AsyncRead + Unpin, O: Observer + Unpin> AsyncRead for Observed<I, O> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        Poll::Ready(self.observer.read(&buffer.filled()[before..]))
    }
}

impl<I: AsyncWrite + Unpin, O: Observer + Unpin> AsyncWrite for Observed<I, O> {
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
