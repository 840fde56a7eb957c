//! The front door: a listening port for each service and one for our own pages, authentication in front of all of
//! them, and a page that stands in for a service that is not ready.
//!
//! Invariants: nothing but the paths in `own` is reachable without a login, unless the configuration opens a port; the
//! first port answers before anything slow happens; a port that cannot be opened is a sentence, and the others work.
//! A request is decided on in one place, `door`.
//!
//! ```text
//! listen -> door -> visit
//!                -> auth (cookie, header, password, failures, session)
//!                -> origin
//!                -> own | login | the portal's router | proxy -> headers, stream | tunnel
//!                                                     | bridge -> files | tunnel
//!                                                     | waiting
//! ```

pub mod auth;
mod bridge;
pub(crate) mod crowd;
mod door;
mod files;
mod headers;
pub(crate) mod listen;
mod login;
mod origin;
mod own;
pub(crate) mod page;
mod proxy;
mod stream;
mod tunnel;
pub mod uri;
mod visit;
mod waiting;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::logs::Logs;
use crate::observe::Watch;
use crate::plan::routes::Route;
use auth::Auth;
use door::{Door, Target};
use visit::Arrival;

/// Where and as whom the gateway answers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that all ports are opened on.
    pub address: IpAddr,
    /// Host names, besides addresses and localhost, under which ports without authentication answer.
    pub names: Vec<String>,
    /// Origins (`https://name:port`) that may make changes besides a port's own.
    pub origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: Ipv4Addr::UNSPECIFIED.into(), names: Vec::new(), origins: Vec::new() }
    }
}

/// All open ports. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    door: Door,
    ports: Mutex<BTreeMap<u16, Port>>,
    crowd: crowd::Crowd<IpAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// An open port. What stands behind it can change while it is open.
struct Port {
    target: Arc<RwLock<Target>>,
    stop: CancellationToken,
}

impl Gateway {
    /// A gateway without open ports. `stop` closes it; must be called within a runtime.
    pub fn new(settings: Settings, auth: Auth, watch: Watch, logs: Logs, stop: CancellationToken) -> Self {
        let door = Door { auth, settings, watch, logs, proxy: proxy::Proxy::new() };
        let tasks = TaskTracker::new();
        // One that is passed on costs two descriptors.
        let crowd = crowd::Crowd::new(4);
        let inner = Arc::new(Inner { door, ports: Mutex::default(), crowd, stop, tasks });
        let closing = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            closing.stop.cancelled().await;
            closing.door.auth.close_all();
        });
        Self { inner }
    }

    /// Opens a port for pages of our own. Port 0 takes a free one. Returns the port that was opened.
    pub async fn open_pages(&self, port: u16, pages: Router) -> Result<u16, String> {
        self.open(port, Target::Own(pages)).await
    }

    /// Makes the open ports of services exactly those of `routes`: opens what is new, closes what is gone, and leaves
    /// the connections of the others alone. Returns the ports that could not be opened, with a sentence each; a
    /// second call tries them again.
    pub async fn set_routes(&self, routes: &[Route]) -> Vec<(u16, String)> {
        self.ports().retain(|number, port| {
            let pages = matches!(*port.target.read().unwrap_or_else(PoisonError::into_inner), Target::Own(_));
            let kept = pages || routes.iter().any(|route| route.listen == *number);
            if !kept {
                port.stop.cancel();
            }
            kept
        });
        let mut problems = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            if let Some(first) = routes[..at].iter().find(|first| first.listen == route.listen) {
                let problem = format!("port {} is already that of {}", route.listen, first.unit);
                problems.push((route.listen, problem));
            } else if let Err(problem) =
                self.open(route.listen, Target::Service(Arc::new(route.clone()))).await
            {
                problems.push((route.listen, problem));
            }
        }
        problems
    }

    /// Waits, a short time, until everything that was open is closed. Call it after `stop`.
    pub async fn drained(&self) {
        self.inner.tasks.close();
        let _ = tokio::time::timeout(listen::LAST_ANSWER, self.inner.tasks.wait()).await;
    }

    async fn open(&self, port: u16, target: Target) -> Result<u16, String> {
        if let Some(open) = self.ports().get(&port) {
            let mut current = open.target.write().unwrap_or_else(PoisonError::into_inner);
            if let (Target::Own(_), Target::Service(_)) = (&*current, &target) {
                return Err(format!("port {port} is that of the portal"));
            }
            *current = target;
            return Ok(port);
        }
        let listener = listen::bind(SocketAddr::new(self.inner.door.settings.address, port)).await?;
        let port = listener.local_addr().map_or(port, |address| address.port());
        let target = Arc::new(RwLock::new(target));
        let stop = self.inner.stop.child_token();
        self.inner.tasks.spawn(serve(
            Arc::clone(&self.inner),
            listener,
            port,
            Arc::clone(&target),
            stop.clone(),
        ));
        self.ports().insert(port, Port { target, stop });
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
    target: Arc<RwLock<Target>>,
    stop: CancellationToken,
) {
    let mut accepting = listen::Accepting::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Some((stream, peer)) = accepting.take(accepted).await else { continue };
        let Some(place) = inner.crowd.enter(peer.ip().to_canonical()) else {
            // Closing says it: an answer would cost what there is too little of.
            drop(stream);
            continue;
        };
        let _ = stream.set_nodelay(true);
        tunnel::keep_alive(&stream);
        let (inner, target, stop) = (Arc::clone(&inner), Arc::clone(&target), stop.clone());
        inner.tasks.clone().spawn(async move {
            let peer = peer.ip().to_canonical();
            let handler = |request| {
                let target = target.read().unwrap_or_else(PoisonError::into_inner).clone();
                inner.door.answer(target, Arrival { port, peer, tls: false }, request)
            };
            listen::serve(stream, handler, stop).await;
            drop(place);
        });
    }
}
