//! Counters of authentication events, for monitoring.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts since the start. Each count only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Passwords and tokens that were checked, without those that were already known to be right.
    pub attempts: u64,
    /// Attempts that were wrong.
    pub failures: u64,
    /// Attempts that were refused unchecked: too many at once, or from an address that was banned.
    pub refused: u64,
    /// Bans of an address.
    pub bans: u64,
    /// Sessions that were opened.
    pub logins: u64,
    /// Runs of bcrypt.
    pub hashes: u64,
}

/// The live counters. No request with a session or a token counts here, so a lock costs nothing.
#[derive(Default)]
pub(super) struct Counts(Mutex<Counters>);

impl Counts {
    pub(super) fn add(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.lock());
    }

    pub(super) fn read(&self) -> Counters {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
