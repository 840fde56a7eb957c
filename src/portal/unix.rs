//! The control socket: the api without passwords, because the kernel says who asks.

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
use crate::gateway::crowd::{Crowd, Peer, cost};
use crate::gateway::pace::Stalls;
use crate::gateway::{connection, listen};
use crate::supervise::Asker;

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Everything.
    Change,
    /// Look.
    Read,
    /// Nothing.
    Nothing,
}

/// Serves `router` on a socket until `stop`; a listener that comes later takes the first one's place. `right` decides by
/// the peer's user id, which the kernel vouches for; the socket file's mode decides who gets this far.
pub async fn serve_unix(
    (mut listener, mut later): (UnixListener, mpsc::Receiver<UnixListener>),
    router: Router,
    right: impl Fn(u32) -> Right + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let crowd = Crowd::of_control();
    let mut accepting = listen::Accepting::default();
    loop {
        let accepted = tokio::select! {
            accepted = async { crowd.room().await; listener.accept().await } => accepted,
            Some(again) = later.recv() => {
                listener = again;
                continue;
            }
            () = stop.cancelled() => break,
        };
        let Some((stream, _)) = accepting.take(accepted).await else { continue };
        let peer = stream.peer_cred().ok().map(|peer| peer.uid());
        let place = crowd.enter(Peer::User(peer));
        let right = peer.map_or(Right::Nothing, &right);
        let asker = peer.map_or_else(Asker::default, |uid| Asker(format!("uid {uid}")));
        let (router, stop) = (router.clone(), stop.clone());
        let served = Arc::clone(&place);
        let task = connections.spawn(async move {
            let ended = stop.clone();
            let handler = |request| answer(router.clone(), right, asker.clone(), request);
            place.begin();
            place.charge(cost::HTTP1);
            let connection = connection::http1(stream, handler, Stalls::Stay, &place, stop);
            // Streams of events have no end of their own.
            tokio::select! {
                _ = connection => {}
                () = async { ended.cancelled().await; tokio::time::sleep(listen::LAST_ANSWER).await } => {}
            }
        });
        served.served_by(task.abort_handle());
    }
    // Whoever asked for the end still gets the answer.
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

/// Binds the socket at `path`, in the folder `run`. A daemon that answers there already keeps it.
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
    // What is left of a dead boot.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(at)?;
    fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(at)?;
    Ok(listener)
}

/// The daemon's folder must be the daemon's: another user's could be swapped under us.
fn own_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let owner = fs::symlink_metadata(folder)?.uid();
    if owner == Uid::effective().as_raw() {
        return Ok(());
    }
    Err(io::Error::other(format!("it belongs to user {owner}, not to the user that desktopd runs as")))
}
