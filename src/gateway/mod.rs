//! The authenticating reverse proxy: one listening port for each service and one for our own pages, authentication
//! before all of them, and a waiting page in place of a service that is not ready.
//!
//! Invariants: without a login only the paths in `own` are reachable, unless the configuration opens a port; the first
//! port answers before anything slow happens; a port that cannot be opened is reported with a message, and the other
//! ports work. Only the request handler, `handler`, decides about a request.
//!
//! ```text
//! listen -> limits -> workers -> carry -> connection (validator, frames, timeouts) -> handler
//! handler -> context, deny
//!         -> auth (cookie, header, password, failures, session)
//!         -> origin, cors
//!         -> own | login | the portal's router | proxy -> headers, rewrite, pool, body | upgrade -> relay
//!                                              | bridge -> files | upgrade
//!                                              | waiting
//!         -> errors
//!         -> compress, cors, access_log, metrics
//! pool, upgrade, bridge, waiting -> connect
//! ```

mod access_log;
pub mod auth;
mod base;
mod body;
mod bridge;
mod carry;
mod compress;
mod connect;
pub(crate) mod connection;
mod context;
mod cors;
mod deny;
mod errors;
mod failed;
mod files;
pub mod forwarded;
mod frames;
mod handler;
mod headers;
mod https;
pub(crate) mod limits;
pub(crate) mod listen;
mod login;
mod metrics;
mod observed;
mod origin;
mod own;
pub(crate) mod page;
mod pool;
mod proxy;
mod relay;
mod rewrite;
mod settings;
mod state;
mod target;
pub(crate) mod timeouts;
pub mod tls;
mod upgrade;
pub mod uri;
mod validator;
mod waiting;
mod webrtc;
mod workers;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::logs::Logs;
use crate::observe::Observer;
use crate::plan::routes::Route;
use auth::Auth;
use context::{ConnectionInfo, ConnectionResources};
use handler::RequestHandler;
use limits::{ConnectionLimits, Peer};
use metrics::Metrics;
pub use settings::Settings;
use state::{Inner, Port};
use target::{SharedTarget, Target};
use workers::Workers;

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
        let metrics = Arc::new(Metrics::new(observer.metrics(), limits.clone()));
        metrics::register_logins(&metrics.all, &auth);
        let watch = observer.watch();
        let handler = RequestHandler { auth, settings, watch, logs, metrics, pages: OnceLock::new() };
        let (ended, closed) = (stop.clone(), limits.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = closed.give_memory_back() => {}
                () = ended.cancelled() => {}
            }
        });
        let inner = Arc::new(Inner { handler, ports: Mutex::default(), limits, stop, tasks, workers });
        let closing = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            closing.stop.cancelled().await;
            closing.handler.auth.close_all();
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
        self.ports().retain(|number, port| {
            let pages = matches!(port.target.now(), Target::Own(_));
            let wants = |route: &Route| {
                if port.inside { route.inner == Some(*number) } else { route.listen == *number }
            };
            let kept = pages || routes.iter().any(wants);
            if !kept {
                port.stop.cancel();
            }
            kept
        });
        let mut problems = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            if let Some(first) = routes[..at].iter().find(|first| first.listen == route.listen) {
                let problem = format!("port {} already belongs to {}", route.listen, first.unit);
                problems.push((route.listen, problem));
            } else if let Err(problem) = self.open(route.listen, false, Target::of(route)).await {
                problems.push((route.listen, problem));
            }
        }
        for (at, route) in routes.iter().enumerate() {
            let Some(port) = route.inner else { continue };
            let outer = routes.iter().find(|other| other.listen == port);
            let other = outer.or_else(|| routes[..at].iter().find(|other| other.inner == Some(port)));
            let opened = match other {
                Some(other) if other == route => continue,
                Some(other) => Err(format!("port {port} already belongs to {}", other.unit)),
                None => self.open(port, true, Target::of(route)).await,
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
            let change = |current: &Target| match (current, target) {
                (Target::Own(_), Target::Service(_)) => Err(format!("port {port} belongs to the portal")),
                (_, target) => Ok(target),
            };
            return open.target.change(change).map(|()| port);
        }
        let listener = listen::bind(SocketAddr::new(address, port)).await?;
        let port = listener.local_addr().map_or(port, |address| address.port());
        let target = SharedTarget::new(target);
        let stop = self.inner.stop.child_token();
        let serving = serve(Arc::clone(&self.inner), listener, port, Arc::clone(&target), stop.clone());
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
    target: Arc<SharedTarget>,
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
        let (target, stop, shared) = (Arc::clone(&target), stop.clone(), Arc::clone(&inner));
        let answers = Arc::clone(&answers);
        inner.workers.run(&Arc::clone(&slot), move |worker| {
            let resources = Arc::new(ConnectionResources { slot, answers, _worker: worker });
            let connection =
                ConnectionInfo { port, peer, from: context::text_of(peer), tls: false, resources };
            carry::carry(shared, stream, connection, target, stop)
        });
    }
}
