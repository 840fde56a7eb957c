//! The bridge: WebSocket to the client, a plain byte stream to the service. Browsers use it to reach a VNC server.
//!
//! Invariants: the service was connected before the client's handshake is answered; messages are bytes, and message
//! boundaries mean nothing; each side is read only as fast as the other side takes the bytes; all bytes that the
//! service sent before it closed arrive; a revoked session ends the connection.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::body::Reply;
use super::connect;
use super::connect::{Connection, Failed};
use super::upgrade::{self, Hold};
use crate::gateway::auth::SessionGuard;
use crate::gateway::request::base::Base;
use crate::gateway::request::{files, page};
use crate::plan::routes::{Bridge, Route};

/// The largest message from the client: keys, mouse, and a clipboard. Bytes.
const LARGEST: usize = 1024 * 1024;

/// Read buffer of each connection, also while it is idle; it grows for a message that needs more. Bytes.
const READ_BUFFER: usize = 1024;

/// Bytes that are read from the service at once, and so the largest message to the client.
const PIECE: usize = 16 * 1024;

/// Interval of pings on an idle connection. Proxies in between close idle connections, the strictest known one after
/// 100 s.
const KEEP_ALIVE: Duration = Duration::from_secs(45);

/// How long the client may take to answer the close message.
const FAREWELL: Duration = Duration::from_secs(2);

/// The only subprotocol that we accept.
const BINARY: &str = "binary";

/// Why the connection ends; `None` when the client has closed it.
type Ending = Option<(CloseCode, &'static str)>;

/// Answers a request to a bridged port: the bridge itself, or a file beside it. `hold`: the request was checked as an
/// upgrade, including its Origin.
pub(crate) async fn answer(
    bridge: &Bridge,
    route: &Route,
    mut request: Request<Incoming>,
    base: &Base,
    hold: Option<Hold>,
    guard: &SessionGuard,
) -> Result<Response<Reply>, Failed> {
    if request.uri().path() != bridge.path {
        let response = match &bridge.files {
            Some(folder) if hold.is_none() => {
                files::serve(folder, &route.path, base, request.map(Body::new)).await
            }
            _ => page::text(StatusCode::NOT_FOUND, "only a WebSocket is served here"),
        };
        return Ok(response.map(|body| body.guarded(guard)));
    }
    let Some(hold) = hold else { return Ok(refuse("this address speaks WebSocket only")) };
    let mut response = match create_response_with_body(&request, || Reply::from(Body::empty())) {
        Ok(response) => response,
        Err(error) => return Ok(refuse(&error.to_string())),
    };
    if offers_binary(request.headers()) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BINARY));
    }
    let service = connect::connect(&route.upstream).await.map_err(Failed::Unreachable)?;
    let resources = Arc::clone(&hold.resources);
    upgrade::start(resources, carry(hyper::upgrade::on(&mut request), service, hold));
    Ok(response)
}

fn refuse(why: &str) -> Response<Reply> {
    let mut response = page::text(StatusCode::UPGRADE_REQUIRED, why);
    for (name, value) in [(UPGRADE, "websocket"), (CONNECTION, "upgrade"), (SEC_WEBSOCKET_VERSION, "13")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn offers_binary(headers: &HeaderMap) -> bool {
    let mut offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offers.any(|value| value.split(',').any(|offer| offer.trim() == BINARY))
}

async fn carry(client: OnUpgrade, service: Connection, hold: Hold) {
    let client = tokio::select! {
        Ok(client) = client => hold.upgrade.over(TokioIo::new(client)),
        () = hold.guard.ended().cancelled() => return,
        else => return,
    };
    let mut config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
    config.max_write_buffer_size = 4 * PIECE;
    config.max_message_size = Some(LARGEST);
    config.max_frame_size = Some(LARGEST);
    let client = WebSocketStream::from_raw_socket(client, Role::Server, Some(config)).await;
    let (mut sink, mut stream) = client.split();
    let (reader, writer) = tokio::io::split(service);
    let ending = tokio::select! {
        ending = to_service(&mut stream, writer) => ending,
        ending = to_client(&mut sink, reader) => ending,
        () = hold.guard.ended().cancelled() => Some((CloseCode::Away, "the session has ended")),
    };
    // The service's side is closed now. The client's side stays open until the client has closed too: closing a socket
    // with unread bytes in it would discard the bytes that were sent last.
    let farewell = async {
        if let Some((code, reason)) = ending {
            let frame = CloseFrame { code, reason: reason.into() };
            sink.send(Message::Close(Some(frame))).await.ok()?;
        }
        while let Some(Ok(_)) = stream.next().await {}
        Some(())
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

async fn to_service(
    stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    mut service: impl AsyncWrite + Unpin,
) -> Ending {
    let mut listens = true;
    while let Some(message) = stream.next().await {
        match message {
            // A service that accepts no more bytes may still send some.
            Ok(Message::Binary(bytes)) if listens => listens = service.write_all(&bytes).await.is_ok(),
            Ok(Message::Text(_)) => return Some((CloseCode::Unsupported, "messages must be binary")),
            Ok(Message::Close(_)) => return None,
            Ok(_) => {}
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                return Some((CloseCode::Size, "the message is too large"));
            }
            Err(Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) => {
                return Some((CloseCode::Protocol, "invalid WebSocket data"));
            }
            Err(_) => return None,
        }
    }
    None
}

async fn to_client(sink: &mut (impl Sink<Message> + Unpin), mut service: impl AsyncRead + Unpin) -> Ending {
    loop {
        let message = match tokio::time::timeout(KEEP_ALIVE, piece(&mut service)).await {
            Ok(Ok(bytes)) if bytes.is_empty() => {
                return Some((CloseCode::Normal, "the service has ended the connection"));
            }
            Ok(Ok(bytes)) => Message::Binary(bytes),
            Ok(Err(_)) => return Some((CloseCode::Error, "the connection to the service has broken")),
            Err(_) => Message::Ping(Bytes::new()),
        };
        // Returns when the whole message was sent: while the client is slow, the service is not read.
        sink.send(message).await.ok()?;
    }
}

/// The bytes that can be read, at most [`PIECE`]. No memory is held while there are none.
async fn piece(service: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Bytes> {
    poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); PIECE];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *service).poll_read(cx, &mut read))?;
        Ok(Bytes::copy_from_slice(read.filled())).into()
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_connection_gets_pings_and_end_of_service_closes_normally() {
        let (service, _server) = tokio::io::duplex(64);
        let mut sent = Vec::new();
        let still = tokio::time::timeout(KEEP_ALIVE * 5 / 2, to_client(&mut sent, service));
        assert!(still.await.is_err());
        assert_eq!(sent, [Message::Ping(Bytes::new()), Message::Ping(Bytes::new())]);

        let (service, mut server) = tokio::io::duplex(64);
        let (mut sent, said) = (Vec::new(), b"RFB 003.008\n");
        server.write_all(said).await.unwrap();
        drop(server);
        let ending = to_client(&mut sent, service).await;
        assert_eq!(ending.map(|(code, _)| code), Some(CloseCode::Normal));
        assert_eq!(sent, [Message::binary(&said[..])]);
    }
}
