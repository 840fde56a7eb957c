//! The WebSocket of one of our own pages, which this process serves itself.
//!
//! The request handler has checked the Origin of the request: it counts as one that changes something.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{Request, Response, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::upgrade;
use crate::gateway::metrics::Upgrade;
use crate::gateway::request::visitor::Visitor;

/// The server's side of a WebSocket.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The limits of a WebSocket. Bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The largest message from the client.
    pub(crate) message: usize,
    /// The most that waits to be sent.
    pub(crate) unsent: usize,
}

/// Answers the handshake, and then has `serve` use the WebSocket, as long as the connection lasts.
pub(crate) fn open<F>(
    mut request: Request<Body>,
    visitor: &Visitor,
    sizes: Sizes,
    serve: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let response = match create_response_with_body(&request, Body::empty) {
        Ok(response) => response,
        Err(error) => return refuse(&error.to_string()),
    };
    let counted = Upgrade::of(&request);
    let (upgraded, guard) = (hyper::upgrade::on(&mut request), visitor.guard.clone());
    upgrade::start(Arc::clone(&visitor.resources), async move {
        let _counted = counted;
        let upgraded = tokio::select! {
            biased;
            () = guard.ended().cancelled() => return,
            Ok(upgraded) = upgraded => upgraded,
            else => return,
        };
        let mut config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        config.max_write_buffer_size = sizes.unsent;
        config.max_message_size = Some(sizes.message);
        config.max_frame_size = Some(sizes.message);
        let io = TokioIo::new(upgraded);
        serve(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await).await;
    });
    response
}

fn refuse(why: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{why}\n")));
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    for (name, value) in [(UPGRADE, "websocket"), (CONNECTION, "upgrade"), (SEC_WEBSOCKET_VERSION, "13")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
