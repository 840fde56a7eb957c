//! How many attempts came from each network lately, and how many of them were checked: for an address itself and for
//! the wider networks that contain it.
//!
//! Attackers can have any number of addresses, so nothing is kept per address: a fixed number of counters is shared by
//! hashes (a count-min sketch). An estimate is never too low and seldom too high. Old counts decay by halving.

use std::array::from_fn;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::gateway::network::{LEVELS, Network};

/// Counters of each level: the number of rows, in each of which an address has one counter, and the number of counters
/// in a row.
const ROWS: usize = 3;
const WIDTH: usize = 4096;

/// After this time all counts are halved.
const HALF: Duration = Duration::from_secs(30);

/// What one attempt adds: more than one, so that it is halved several times before it is zero.
const STEP: u32 = 16;

/// This many attempts have no weight: a user who mistypes is not a flood.
const FREE: u32 = 3 * STEP;

#[derive(Clone, Copy, Default)]
struct Counter {
    asked: u32,
    checked: u32,
}

/// The counters of an address.
#[derive(Clone, Copy)]
pub(super) struct Cells([[usize; ROWS]; LEVELS]);

/// The recent activity, from the widest network to the narrowest: checked and asked. A larger value means a larger
/// flood.
pub(super) type Weight = [(u32, u32); LEVELS];

/// The counters.
pub(super) struct Traffic {
    /// Random, so that an attacker cannot know which addresses share counters.
    hashes: RandomState,
    /// Allocated at the first attempt.
    counters: Vec<Counter>,
    halved: Instant,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self { hashes: RandomState::new(), counters: Vec::new(), halved: Instant::now() }
    }

    /// Counts an attempt from this network.
    pub(super) fn asked(&mut self, from: Network, now: Instant) -> Cells {
        if self.counters.is_empty() {
            self.counters = vec![Counter::default(); LEVELS * ROWS * WIDTH];
        }
        self.halve(now);
        let cells = self.cells(from);
        self.add(cells, |counter| &mut counter.asked);
        cells
    }

    /// Counts a check of an attempt from there.
    pub(super) fn checked(&mut self, cells: Cells) {
        self.add(cells, |counter| &mut counter.checked);
    }

    fn add(&mut self, cells: Cells, count: fn(&mut Counter) -> &mut u32) {
        for at in cells.0.as_flattened() {
            let count = count(&mut self.counters[*at]);
            *count = count.saturating_add(STEP);
        }
    }

    /// The recent activity there.
    pub(super) fn weight(&self, cells: Cells) -> Weight {
        cells.0.map(|rows| {
            let least = |of: fn(&Counter) -> u32| rows.iter().map(|at| of(&self.counters[*at])).min();
            let beyond = |count: Option<u32>| count.unwrap_or(0).saturating_sub(FREE);
            (beyond(least(|counter| counter.checked)), beyond(least(|counter| counter.asked)))
        })
    }

    fn cells(&self, from: Network) -> Cells {
        let within = from.within();
        Cells(from_fn(|level| {
            let hash = self.hashes.hash_one((level, within[level]));
            from_fn(|row| {
                let column = usize::try_from((hash >> (16 * row)) % WIDTH as u64).unwrap_or(0);
                (level * ROWS + row) * WIDTH + column
            })
        }))
    }

    fn halve(&mut self, now: Instant) {
        let periods = now.duration_since(self.halved).as_secs() / HALF.as_secs();
        if periods == 0 {
            return;
        }
        self.halved = now;
        let periods = u32::try_from(periods).unwrap_or(u32::MAX).min(u32::BITS - 1);
        // Zero counters are not written: their memory need not be allocated.
        for counter in self.counters.iter_mut().filter(|counter| counter.asked > 0) {
            counter.asked >>= periods;
            counter.checked >>= periods;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn flood_is_counted_at_each_shared_level_and_decays() {
        let mut traffic = Traffic::new();
        for n in 0..1000_u32 {
            let from = network(&format!("2001:db8:0:{n:x}::1"));
            let cells = traffic.asked(from, Instant::now());
            traffic.checked(cells);
        }
        let mut weight = |address: &str| {
            let cells = traffic.asked(network(address), Instant::now());
            traffic.weight(cells).map(|(checked, asked)| (checked / STEP, asked / STEP))
        };
        assert_eq!(weight("2001:db9::1"), [(0, 0); 3], "unrelated");
        assert_eq!(weight("2001:db8:1::1"), [(997, 998), (0, 0), (0, 0)], "of the same provider");
        assert_eq!(weight("2001:db8:0:ffff::1"), [(997, 999), (997, 998), (0, 0)], "of the same customer");
        assert_eq!(weight("192.0.2.1"), [(0, 0); 3]);
        tokio::time::advance(HALF * 4).await;
        let cells = traffic.asked(network("2001:db8::1"), Instant::now());
        assert_eq!(traffic.weight(cells)[0].0 / STEP, 1000 / 16 - 3);
        tokio::time::advance(HALF * 40).await;
        let cells = traffic.asked(network("2001:db8::1"), Instant::now());
        assert_eq!(traffic.weight(cells), [(0, 0); 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn new_networks_take_no_more_memory_and_few_of_them_collide() {
        let mut traffic = Traffic::new();
        for n in 0..6000_u32 {
            traffic.asked(Network::of(std::net::Ipv4Addr::from(n << 16).into()), Instant::now());
        }
        assert_eq!(traffic.counters.len(), LEVELS * ROWS * WIDTH);
        let fresh = (0..100_u32).filter(|n| {
            let cells = traffic.asked(network(&format!("2001:{n:x}::1")), Instant::now());
            traffic.weight(cells) == [(0, 0); 3]
        });
        let fresh = fresh.count();
        assert!(fresh > 90, "{fresh} of 100 networks that are new look new");
    }
}
