//! Counters of authentication events, for monitoring.

use std::sync::atomic::{AtomicU64, Ordering};

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

macro_rules! counts {
    ($($name:ident),+) => {
        /// The live counters.
        #[derive(Default)]
        pub(super) struct Counts {
            $(pub(super) $name: Count,)+
        }

        impl Counts {
            pub(super) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counts!(attempts, failures, refused, bans, logins, hashes);

/// One counter.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
