//! Connection pool: keeps connections to services open for later requests.
//!
//! Invariants: each thread has its own pool, and its lock is never contended; a connection serves a single request at a
//! time and returns to the pool only after the whole answer has passed; a request is sent again only when the first
//! connection returned it unsent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::connect::{Failed, dial};
use crate::plan::routes::Upstream;

/// Idle time after which we close a connection: shorter than the 5 s of Node, so that the service does not close the
/// connection while we send a request on it.
const IDLE: Duration = Duration::from_secs(3);

/// Maximum of idle connections for each service and thread: somewhat more than a current web page requests at once.
const MOST: usize = 64;

thread_local! {
    static POOL: Pool = Pool::default();
}

/// One thread's idle connections.
#[derive(Clone, Default)]
struct Pool(Arc<Mutex<Idle>>);

#[derive(Default)]
struct Idle {
    /// There are few services, so this is a list; each connection has the time since which it is idle.
    services: Vec<(Upstream, Vec<Kept>)>,
    /// Whether a task runs that closes idle connections.
    swept: bool,
}

type Kept = (SendRequest<Incoming>, Instant);

/// A pooled connection that is in use by a request.
pub(crate) struct PooledConnection {
    pool: Pool,
    upstream: Upstream,
    connection: SendRequest<Incoming>,
}

impl PooledConnection {
    /// Returns the connection to the pool for the next request. Without this call it is closed.
    pub(crate) fn release(self) {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that was used last, so that surplus connections stay idle and are closed.
    fn take(&self, upstream: &Upstream) -> Option<SendRequest<Incoming>> {
        let mut idle = self.lock();
        let (_, connections) = idle.services.iter_mut().find(|(service, _)| service == upstream)?;
        connections.retain(|(connection, _)| !connection.is_closed());
        // A connection that is not ready has not yet sent all of its last request's body.
        let at = connections.iter().rposition(|(connection, _)| connection.is_ready())?;
        Some(connections.swap_remove(at).0)
    }
}

/// Closes connections that were idle for too long; ends when none is left.
async fn sweep(pool: Pool) {
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

/// Sends a request to a service, over an idle connection if there is one.
pub(crate) async fn send(
    upstream: &Upstream,
    mut request: Box<Request<Incoming>>,
) -> Result<(Response<Incoming>, PooledConnection), Failed> {
    let pool = POOL.with(Pool::clone);
    let (response, connection) = loop {
        let Some(mut connection) = pool.take(upstream) else {
            let mut connection = Box::pin(dial(upstream, false)).await?;
            break (connection.send_request(*request).await.map_err(Failed::broken)?, connection);
        };
        match connection.try_send_request(*request).await {
            Ok(response) => break (response, connection),
            Err(mut unsent) => match unsent.take_message() {
                Some(back) => *request = back,
                None => return Err(Failed::broken(unsent.into_error())),
            },
        }
    };
    Ok((response, PooledConnection { pool, upstream: upstream.clone(), connection }))
}
