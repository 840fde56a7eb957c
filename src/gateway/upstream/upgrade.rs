//! Upgraded connections: WebSocket, and any other protocol that client and service agree on.
//!
//! Invariants: nothing passes before the service's 101; bytes that a side sent early are not lost; each upgraded
//! connection has its own connection to the service, so that none of its bytes can reach another request; it is closed
//! when its session is revoked.

use std::io;
use std::sync::Arc;

use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::connect::{self, Connection, Failed};
use super::relay::relay;
use crate::gateway::auth::SessionGuard;
use crate::gateway::limits::cost;
use crate::gateway::listener::validator::ValidatedStream;
use crate::gateway::metrics::Upgrade;
use crate::gateway::request::context::ConnectionResources;
use crate::plan::routes::Route;

/// What an upgraded connection holds as long as it is open.
pub(crate) struct Hold {
    /// The session guard: the upgraded connection ends with the session.
    pub(crate) guard: SessionGuard,
    /// It still occupies the connection slot of the client that opened it.
    pub(crate) resources: Arc<ConnectionResources>,
    /// Counts the bytes that pass.
    pub(crate) upgrade: Upgrade,
}

/// Asks the service for the upgrade. Any answer but 101 is an ordinary response.
pub(crate) async fn open(
    route: &Route,
    mut request: Request<Incoming>,
    hold: Hold,
) -> Result<Response<Incoming>, Failed> {
    let client = hyper::upgrade::on(&mut request);
    let mut response = connect::dial(&route.upstream, route.rewrite.title_case)
        .await?
        .send_request(request)
        .await
        .map_err(Failed::broken)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let service = hyper::upgrade::on(&mut response);
        start(Arc::clone(&hold.resources), carry(client, service, hold));
    }
    Ok(response)
}

/// Makes the kernel detect a peer that disappeared without closing the connection.
pub(crate) fn keep_alive(stream: &TcpStream) {
    // A connection on which this fails still works; it may only stay open longer than it should.
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(stream, sockopt::TcpKeepIdle, &60);
    let _ = setsockopt(stream, sockopt::TcpKeepInterval, &15);
}

/// Runs an upgraded connection in its own task, which serves the client's connection from now on.
pub(crate) fn start(resources: Arc<ConnectionResources>, upgrade: impl Future<Output = ()> + Send + 'static) {
    let slot = Arc::clone(&resources.slot);
    let task = tokio::spawn(async move {
        // An upgraded connection always counts as busy, never as idle.
        let busy = if resources.slot.is_trusted() { None } else { resources.slot.permit(true) };
        resources.slot.charge(cost::UPGRADE);
        upgrade.await;
        drop(busy);
    });
    slot.served_by(task.abort_handle());
}

async fn carry(client: OnUpgrade, service: OnUpgrade, hold: Hold) {
    // An error here concerns only the two peers, so it is not reported.
    tokio::select! {
        _ = connect_both(client, service, &hold.upgrade) => {}
        () = hold.guard.ended().cancelled() => {}
    }
}

/// Takes the plain connections back from hyper; of its buffers, only the bytes in them are kept.
async fn connect_both(client: OnUpgrade, service: OnUpgrade, upgrade: &Upgrade) -> io::Result<()> {
    let (client, service) = tokio::try_join!(client, service).map_err(io::Error::other)?;
    let (service, of_service) = bare::<Connection>(service).map_err(|_| unknown())?;
    let client = match bare::<ValidatedStream<TcpStream>>(client) {
        Ok((client, of_client)) => {
            upgrade.received(of_client.len());
            return relay(upgrade.over(client.into_inner()), service, (of_client, of_service)).await;
        }
        Err(client) => client,
    };
    let (client, of_client) = bare::<ValidatedStream<TlsStream<TcpStream>>>(client).map_err(|_| unknown())?;
    upgrade.received(of_client.len());
    relay(upgrade.over(client.into_inner()), service, (of_client, of_service)).await
}

/// The connection itself, and the bytes that were already read from it.
fn bare<I>(upgraded: Upgraded) -> Result<(I, Bytes), Upgraded>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<I>>()?;
    // An exact copy: the bytes belong to a buffer of 8 KiB, which would otherwise stay allocated as long as they do.
    Ok((io.into_inner(), Bytes::copy_from_slice(&read_buf)))
}

fn unknown() -> io::Error {
    io::Error::other("a connection of a kind that is not known here")
}
