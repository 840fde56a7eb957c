//! The failures of each network: the pause before its next attempt, and bans. A public address with too many failures
//! in a short time is banned for a while. An address that all users may share is never banned, and counts as under
//! attack for that time. No waiting, and no clock.
//!
//! The same wrong value again is not counted as a further guess: an open page, or a program, repeats what its browser
//! or its file remembers, and this must not ban its owner.
//!
//! Invariants: memory is bounded; no client is refused for ever.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::digest::Fingerprint;
use crate::gateway::network::Network;

/// Failures without a pause.
const FREE: u32 = 3;

/// The first pause. It doubles with each failure, up to two seconds: a user behind an attacker's address waits at most
/// this long.
const PAUSE: Duration = Duration::from_millis(250);
const DOUBLINGS: u32 = 3;

/// This many failures within this time cause a ban.
const TOO_MANY: usize = 5;
const WINDOW: Duration = Duration::from_secs(2 * 60);

/// How long a ban lasts. Older failures are forgotten.
pub(super) const BAN: Duration = Duration::from_secs(5 * 60);

/// How many wrong values are remembered per network; at least [`TOO_MANY`].
const MISTAKES: usize = 8;

/// How many networks are remembered.
pub(super) const NETWORKS: usize = 4096;

/// The failures of all networks.
#[derive(Default)]
pub(super) struct Failures(HashMap<Network, Record>);

/// The failures of one network.
#[derive(Default)]
struct Record {
    /// Failures in a row, for the pause.
    in_a_row: u32,
    /// The fingerprints of the last few wrong values, the newest first.
    mistakes: VecDeque<(Fingerprint, Instant)>,
    /// Until when the network is banned or under attack.
    closed_until: Option<Instant>,
}

impl Record {
    fn is_old(&self, now: Instant) -> bool {
        self.mistakes.front().is_none_or(|(_, last)| now.duration_since(*last) >= BAN)
    }
}

impl Failures {
    /// The remaining time of a ban.
    pub(super) fn banned(&self, network: Network, now: Instant) -> Option<Duration> {
        self.closed(network, now).filter(|_| network.public)
    }

    /// Whether a network is under attack that cannot be banned. The client that asks need not be the attacker.
    pub(super) fn is_under_attack(&self, network: Network, now: Instant) -> bool {
        !network.public && self.closed(network, now).is_some()
    }

    /// Whether a network has sent this wrong value a short time ago.
    pub(super) fn knows(&self, network: Network, fingerprint: Fingerprint, now: Instant) -> bool {
        let record = self.record(network, now);
        record.is_some_and(|record| record.mistakes.iter().any(|(known, _)| *known == fingerprint))
    }

    /// Counts one more failure. Returns the pause before the next attempt, and whether the failure causes a ban.
    pub(super) fn fail(
        &mut self,
        network: Network,
        fingerprint: Fingerprint,
        now: Instant,
    ) -> (Duration, bool) {
        if self.record(network, now).is_none() {
            self.0.remove(&network);
            self.make_room(now);
        }
        let record = self.0.entry(network).or_default();
        record.mistakes.truncate(MISTAKES - 1);
        record.mistakes.push_front((fingerprint, now));
        record.in_a_row = record.in_a_row.saturating_add(1);
        let doublings = record.in_a_row.checked_sub(FREE);
        let pause = doublings.map_or(Duration::ZERO, |doublings| PAUSE * 2_u32.pow(doublings.min(DOUBLINGS)));
        let recent = record.mistakes.iter().filter(|(_, at)| now.duration_since(*at) < WINDOW);
        let too_many = recent.count() >= TOO_MANY;
        if too_many {
            record.closed_until = Some(now + BAN);
        }
        (pause, too_many && network.public)
    }

    /// Records that an attempt was right.
    pub(super) fn forgive(&mut self, network: Network) {
        if network.public {
            self.0.remove(&network);
        } else if let Some(record) = self.0.get_mut(&network) {
            // Clients that share an address need not be the same user: the failures of an attacker are kept.
            record.in_a_row = 0;
        }
    }

    fn closed(&self, network: Network, now: Instant) -> Option<Duration> {
        let until = self.record(network, now)?.closed_until?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    fn record(&self, network: Network, now: Instant) -> Option<&Record> {
        self.0.get(&network).filter(|record| !record.is_old(now))
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < NETWORKS {
            return;
        }
        self.0.retain(|_, record| !record.is_old(now));
        if self.0.len() >= NETWORKS {
            // A banned network is removed last.
            let age = |record: &Record| (record.closed_until, record.mistakes.front().map(|(_, last)| *last));
            let oldest = self.0.iter().min_by_key(|(_, record)| age(record)).map(|(network, _)| *network);
            if let Some(network) = oldest {
                self.0.remove(&network);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }
}
