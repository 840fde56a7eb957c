//! Slows down guessing, by the network that it comes from: one attempt is checked at a time, after a pause that grows
//! with each failure; a public address that fails too often in a short time is banned for a while. One that may be
//! everybody's is never banned.
//!
//! Of those who wait, the last to come goes first, and when too many wait the one that has waited longest is sent away:
//! a guesser who keeps hundreds of attempts waiting does not keep out the person who tries once.
//!
//! The same mistake again is no further guess: a page that is still open, or a program, repeats what its browser or its
//! file remembers, and must not get its owner banned.
//!
//! Invariants: bounded memory; nobody is refused for good; whoever shows a valid session or token never comes here, nor
//! does a password that was right from the same network a while ago, unless somebody guesses there who cannot be banned
//! (`besieged`); whoever goes away while they wait has not tried. A browser in which the right password was typed before
//! is counted like a network of its own: it neither waits for nor is banned with the others of its address.

mod table;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::counters::Counts;
use super::digest::Mark;
use super::network::Network;
use table::{Look, Table};

/// How long an attempt waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody is told to wait who did not come to their turn.
const COME_BACK: Duration = Duration::from_secs(2);

/// Wrong tokens of one network that are held back at once.
const HELD: usize = 64;

/// Who failed how often. Cheap to clone.
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

/// A place among those who wait.
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

    /// Whether this is a mistake that the address has made already.
    pub(super) fn knows(&self, network: Network, mark: Mark) -> Result<bool, Duration> {
        let look = self.lock().knows(network, mark, Instant::now());
        look.map_err(|wait| self.refused(wait))
    }

    /// Whether somebody guesses from an address that cannot be banned because it may be everybody's. A password that
    /// was right a while ago then has to wait for its turn like all others: an answer without one would tell it from
    /// the wrong ones as fast as the network carries them.
    pub(super) fn besieged(&self, network: Network) -> bool {
        self.lock().besieged(network.address, Instant::now())
    }

    /// Waits until this address may try. If it may not: the time after which to come back.
    pub(super) async fn turn(&self, network: Network) -> Result<Turn, Duration> {
        let end = Instant::now() + PATIENCE;
        let place = self.queue(network)?;
        loop {
            let mut changed = pin!(place.changed.notified());
            // Before looking: what changes after the look is not missed.
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

    /// Somebody showed a wrong token. It costs nothing to check one, so it takes nobody's turn; it counts, and the
    /// answer is held back.
    pub(super) async fn wrong(&self, network: Network, mark: Mark) -> Result<(), Duration> {
        let pause = {
            let mut table = self.lock();
            let now = Instant::now();
            let record = table.record(network, now);
            if let Some(wait) = record.banned(now) {
                return Err(self.refused(wait));
            }
            if record.knows(mark) {
                return Ok(());
            }
            self.counts.attempts.up();
            self.counts.failures.up();
            if record.fail(mark, now) {
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

    /// Counts an attempt that is not checked.
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
    /// The attempt was right, or wrong in a certain way.
    pub(super) fn end(self, wrong: Option<Mark>) {
        let counts = &self.failures.counts;
        counts.attempts.up();
        if wrong.is_some() {
            counts.failures.up();
        }
        if self.failures.lock().end(self.address, wrong, Instant::now()) {
            counts.bans.up();
            tracing::warn!("{} guessed passwords and may try no more for a while", self.address);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.failures.lock().free(self.address);
    }
}

/// An answer that is held back.
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
