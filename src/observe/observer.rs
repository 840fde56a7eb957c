//! The writer of the state.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::events::Events;
use super::looks::Looks;
use super::machine::Machine;
use super::metrics::Metrics;
use super::{Phase, RouteStatus, Snapshot};
use crate::supervise::Published;
use crate::sys::version;

/// The writer of the state. Cheap to clone; each field of the snapshot has one task that writes it.
#[derive(Clone)]
pub struct Observer {
    events: Events,
    metrics: Metrics,
    looks: Looks,
    machine: Machine,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

/// A reader of the state. Cheap to clone.
pub type Watch = watch::Receiver<Arc<Snapshot>>;

impl Observer {
    /// An observer of a daemon that just started.
    pub fn new(pid: i32, started_at: i64) -> (Self, Watch) {
        let mut first = Snapshot { version: version::VERSION.into(), pid, started_at, ..Snapshot::default() };
        first.judge();
        let (snapshot, watch) = watch::channel(Arc::new(first));
        let (events, metrics, looks) = (Events::new(started_at), Metrics::default(), Looks::default());
        let machine = Machine::new(watch.clone());
        (Self { events, metrics, looks, machine, snapshot }, watch)
    }

    /// The past and future events.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// The metrics of the whole program.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Tells that the machine is looked at or used.
    pub fn looks(&self) -> Looks {
        self.looks.clone()
    }

    /// The figures of the machine.
    pub fn machine(&self) -> Machine {
        self.machine.clone()
    }

    /// A reader of the state.
    pub fn watch(&self) -> Watch {
        self.snapshot.subscribe()
    }

    /// The state now.
    pub fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Takes over what the supervisor published.
    pub fn take(&self, Published { units, up, stopping, seq, .. }: Published) {
        // The phase changes only together with the units: without units there would be nothing to wait for.
        let phase = if stopping { Phase::Stopping } else { Phase::Running };
        self.update(|snapshot| {
            (snapshot.units, snapshot.up, snapshot.seq, snapshot.phase) = (units, up, seq, phase);
        });
    }

    /// Replaces the routes, and makes the links to them.
    pub fn set_routes(&self, routes: Vec<RouteStatus>) {
        self.update(|snapshot| {
            snapshot.routes = routes;
            snapshot.routes.iter_mut().for_each(|route| route.link(&snapshot.addresses));
        });
    }

    /// The public address was looked up.
    pub fn found(&self, public: IpAddr) {
        self.update(|snapshot| {
            if snapshot.addresses.found(public) {
                tracing::info!("public address: {public}");
                snapshot.routes.iter_mut().for_each(|route| route.link(&snapshot.addresses));
            }
        });
    }

    /// Changes the snapshot; readers wake only if the snapshot really changed.
    pub fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_if_modified(|current| {
            let mut next = Snapshot::clone(current);
            change(&mut next);
            next.judge();
            let changed = next != **current;
            if changed {
                *current = Arc::new(next);
            }
            changed
        });
    }
}
