//! One client's connection through its stages. Resources are allocated only when they are needed, and the resources of
//! a request are released when the connection has been idle for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::context::ConnectionInfo;
use super::limits::cost;
use super::state::Inner;
use super::target::{CachedTarget, SharedTarget};
use super::{connection, timeouts, tls, upgrade};

/// Carries a connection until the connection ends or is upgraded.
pub(super) async fn carry(
    inner: Arc<Inner>,
    stream: std::net::TcpStream,
    mut connection: ConnectionInfo,
    target: Arc<SharedTarget>,
    stop: CancellationToken,
) {
    connection.resources.slot.begin();
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let _ = stream.set_nodelay(true);
    upgrade::keep_alive(&stream);
    let _open = inner.handler.metrics.connections.open();
    // Distinguishes TLS from plain HTTP. The byte is only peeked at, and stays in the socket.
    let tls = match heard(&stream, timeouts::FIRST, &stop).await {
        None => return,
        Some(tls::FIRST_BYTE) => inner.handler.settings.tls.clone(),
        Some(_) => None,
    };
    connection.tls = tls.is_some();
    let Some(tls) = tls else {
        return http1(&inner, stream, &connection, target, stop).await;
    };
    connection.resources.slot.charge(cost::TLS);
    match Box::pin(tls.accept(stream, timeouts::FIRST)).await {
        Ok(stream) if tls::is_http2(&stream) => {
            Box::pin(http2(inner, stream, connection, target, stop)).await;
        }
        Ok(stream) => http1(&inner, stream, &connection, target, stop).await,
        // Browsers that do not trust our self-signed certificate yet end the handshake this way, many times.
        Err(error) => tracing::debug!("TLS: {error}"),
    }
}

async fn http1<I: Stream>(
    inner: &Inner,
    mut stream: I,
    connection: &ConnectionInfo,
    target: Arc<SharedTarget>,
    stop: CancellationToken,
) {
    let cached = CachedTarget::of(target);
    // Shared state is only borrowed: threads would contend for its reference count.
    let (handler, slot) = (&inner.handler, &connection.resources.slot);
    let answer = |request| {
        let target = cached.target();
        async move { handler.answer(&target, connection, request).await }
    };
    loop {
        slot.charge(cost::HTTP1);
        let serving = connection::http1(stream, answer, timeouts::Stalls::End, slot, stop.clone());
        let rests = Box::pin(serving).await;
        slot.charge(-cost::HTTP1);
        let Some(again) = rests else { return };
        if heard(again.tcp(), timeouts::idle(slot), &stop).await.is_none() {
            return;
        }
        stream = again;
    }
}

async fn http2(
    inner: Arc<Inner>,
    stream: TlsStream<TcpStream>,
    connection: ConnectionInfo,
    target: Arc<SharedTarget>,
    stop: CancellationToken,
) {
    let cached = CachedTarget::of(target);
    let slot = Arc::clone(&connection.resources.slot);
    slot.charge(cost::HTTP2);
    // Requests of HTTP/2 are answered concurrently, in separate tasks.
    let answer = |request| {
        let (inner, connection, target) = (Arc::clone(&inner), connection.clone(), cached.target());
        async move { inner.handler.answer(&target, &connection, request).await }
    };
    connection::http2(stream, answer, &slot, stop).await;
}

/// The first byte that was received, if any is received within `limit`.
async fn heard(stream: &TcpStream, limit: Duration, stop: &CancellationToken) -> Option<u8> {
    let mut first = [0];
    let seen = tokio::select! {
        seen = timeout(limit, stream.peek(&mut first)) => seen,
        () = stop.cancelled() => return None,
    };
    matches!(seen, Ok(Ok(1))).then_some(first[0])
}

/// A stream for an HTTP/1 connection.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {
    /// The TCP stream below it.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
