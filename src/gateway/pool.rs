//! Connections to services that earlier requests have left open.
//!
//! Invariants: each thread has its own, and no lock is ever waited for; one is lent to a single request at a time and
//! comes back only after its answer has passed whole; a request is sent again only when the first connection gave it
//! back unsent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::proxy::Failed;
use super::tunnel;
use crate::plan::routes::Upstream;

/// Idle connections are closed before services that close theirs after 5 s (Node) could do it under a request.
const IDLE: Duration = Duration::from_secs(3);

/// As many as a page of today asks for at once, and then some. For each service and thread.
const MOST: usize = 64;

thread_local! {
    static POOL: Arc<Pool> = Arc::default();
}

/// One thread's idle connections.
#[derive(Default)]
struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// Few services, so a list; each with its connections and since when they have had nothing to do.
    services: Vec<(Upstream, Vec<Kept>)>,
    swept: bool,
}

type Kept = (SendRequest<Incoming>, Instant);

/// A connection that is in use.
pub(super) struct Loan {
    pool: Arc<Pool>,
    upstream: Upstream,
    connection: SendRequest<Incoming>,
}

impl Loan {
    /// Gives the connection back, for the next request. Without this it is closed.
    pub(super) fn end(self) {
        let now = Instant::now();
        let mut idle = self.pool.lock();
        match idle.services.iter_mut().find(|(upstream, _)| *upstream == self.upstream) {
            Some((_, connections)) if connections.len() < MOST => connections.push((self.connection, now)),
            Some(_) => {}
            None => idle.services.push((self.upstream, vec![(self.connection, now)])),
        }
        if !std::mem::replace(&mut idle.swept, true) {
            drop(idle);
            tokio::spawn(sweep(self.pool));
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last: the others may then grow old and be closed.
    fn take(&self, upstream: &Upstream) -> Option<SendRequest<Incoming>> {
        let mut idle = self.lock();
        let (_, connections) = idle.services.iter_mut().find(|(service, _)| service == upstream)?;
        connections.retain(|(connection, _)| !connection.is_closed());
        // One that is not ready has not got rid of its last request's body.
        let at = connections.iter().rposition(|(connection, _)| connection.is_ready())?;
        Some(connections.swap_remove(at).0)
    }
}

/// Closes what nobody has used for a while, until nothing is left.
async fn sweep(pool: Arc<Pool>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let now = Instant::now();
        let mut idle = pool.lock();
        for (_, connections) in &mut idle.services {
            connections.retain(|(connection, since)| !connection.is_closed() && now - *since < IDLE);
        }
        idle.services.retain(|(_, connections)| !connections.is_empty());
        if idle.services.is_empty() {
            idle.swept = false;
            return;
        }
    }
}

/// Sends a request to a service, over a connection that is there already where there is one.
pub(super) async fn send(
    upstream: &Upstream,
    mut request: Box<Request<Incoming>>,
) -> Result<(Response<Incoming>, Loan), Failed> {
    let pool = POOL.with(Arc::clone);
    while let Some(mut connection) = pool.take(upstream) {
        match connection.try_send_request(*request).await {
            Ok(response) => return Ok((response, Loan { pool, upstream: upstream.clone(), connection })),
            Err(mut unsent) => match unsent.take_message() {
                Some(back) => *request = back,
                None => return Err(Failed::broken(unsent.into_error())),
            },
        }
    }
    let mut connection = Box::pin(dial(upstream, false)).await?;
    let response = connection.send_request(*request).await.map_err(Failed::broken)?;
    Ok((response, Loan { pool, upstream: upstream.clone(), connection }))
}

/// A new connection to a service, which reads names of headers only `Like-This` if `title_case` says so.
pub(super) async fn dial(upstream: &Upstream, title_case: bool) -> Result<SendRequest<Incoming>, Failed> {
    let stream = tunnel::connect(upstream).await.map_err(Failed::Unreachable)?;
    let handshake = http1::Builder::new().title_case_headers(title_case).handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(Failed::broken)?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
