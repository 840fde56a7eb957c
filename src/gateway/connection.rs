//! One client's connection: the requests on it are read strictly, answered one after the other, and each in its time.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;

use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::pace::{HEAD, Pace, Paced};
use super::page;
use super::strict::{Next, Watched};

/// A head can be no larger. Bytes.
const HEAD_SIZE: usize = 64 * 1024;

/// Serves a connection until it ends. After `stop`, the request that is being answered is the last one.
pub(crate) async fn http1<I, F, R, B>(io: I, handler: F, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + From<axum::body::Body> + Unpin + 'static,
{
    let pace = Pace::new();
    let (io, verdicts) = Watched::new(io, pace.clone());
    let service = service_fn(|request| {
        let answering = pace.answer();
        let response = verdicts.next().map(|next| (next, handler(request)));
        async {
            let (next, mut response) = match response {
                Ok((next, response)) => (next, response.await),
                Err(why) => (Next::Nothing, page::text(StatusCode::BAD_REQUEST, why).map(B::from)),
            };
            if next == Next::Nothing && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Paced { body, answering }))
        }
    });
    let connection = http1::Builder::new()
        .max_header_size(HEAD_SIZE)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let (mut connection, mut look) = (pin!(connection), pin!(sleep_until(Instant::now() + HEAD)));
    let mut stopping = false;
    loop {
        // What goes wrong on a connection was the client's doing, and the client has seen it.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = look.as_mut() => match pace.look(Instant::now()) {
                Some(next) => look.as_mut().reset(next),
                None => return,
            },
        }
    }
}
