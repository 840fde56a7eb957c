//! The control socket: the API without passwords, because the kernel reports the client's user id.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use nix::unistd::Uid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::ErrorBody;
use super::control;
use crate::gateway::limits::{ConnectionLimits, Peer, cost};
use crate::gateway::timeouts::Stalls;
use crate::gateway::{connection, listen};
use crate::supervise::Asker;

/// The rights of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// All requests.
    Change,
    /// Only requests that read.
    Read,
    /// No requests.
    Nothing,
}

/// Serves `router` on a socket until `stop`; each of the `listeners` replaces the one before it. `right` decides by the
/// client's user id, which the kernel guarantees; the mode of the socket file decides who can connect.
pub async fn serve_unix(
    mut listeners: mpsc::Receiver<UnixListener>,
    router: Router,
    right: impl Fn(u32) -> Right + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let Some(mut listener) = listeners.recv().await else { return };
    let connections = TaskTracker::new();
    let limits = ConnectionLimits::of_control();
    let mut accepting = listen::Accepting::default();
    loop {
        let accepted = tokio::select! {
            accepted = async { limits.room().await; listener.accept().await } => accepted,
            Some(again) = listeners.recv() => {
                listener = again;
                continue;
            }
            () = stop.cancelled() => break,
        };
        let Some((stream, _)) = accepting.take(accepted).await else { continue };
        let peer = stream.peer_cred().ok().map(|peer| peer.uid());
        let slot = limits.enter(Peer::User(peer));
        let right = peer.map_or(Right::Nothing, &right);
        let asker = peer.map_or_else(Asker::default, |uid| Asker(format!("uid {uid}")));
        let (router, stop) = (router.clone(), stop.clone());
        let served = Arc::clone(&slot);
        let task = connections.spawn(async move {
            let ended = stop.clone();
            let handler = |request| answer(router.clone(), right, asker.clone(), request);
            slot.begin();
            slot.charge(cost::HTTP1);
            let connection = connection::http1(stream, handler, Stalls::Stay, &slot, stop);
            // Event streams do not end by themselves.
            tokio::select! {
                _ = connection => {}
                () = async { ended.cancelled().await; tokio::time::sleep(listen::LAST_ANSWER).await } => {}
            }
        });
        served.served_by(task.abort_handle());
    }
    // A client that asked for the shutdown still gets its answer.
    connections.close();
    connections.wait().await;
}

async fn answer(router: Router, right: Right, asker: Asker, mut request: Request<Incoming>) -> Response {
    let allowed = match right {
        Right::Change => true,
        Right::Read => {
            matches!(*request.method(), Method::GET | Method::HEAD)
                && request.uri().path() != control::CREDENTIALS
        }
        Right::Nothing => false,
    };
    if !allowed {
        let error = "this needs root or the user that the daemon runs as".to_owned();
        return (StatusCode::FORBIDDEN, Json(ErrorBody { error })).into_response();
    }
    request.extensions_mut().insert(asker);
    match TowerToHyperService::new(router).call(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Binds the socket at `path`, in the folder `run`. Fails if another daemon already answers there.
pub async fn bind_unix(run: &Path, path: &Path) -> Result<UnixListener, String> {
    let at = |error: io::Error| format!("{}: {error}", path.display());
    own_folder(run).map_err(|error| match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "{}: {error}; it needs a folder that can be written: --tmpfs /run --tmpfs /tmp",
                run.display()
            )
        }
        _ => at(error),
    })?;
    if UnixStream::connect(path).await.is_ok() {
        return Err(format!("desktopd already runs here: {} answers", path.display()));
    }
    // A socket that an earlier boot left behind.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(at)?;
    fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(at)?;
    Ok(listener)
}

/// The folder must belong to the daemon's user: another owner could replace it.
fn own_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let owner = fs::symlink_metadata(folder)?.uid();
    if owner == Uid::effective().as_raw() {
        return Ok(());
    }
    Err(io::Error::other(format!("it belongs to user {owner}, not to the user that desktopd runs as")))
}
