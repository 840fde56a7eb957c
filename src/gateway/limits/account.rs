//! The limits of a set of connections and the account that they apply to. Connections are closed here when a limit is
//! reached.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::state::{State, Stranger};

/// How often the log says that untrusted connections are closed.
const TELL: Duration = Duration::from_secs(60);

/// The limits of the connections to a set of ports, or to a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ConnectionLimits(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) max: Limits,
    pub(super) state: Mutex<State>,
    /// Notified when a connection that was told to end has ended.
    pub(super) gone: Notify,
    pub(super) sent_away: AtomicU64,
    /// How many connections have ended since memory was returned to the system, and the notification that they are
    /// many.
    pub(super) ended: AtomicUsize,
    pub(super) many_ended: Notify,
    /// A logical clock. Its values are also the ids of connections.
    pub(super) clock: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) strangers: usize,
    pub(super) trusted: usize,
    pub(super) leaving: usize,
    pub(super) bytes: usize,
}

impl ConnectionLimits {
    pub(super) fn of(limits: Limits) -> Self {
        let (sent_away, ended, clock) = Default::default();
        let (state, gone, many_ended) = (Mutex::default(), Notify::new(), Notify::new());
        Self(Arc::new(Inner { max: limits, state, gone, sent_away, ended, many_ended, clock }))
    }

    /// Closes untrusted connections until the remaining ones are within the limits; never the new one.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>, newcomer: Option<u64>) {
        let limits = &self.0.max;
        let mut ends = Vec::new();
        let mut sent = 0;
        while state.slots > limits.strangers || state.bytes > limits.bytes {
            let Some(id) = state.first_to_go(newcomer, self.tick()) else { break };
            let Some(stranger) = state.leave(id, self.tick()) else { break };
            state.leaving_bytes += stranger.bytes;
            state.leaving.insert(id, stranger.bytes);
            sent += 1;
            ends.extend(stranger.end);
        }
        if sent == 0 {
            return;
        }
        self.0.sent_away.fetch_add(sent, Relaxed);
        let tell = state.told.is_none_or(|told| told.elapsed() > TELL);
        if tell {
            state.told = Some(Instant::now());
        }
        drop(state);
        for end in ends {
            end();
        }
        if tell {
            tracing::warn!(
                "connections without a login have reached their limit; the oldest ones are closed"
            );
        }
    }

    /// Changes what an untrusted connection takes, and closes other ones if that is too much. Returns whether there is
    /// an untrusted connection with this id.
    pub(super) fn change(&self, id: u64, change: impl FnOnce(&mut Stranger)) -> bool {
        let mut state = self.state();
        let there = state.change(id, self.tick(), change);
        self.settle(state, None);
        there
    }

    /// What all untrusted connections cost now. Bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.state().bytes
    }

    pub(super) fn tick(&self) -> u64 {
        self.0.clock.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
