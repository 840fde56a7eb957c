//! Rate limit for failed logins, per network: one attempt at a time is checked, after a pause that grows with each
//! failure. A public address with too many failures in a short time is banned for a while. An address that all users
//! may share is never banned.
//!
//! Of the waiting attempts, the newest is checked first; when too many wait, the one that has waited longest is
//! refused. So an attacker with hundreds of waiting attempts does not keep out a user who tries once.
//!
//! The same wrong value again is not counted as a further guess: an open page, or a program, repeats what its browser
//! or its file remembers, and this must not ban its owner.
//!
//! Invariants: memory is bounded; no client is refused for ever; a request with a valid session or token is not limited
//! here, and neither is a password that was verified from the same network a short time ago, unless the network is
//! under attack and cannot be banned (`is_under_attack`); an attempt whose client disconnects while it waits is not
//! counted. A browser in which the right password was typed before is counted like a network of its own: it neither
//! waits for nor is banned with the other clients of its address.

mod table;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::counters::Counts;
use super::digest::Fingerprint;
use super::network::Network;
use table::{COME_BACK, Look, Table};

/// How long an attempt waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many responses to wrong tokens are delayed at the same time, per network.
const HELD: usize = 64;

/// The failures of all networks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Failures {
    table: Arc<Mutex<Table>>,
    counts: Arc<Counts>,
}

/// The right to make one attempt.
pub(super) struct Turn {
    failures: Failures,
    address: IpAddr,
}

/// An entry in the waiting list.
struct Place<'a> {
    failures: &'a Failures,
    address: IpAddr,
    ticket: u64,
    changed: Arc<Notify>,
}

impl Failures {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Self { table: Arc::default(), counts }
    }

    /// Whether this network has sent the same wrong value already.
    pub(super) fn knows(&self, network: Network, fingerprint: Fingerprint) -> Result<bool, Duration> {
        let look = self.lock().knows(network, fingerprint, Instant::now());
        look.map_err(|wait| self.refused(wait))
    }

    /// Whether a network is under attack that cannot be banned, because all users may share its address. A password
    /// that was verified a short time ago then has to wait for its turn like all other attempts: an immediate answer
    /// would let an attacker find the right password as fast as the network allows.
    pub(super) fn is_under_attack(&self, network: Network) -> bool {
        self.lock().is_under_attack(network.address, Instant::now())
    }

    /// Waits until this address may try. The error is the time after which the client may try again.
    pub(super) async fn turn(&self, network: Network) -> Result<Turn, Duration> {
        let end = Instant::now() + PATIENCE;
        let place = self.queue(network)?;
        loop {
            let mut changed = pin!(place.changed.notified());
            // Before the look, so that no change after the look is missed.
            changed.as_mut().enable();
            let until = match place.look() {
                Look::Go => return Ok(Turn { failures: self.clone(), address: place.address }),
                Look::Refused(wait) => return Err(self.refused(wait)),
                Look::At(at) => at.min(end),
                Look::Later => end,
            };
            let _ = timeout_at(until, changed).await;
            if Instant::now() >= end {
                return Err(self.refused(COME_BACK));
            }
        }
    }

    /// Counts a wrong token and delays the response. The check of a token is cheap, so it needs no turn.
    pub(super) async fn wrong(&self, network: Network, fingerprint: Fingerprint) -> Result<(), Duration> {
        let pause = {
            let mut table = self.lock();
            let now = Instant::now();
            let record = table.record(network, now);
            if let Some(wait) = record.banned(now) {
                return Err(self.refused(wait));
            }
            if record.knows(fingerprint) {
                return Ok(());
            }
            self.counts.attempts.up();
            self.counts.failures.up();
            if record.fail(fingerprint, now) {
                self.counts.bans.up();
            }
            let pause = record.pause();
            if record.held >= HELD {
                return Err(self.refused(pause));
            }
            record.held += 1;
            pause
        };
        let _held = Held { failures: self, address: network.address };
        if !pause.is_zero() {
            sleep(pause).await;
        }
        Ok(())
    }

    fn queue(&self, network: Network) -> Result<Place<'_>, Duration> {
        let mut table = self.lock();
        let now = Instant::now();
        if let Some(wait) = table.record(network, now).banned(now) {
            return Err(self.refused(wait));
        }
        let (ticket, changed) = table.queue(network, now);
        Ok(Place { failures: self, address: network.address, ticket, changed })
    }

    /// Counts an attempt that was refused without a check.
    pub(super) fn refused(&self, wait: Duration) -> Duration {
        self.counts.refused.up();
        wait
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    fn look(&self) -> Look {
        self.failures.lock().look(self.address, self.ticket, Instant::now())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.failures.lock().leave(self.address, self.ticket) {
            self.changed.notify_waiters();
        }
    }
}

impl Turn {
    /// Ends the attempt: it was right (`None`), or wrong with this fingerprint.
    pub(super) fn end(self, wrong: Option<Fingerprint>) {
        let counts = &self.failures.counts;
        counts.attempts.up();
        if wrong.is_some() {
            counts.failures.up();
        }
        if self.failures.lock().end(self.address, wrong, Instant::now()) {
            counts.bans.up();
            tracing::warn!("{} is banned for a while after too many wrong passwords", self.address);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.failures.lock().free(self.address);
    }
}

/// A response that is delayed.
struct Held<'a> {
    failures: &'a Failures,
    address: IpAddr,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.failures.lock().answered(self.address);
    }
}

#[cfg(test)]
mod tests;
