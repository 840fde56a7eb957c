//! Connection limits, in total and per client network. Clients without a login must not take the descriptors and the
//! memory that the services and the logged-in clients need, and must not keep other clients out.
//!
//! A connection begins as an *untrusted* one (`Stranger`): no request on it has had a session, a token or a password.
//! Untrusted connections share a number of connection slots and a number of bytes; each is charged with what it costs
//! at the stage that it has reached. When either limit is reached, the new connection stays and another untrusted one
//! is closed: the oldest idle one of the network that holds most ([`networks`]), and only if none is idle, one that is
//! being answered. A connection that is new, and takes no more than usual, has a short time to authenticate: meanwhile
//! the oldest idle connection of all is closed. After a request has authenticated, its connection is *trusted*: it
//! leaves the account of the untrusted connections and takes one of the slots that untrusted connections never get.
//!
//! Invariants: a new connection is never refused while an older untrusted one exists; untrusted connections, trusted
//! ones and those that were told to end never exceed the descriptors together; a request takes no lock here, except the
//! first one of a connection that then becomes trusted: the activity of a connection is recorded in atomics, which are
//! read when a connection has to be closed.

mod account;
pub(crate) mod cost;
mod networks;
mod slot;
mod state;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};

use super::network::Network;
pub(crate) use account::ConnectionLimits;
use account::Limits;
use networks::Member;
pub(crate) use slot::{ConnectionSlot, Permit};
use state::{Activity, Stranger};

/// The largest number of connections, whatever the limit of descriptors.
const MOST: usize = 10_000;

/// Descriptors that are reserved, and not used for clients.
const LEFT: u64 = 1024;

/// The smallest number of connections, whatever the limit of descriptors.
const FEWEST: usize = 8;

/// The limit of untrusted connections.
const STRANGERS: usize = 4096;

/// What all untrusted connections together may cost. Bytes. During a flood the process takes several times as much: the
/// memory that many short connections leave free, between allocations that are still in use, cannot be returned to the
/// system at once.
const BYTES: usize = 12 << 20;

/// The limit of connections to the control socket, and what they may cost. Only root and the daemon's user can open it.
const CONTROL: usize = 256;
const CONTROL_BYTES: usize = 8 << 20;

/// The limit of connections that were told to end and are still open.
const LEAVING: usize = 256;

/// How long a new connection waits for those that were told to end. They normally end sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the return of memory to the system waits after many connections have ended. If no more have ended for the
/// time `LAST`, the memory that the last ones left is returned as well.
const SETTLED: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A host.
    Address(IpAddr),
    /// A user of this machine, if the kernel reports which.
    User(Option<u32>),
}

impl ConnectionLimits {
    /// The limits for the gateway ports. Each connection is taken as two descriptors, one of them for the connection to
    /// a service, and some descriptors are reserved for services and their logs.
    pub(crate) fn of_ports() -> Self {
        let descriptors = descriptors();
        let left = descriptors - (descriptors / 4).min(LEFT);
        let most = usize::try_from(left / 2).unwrap_or(MOST).clamp(FEWEST, MOST);
        let strangers = (most / 2).min(STRANGERS);
        let leaving = (most / 8).min(LEAVING);
        Self::of(Limits { strangers, trusted: most - strangers - leaving, leaving, bytes: BYTES })
    }

    /// The limits for the control socket. None of its connections is trusted.
    pub(crate) fn of_control() -> Self {
        let most = usize::try_from(descriptors() / 8).unwrap_or(CONTROL).clamp(FEWEST, CONTROL);
        Self::of(Limits { strangers: most, trusted: 0, leaving: most, bytes: CONTROL_BYTES })
    }

    /// Returns memory to the system whenever many connections have ended. Never returns.
    pub(crate) async fn give_memory_back(&self) {
        let give_back = async || {
            let _ = tokio::task::spawn_blocking(crate::sys::heap::give_back).await;
        };
        let many_ended = || self.0.many_ended.notified();
        loop {
            many_ended().await;
            let mut more = true;
            while more {
                // The other connections of the same flood have ended by then.
                tokio::time::sleep(SETTLED).await;
                give_back().await;
                more = tokio::time::timeout(LAST, many_ended()).await.is_ok();
            }
            give_back().await;
        }
    }

    /// Waits until few enough of the connections that were told to end are still open. Call it before each new
    /// connection.
    pub(crate) async fn room(&self) {
        let waiting = async {
            let full = || {
                let (state, limits) = (self.state(), &self.0.max);
                state.leaving.len() >= limits.leaving.max(1) || state.leaving_bytes > limits.bytes / 4
            };
            while full() {
                self.0.gone.notified().await;
            }
        };
        // After the timeout new connections are accepted again, even if these have not ended.
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
    }

    /// Takes a connection slot for a new connection. Another connection may be closed for it.
    pub(crate) fn enter(&self, peer: Peer) -> Arc<ConnectionSlot> {
        let path = match peer {
            Peer::Address(address) => Network::of(address).within(),
            Peer::User(user) => networks::of_user(user),
        };
        let activity = Arc::<Activity>::default();
        let mut state = self.state();
        let id = self.tick();
        let member = Member { path, since: id, id };
        let known = Arc::clone(&activity);
        let stranger = Stranger { member, slots: 1, bytes: cost::ACCEPTED, activity: known, end: None };
        state.slots += stranger.slots;
        state.bytes += stranger.bytes;
        state.networks[state::IDLE].add(member, stranger.weight(), id);
        state.strangers.insert(id, stranger);
        self.settle(state, Some(id));
        Arc::new(ConnectionSlot::new(self.clone(), id, activity))
    }

    /// How many untrusted connections were closed so far because of the limits.
    pub(crate) fn sent_away(&self) -> u64 {
        self.0.sent_away.load(Relaxed)
    }
}

fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

#[cfg(test)]
mod tests;
