//! Tells one task that the machine is being looked at or used: a request for the state, a request to a service, an open
//! stream or an open upgraded connection. What costs something is sampled at such moments and never at rest.
//!
//! A look costs the caller one read of a shared value while nothing waits for looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The least time between two looks that are reported.
pub const PACE: Duration = Duration::from_secs(5);

/// The looks of all clients. Cheap to clone.
#[derive(Clone, Default)]
pub struct Looks(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether the task waits for a look.
    waits: AtomicBool,
    /// How many looks last at this moment.
    open: AtomicUsize,
    looked: Notify,
}

/// A look that lasts as long as this value.
pub struct LongLook(Looks);

impl Looks {
    /// The machine is looked at.
    pub fn look(&self) {
        if self.0.waits.load(Ordering::Acquire) && self.0.waits.swap(false, Ordering::AcqRel) {
            self.0.looked.notify_one();
        }
    }

    /// The machine is looked at for as long as the result lives.
    #[must_use]
    pub fn hold(&self) -> LongLook {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        self.look();
        LongLook(self.clone())
    }

    /// The receiver of the looks. There must be only one.
    pub fn reader(&self) -> LookReader {
        LookReader { looks: self.clone(), looked: false, last: None }
    }
}

impl Drop for LongLook {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Receives looks.
pub struct LookReader {
    looks: Looks,
    /// Whether a look was received and not reported yet.
    looked: bool,
    /// When a look was reported last.
    last: Option<Instant>,
}

impl LookReader {
    /// Waits for a look, and at least [`PACE`] since the last one. A look that lasts is reported again and again.
    /// Cancel-safe.
    pub async fn next(&mut self) {
        let Inner { waits, open, looked } = &*self.looks.0;
        while !self.looked {
            // In this order: a look that begins now finds the task waiting, or is counted.
            waits.store(true, Ordering::Release);
            if open.load(Ordering::Acquire) == 0 {
                looked.notified().await;
            }
            waits.store(false, Ordering::Release);
            self.looked = true;
        }
        if let Some(last) = self.last {
            sleep_until(last + PACE).await;
        }
        (self.looked, self.last) = (false, Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a look is reported within the time. The clock of these tests runs ahead whenever all tasks wait.
    async fn reported(reader: &mut LookReader, within: Duration) -> bool {
        tokio::time::timeout(within, reader.next()).await.is_ok()
    }

    const SOON: Duration = Duration::from_millis(1);

    /// A moment before the next look may be reported.
    const ALMOST: Duration = Duration::from_millis(4990);

    #[tokio::test(start_paused = true)]
    async fn looks_are_reported_at_most_once_in_five_seconds_and_none_is_lost() {
        let looks = Looks::default();
        let mut reader = looks.reader();
        assert!(!reported(&mut reader, PACE * 100).await, "at rest");
        looks.look();
        assert!(reported(&mut reader, SOON).await);
        // The wait for this one begins before the look, and is cancelled while the pace is kept.
        assert!(!reported(&mut reader, SOON).await);
        looks.look();
        looks.look();
        assert!(!reported(&mut reader, ALMOST).await);
        assert!(reported(&mut reader, SOON * 10).await);
        assert!(!reported(&mut reader, PACE * 100).await, "two looks are one");
    }

    #[tokio::test(start_paused = true)]
    async fn look_that_lasts_is_reported_until_its_end() {
        let looks = Looks::default();
        let mut reader = looks.reader();
        let (one, two) = (looks.hold(), looks.hold());
        assert!(reported(&mut reader, SOON).await);
        drop(one);
        assert!(!reported(&mut reader, ALMOST).await);
        assert!(reported(&mut reader, SOON * 10).await);
        drop(two);
        assert!(!reported(&mut reader, PACE * 100).await);
    }
}
