//! The control socket stays where commands look for it. A user may empty the folder of sockets (`rm -rf
//! /run/desktopd/*`); then no command and no health check would reach the daemon any more.
//!
//! The kernel reports that a file was removed (inotify). Where inotify does not work, SIGHUP also makes the daemon
//! check the socket.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::{Gid, chown};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use crate::config::Places;
use crate::config::watch::Watch;
use crate::portal;

/// The socket of this daemon.
pub(super) struct Control {
    /// The folder that the socket is in.
    run: PathBuf,
    path: PathBuf,
    /// The group that may query besides root.
    group: Option<Gid>,
    /// Device and inode of the file.
    file: Option<(u64, u64)>,
    watch: Option<Watch>,
    /// To the task that serves the socket.
    listeners: mpsc::Sender<UnixListener>,
}

impl Control {
    /// Binds the socket. Also returns what is to be served: the listener, and the listeners that replace it later.
    pub(super) async fn bind(places: &Places) -> Result<(Self, mpsc::Receiver<UnixListener>), String> {
        let (run, path) = (places.run.clone(), places.control_socket());
        let listener = portal::bind_unix(&run, &path).await?;
        let (listeners, listening) = mpsc::channel(1);
        // There is room for one.
        let _ = listeners.try_send(listener);
        let (folder, socket) = (run.clone(), path.clone());
        // A removal of the folder itself is reported by its parent folder.
        let places = run.parent().map(PathBuf::from).into_iter().chain([run.clone()]).collect();
        let watch = Watch::over(places, move |changed| changed == folder || changed == socket);
        let watch = watch.inspect_err(|error| {
            tracing::warn!("a removed control socket will go unnoticed: {error}; SIGHUP restores it");
        });
        let mut control = Self { run, path, group: None, file: None, watch: watch.ok(), listeners };
        control.file = control.found();
        Ok((control, listening))
    }

    /// Lets a group query as well.
    pub(super) fn open_to(&mut self, group: Gid) {
        self.group = Some(group);
        if let Err(error) = chown(&self.path, None, Some(group)) {
            tracing::warn!("{}: {error}", self.path.display());
        }
    }

    /// Waits until the file of the socket was changed or removed. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        Watch::changed_in(&mut self.watch).await;
    }

    /// Makes the socket again if it was removed.
    pub(super) async fn look(&mut self) {
        if self.found().is_some_and(|found| Some(found) == self.file) {
            return;
        }
        match portal::bind_unix(&self.run, &self.path).await {
            Ok(listener) => {
                tracing::warn!("{} was removed and has been restored", self.path.display());
                self.file = self.found();
                if let Some(group) = self.group {
                    self.open_to(group);
                }
                // The task that serves the socket ends only with the daemon.
                let _ = self.listeners.send(listener).await;
            }
            Err(error) => {
                tracing::error!("the control socket was removed and cannot be restored: {error}");
            }
        }
        if let Some(Err(error)) = self.watch.as_mut().map(Watch::look) {
            tracing::warn!("a removed control socket will go unnoticed: {error}; SIGHUP restores it");
        }
    }

    fn found(&self) -> Option<(u64, u64)> {
        fs::symlink_metadata(&self.path).ok().map(|found| (found.dev(), found.ino()))
    }
}
