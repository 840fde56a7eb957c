//! How often what happened at the door, for whoever watches over the machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers since the start. Each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Passwords and tokens that were checked and not known to be right already.
    pub attempts: u64,
    /// Those that were wrong.
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
        /// The same, while they grow.
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

/// One of them.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
