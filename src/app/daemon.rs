//! The daemon while it runs: forwards signals and requests to the supervisor, and states to the observer.

use std::ffi::OsString;

use tokio::sync::mpsc;

use super::control::Control;
use super::provisioning_marker::ProvisioningMarker;
use super::welcome::{self, Known, Welcome};
use crate::cli::code;
use crate::facts;
use crate::gateway::auth::Auth;
use crate::logs::{Logs, OWN_LOG};
use crate::observe::Observer;
use crate::portal::{ReloadRequest, Reloads};
use crate::supervise::Supervisor;
use crate::sys;
use crate::sys::signals::{Signal, Signals};

/// Everything that runs, with the channels on which requests arrive.
pub(super) struct Daemon {
    pub(super) signals: Signals,
    pub(super) supervisor: Supervisor,
    pub(super) observer: Observer,
    /// Requests that the configuration be read again.
    pub(super) reloads: Reloads,
    /// Notified when a client of the control socket has everything stopped.
    pub(super) shutdowns: mpsc::UnboundedReceiver<()>,
    pub(super) auth: Auth,
    /// Whether a login is required.
    pub(super) asks: bool,
    /// The socket that gets `READY=1` once everything is up; `None` after that.
    pub(super) ready_socket: Option<OsString>,
    /// Tells scripts that the machine is still being set up.
    pub(super) provisioning_marker: ProvisioningMarker,
    /// The socket over which commands reach the daemon.
    pub(super) control: Control,
    /// Prints where to log in.
    pub(super) welcome: Welcome,
    pub(super) logs: Logs,
}

impl Daemon {
    /// Runs until everything has stopped, and returns the exit code.
    pub(super) async fn run(mut self) -> i32 {
        let mut states = self.supervisor.watch.clone();
        let (mut supervised, mut stopping) = (true, false);
        loop {
            let stop = tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Stop(name) => Some(format!("got signal {name}")),
                    Signal::Reload => {
                        self.control.look().await;
                        if self.reloads.send(ReloadRequest { why: "got signal HUP", restart: None, reply: None }).is_err() {
                            tracing::error!(
                                "the configuration is not read any more after an internal error of desktopd"
                            );
                        }
                        None
                    }
                },
                Some(()) = self.shutdowns.recv() => Some("requested over the control socket".to_owned()),
                () = self.control.changed() => {
                    self.control.look().await;
                    None
                }
                changed = states.changed(), if supervised => {
                    if changed.is_err() {
                        // The daemon keeps running: if it ended, everything that still works would end with it.
                        tracing::error!("the supervisor has failed; services run on without supervision");
                        supervised = false;
                        continue;
                    }
                    let published = states.borrow_and_update().clone();
                    let (finished, code) = (published.finished, published.code);
                    if published.stopping && !stopping {
                        stopping = true;
                        tracing::info!("stopping: the main service has ended");
                    }
                    self.provisioning_marker.update(&published.units);
                    if published.up {
                        self.came_up();
                    }
                    self.observer.take(published);
                    if finished {
                        return code;
                    }
                    if !stopping && !self.welcome.is_over() {
                        self.greet();
                    }
                    None
                }
            };
            if let Some(why) = stop {
                tracing::info!("stopping: {why}");
                stopping = true;
                self.supervisor.shutdown();
                if !supervised {
                    return code::FAILED;
                }
            }
        }
    }

    /// Everything is up: reports it once to the process that started the daemon, and does the work that could wait.
    fn came_up(&mut self) {
        self.auth.hash_ahead();
        let Some(socket) = self.ready_socket.take() else { return };
        if let Err(error) = sys::notify::tell(&socket, "READY=1") {
            tracing::warn!("NOTIFY_SOCKET={}: {error}", socket.display());
        }
    }

    /// Prints where to log in, as soon as that is useful.
    fn greet(&mut self) {
        let snapshot = self.observer.now();
        let (units, routes) = (&*snapshot.units, &*snapshot.routes);
        let stage = welcome::stage(units, routes, snapshot.up, self.provisioning_marker.exists());
        let lines = self.welcome.lines(stage, || {
            let (user, _) = self.auth.user();
            let container = facts::container_id();
            welcome::text(stage, &Known { units, routes, user: &user, asked: self.asks, container })
        });
        for line in lines {
            self.logs.push(OWN_LOG, &line);
        }
        if self.welcome.is_over() {
            // Gives back the memory that only the start needed.
            tokio::task::spawn_blocking(sys::heap::give_back);
        }
    }
}
