//! Slows down guessing: after a few failures every further attempt from the same address waits, longer each time.
//!
//! Invariants: bounded memory; nobody is refused for good; whoever shows a valid session or token never comes here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Mistakes that cost nothing.
const FREE: u32 = 3;

/// The first delay; it doubles with each failure.
const DELAY: Duration = Duration::from_millis(250);

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(4);

/// Failures older than this are forgotten.
const MEMORY: Duration = Duration::from_secs(5 * 60);

/// Addresses that are remembered.
const ADDRESSES: usize = 4096;

/// Attempts of one address that may wait at once.
const WAITING: u32 = 16;

struct Record {
    failures: u32,
    last: Instant,
    waiting: u32,
}

/// Who failed how often.
#[derive(Default)]
pub(super) struct Failures {
    records: Mutex<HashMap<IpAddr, Record>>,
}

/// The right to make one attempt.
pub(super) struct Turn<'a> {
    failures: &'a Failures,
    address: IpAddr,
}

impl Failures {
    /// Waits until this address may try. Too many that wait already: the time after which to come back.
    pub(super) async fn turn(&self, address: IpAddr) -> Result<Turn<'_>, Duration> {
        let address = network(address);
        let delay = {
            let mut records = self.lock();
            make_room(&mut records);
            let now = Instant::now();
            let record = records.entry(address).or_insert(Record { failures: 0, last: now, waiting: 0 });
            if now.duration_since(record.last) >= MEMORY {
                record.failures = 0;
            }
            if record.waiting >= WAITING {
                return Err(LONGEST);
            }
            record.waiting += 1;
            delay(record.failures)
        };
        // From here on the turn's end gives the place back, also when the client goes away while it waits.
        let turn = Turn { failures: self, address };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Ok(turn)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The attempt was right or wrong.
    pub(super) fn end(self, right: bool) {
        if let Some(record) = self.failures.lock().get_mut(&self.address) {
            record.failures = if right { 0 } else { record.failures.saturating_add(1) };
            record.last = Instant::now();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut records = self.failures.lock();
        if let Some(record) = records.get_mut(&self.address) {
            record.waiting = record.waiting.saturating_sub(1);
            if record.waiting == 0 && record.failures == 0 {
                records.remove(&self.address);
            }
        }
    }
}

fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        Some(doublings) => (DELAY * 2_u32.pow(doublings.min(8))).min(LONGEST),
        None => Duration::ZERO,
    }
}

fn make_room(records: &mut HashMap<IpAddr, Record>) {
    if records.len() < ADDRESSES {
        return;
    }
    let now = Instant::now();
    records.retain(|_, record| record.waiting > 0 || now.duration_since(record.last) < MEMORY);
    if records.len() >= ADDRESSES {
        let oldest = records.iter().filter(|(_, r)| r.waiting == 0).min_by_key(|(_, r)| r.last);
        if let Some(address) = oldest.map(|(address, _)| *address) {
            records.remove(&address);
        }
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    async fn fail(failures: &Failures, address: IpAddr) -> Duration {
        let before = Instant::now();
        failures.turn(address).await.ok().unwrap().end(false);
        before.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_costs_more_up_to_a_limit() {
        let failures = Failures::default();
        let mut waits = Vec::new();
        for _ in 0..10 {
            waits.push(fail(&failures, HOME).await.as_millis());
        }
        assert_eq!(waits, [0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(fail(&failures, "192.0.2.2".parse().unwrap()).await, Duration::ZERO);
        tokio::time::advance(MEMORY).await;
        assert_eq!(fail(&failures, HOME).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn being_right_clears_the_slate() {
        let failures = Failures::default();
        for _ in 0..5 {
            fail(&failures, HOME).await;
        }
        failures.turn(HOME).await.ok().unwrap().end(true);
        assert!(failures.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn few_may_wait_at_once() {
        let failures = Failures::default();
        let mut turns = Vec::new();
        for _ in 0..WAITING {
            turns.push(failures.turn(HOME).await.ok().unwrap());
        }
        assert!(failures.turn(HOME).await.is_err());
        turns.pop();
        assert!(failures.turn(HOME).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_networks_count_as_one() {
        let failures = Failures::default();
        for n in 0..6000_u32 {
            fail(&failures, IpAddr::V4(n.into())).await;
        }
        assert!(failures.lock().len() <= ADDRESSES);
        failures.lock().clear();
        for n in 0..9_u16 {
            fail(&failures, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, n, 0, 0, 1).into()).await;
        }
        assert_eq!(failures.lock().len(), 1);
    }
}
