//! The authenticating reverse proxy: one listening port for each service and one for our own pages, authentication
//! before all of them, and a waiting page in place of a service that is not ready.
//!
//! Invariants: without a login only the paths in `request/builtin.rs` are reachable, unless the configuration opens a
//! port; the first port answers before anything slow happens; a port that cannot be opened is reported with a message,
//! and the other ports work. Only `request/handler.rs` decides about a request.
//!
//! ```text
//! listener  listen -> workers -> carry -> connection (validator, frames, timeouts)
//!    |      (limits counts all connections)
//! request   handler -> context -> auth -> origin, cors -> builtin, login, waiting, or the portal's router
//!    |      errors, access_log: the last changes to an answer
//! upstream  forward -> pool | upgrade -> relay | bridge; then body, compress
//! ```

pub mod auth;
pub(crate) mod limits;
mod listener;
mod metrics;
mod network;
mod request;
mod settings;
mod state;
pub mod tls;
mod upstream;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::logs::Logs;
use crate::observe::Observer;
use crate::plan::routes::Route;
use auth::Auth;
use limits::{ConnectionLimits, Peer};
use listener::carry;
use listener::workers::Workers;
pub(crate) use listener::{connection, listen, timeouts};
use metrics::Metrics;
pub use request::browser_address::BrowserAddress;
use request::context::{self, ConnectionInfo, ConnectionResources};
pub(crate) use request::visitor::Visitor;
pub(crate) use request::{builtin, page};
pub use request::{forwarded, uri};
pub use settings::Settings;
use state::{Inner, Port, RequestHandler};
pub(crate) use upstream::body::Reply;
pub(crate) use upstream::socket;
use upstream::target::Target;

/// All open ports. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

impl Gateway {
    /// A gateway without open ports. `stop` closes it; must be called within a runtime.
    pub fn new(
        settings: Settings,
        auth: Auth,
        observer: &Observer,
        logs: Logs,
        stop: CancellationToken,
    ) -> Self {
        let tasks = TaskTracker::new();
        let workers = Workers::start(settings.threads, tasks.clone(), &stop);
        let limits = ConnectionLimits::of_ports();
        let (looks, machine) = (observer.looks(), observer.machine());
        let metrics = Arc::new(Metrics::new(observer.metrics(), limits.clone(), looks, machine));
        metrics::register_logins(&metrics.all, &auth);
        let watch = observer.watch();
        let handler = RequestHandler { auth, settings, watch, logs, metrics, pages: OnceLock::new() };
        let inner = Arc::new(Inner { handler, ports: Mutex::default(), limits, stop, tasks, workers });
        let shared = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            tokio::select! {
                () = shared.limits.give_memory_back() => {}
                () = shared.stop.cancelled() => shared.handler.auth.close_all(),
            }
        });
        Self { inner }
    }

    /// Opens a port for our own pages. Port 0 takes a free port. Returns the port that was opened.
    pub async fn open_pages(&self, port: u16, pages: Router) -> Result<u16, String> {
        self.inner.handler.pages.get_or_init(|| pages.clone());
        self.open(port, false, Target::Own(pages)).await
    }

    /// The same on loopback only: users reach this port through their own SSH port forwarding (`ssh -L`).
    pub async fn open_pages_inside(&self, port: u16, pages: Router) -> Result<u16, String> {
        self.open(port, true, Target::Own(pages)).await
    }

    /// Makes the open ports of services exactly those of `routes`: opens new ports, closes the ports that are no longer
    /// in `routes`, and leaves the connections of all other ports alone. Returns the ports that could not be opened,
    /// each with a message; a second call tries them again.
    pub async fn set_routes(&self, routes: &[Route]) -> Vec<(u16, String)> {
        let inner = routes.iter().filter_map(|route| Some((route.inner?, true, route)));
        let wanted: Vec<_> = routes.iter().map(|route| (route.listen, false, route)).chain(inner).collect();
        self.ports().retain(|number, port| {
            let kept = matches!(**port.target.borrow(), Target::Own(_))
                || wanted.iter().any(|(wanted, inside, _)| wanted == number && *inside == port.inside);
            if !kept {
                port.stop.cancel();
            }
            kept
        });
        let (mut taken, mut problems) = (BTreeMap::new(), Vec::new());
        for (port, inside, route) in wanted {
            let first = *taken.entry(port).or_insert(route);
            let opened = if std::ptr::eq(first, route) && (!inside || route.listen != port) {
                self.open(port, inside, Target::Service(Arc::new(route.clone()))).await
            } else if inside && first == route {
                continue;
            } else {
                Err(format!("port {port} already belongs to {}", first.unit))
            };
            problems.extend(opened.err().map(|problem| (port, problem)));
        }
        problems
    }

    /// Waits for a short time until all ports and connections are closed. Call it after `stop`.
    pub async fn drained(&self) {
        self.inner.tasks.close();
        let _ = tokio::time::timeout(listen::LAST_ANSWER, self.inner.tasks.wait()).await;
    }

    async fn open(&self, port: u16, inside: bool, target: Target) -> Result<u16, String> {
        let address = if inside { Ipv4Addr::LOCALHOST.into() } else { self.inner.handler.settings.address };
        if let Some(open) = self.ports().get(&port) {
            if matches!((&**open.target.borrow(), &target), (Target::Own(_), Target::Service(_))) {
                return Err(format!("port {port} belongs to the portal"));
            }
            // Later requests use the new target.
            open.target.send_replace(Arc::new(target));
            return Ok(port);
        }
        let listener = listen::bind(SocketAddr::new(address, port)).await?;
        let port = listener.local_addr().map_or(port, |address| address.port());
        let target = watch::Sender::new(Arc::new(target));
        let stop = self.inner.stop.child_token();
        let serving = serve(Arc::clone(&self.inner), listener, port, target.subscribe(), stop.clone());
        self.inner.tasks.spawn(serving);
        self.ports().insert(port, Port { target, inside, stop });
        Ok(port)
    }

    fn ports(&self) -> MutexGuard<'_, BTreeMap<u16, Port>> {
        self.inner.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(
    inner: Arc<Inner>,
    listener: TcpListener,
    port: u16,
    target: watch::Receiver<Arc<Target>>,
    stop: CancellationToken,
) {
    let mut accepting = listen::Accepting::default();
    let answers = Arc::new(inner.handler.metrics.answers(port));
    loop {
        let accepted = tokio::select! {
            accepted = async { inner.limits.room().await; listener.accept().await } => accepted,
            () = stop.cancelled() => return,
        };
        let Some((stream, peer)) = accepting.take(accepted).await else { continue };
        let Ok(stream) = stream.into_std() else { continue };
        let peer = peer.ip().to_canonical();
        let slot = inner.limits.enter(Peer::Address(peer));
        let (target, stop, shared) = (target.clone(), stop.clone(), Arc::clone(&inner));
        let answers = Arc::clone(&answers);
        inner.workers.run(&Arc::clone(&slot), move |worker| {
            let resources = Arc::new(ConnectionResources {
                slot,
                answers,
                recorded: auth::Recorded::default(),
                _worker: worker,
            });
            let connection =
                ConnectionInfo { port, peer, from: context::text_of(peer), tls: false, resources };
            carry::carry(shared, stream, connection, target, stop)
        });
    }
}
