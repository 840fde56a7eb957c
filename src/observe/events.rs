//! Events: the newest events in a ring, and followers that read from it in order.
//!
//! Every event has a number; the first number is 1. A follower requests the events after the last number that it has
//! seen. So it loses nothing as long as it stays within the ring, also when it reconnects later; otherwise it gets the
//! number of lost events. Recording never waits for readers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::supervise::{Change, UnitStatus};

use super::phase::Phase;
use super::timeline::{Boot, Timeline};

pub use super::event::{Event, What};

/// How many events are kept.
const KEPT: usize = 2000;

/// All events. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Mutex<Inner>>,
    /// The newest number; followers wait for its change.
    newest: watch::Sender<u64>,
}

struct Inner {
    ring: VecDeque<Event>,
    kept: usize,
    boot: Boot,
    /// The number of the last event from the supervisor.
    supervised: u64,
}

impl Events {
    /// Events of a daemon that started at `started_at`.
    pub fn new(started_at: i64) -> Self {
        Self::keeping(KEPT, started_at)
    }

    fn keeping(kept: usize, started_at: i64) -> Self {
        let inner = Inner { ring: VecDeque::new(), kept, boot: Boot::new(started_at), supervised: 0 };
        let events = Self { inner: Arc::new(Mutex::new(inner)), newest: watch::channel(0).0 };
        events.record(started_at, What::Phase { phase: Phase::Starting });
        events
    }

    /// Adds an event and returns its number.
    pub fn record(&self, at: i64, what: What) -> u64 {
        let mut seq = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            seq = *newest;
            let event = Event { seq, at, what };
            let mut inner = self.lock();
            inner.boot.take(&event);
            if inner.ring.len() == inner.kept {
                inner.ring.pop_front();
            }
            inner.ring.push_back(event);
        });
        seq
    }

    /// Adds a change that the supervisor reported.
    pub fn take(&self, change: Change) -> u64 {
        let seq = match change {
            Change::Unit(change) => self.record(change.at, What::Unit(change)),
            Change::Up(true, at) => self.record(at, What::Up),
            Change::Up(false, at) => self.record(at, What::Down),
            Change::Stopping(at) => self.record(at, What::Phase { phase: Phase::Stopping }),
        };
        self.lock().supervised = seq;
        seq
    }

    /// The number of the last event.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// The number of the last event from the supervisor. A snapshot with a smaller `seq` is older than this event.
    pub fn supervised(&self) -> u64 {
        self.lock().supervised
    }

    /// All kept events after number `seq`. The number of the first one shows whether some are lost.
    pub fn since(&self, seq: u64) -> Vec<Event> {
        let inner = self.lock();
        let newest = inner.ring.back().map_or(0, |event| event.seq);
        // A number that was not assigned yet is from an earlier daemon: for this client all events are new.
        let seq = if seq > newest { 0 } else { seq };
        let first = inner.ring.front().map_or(0, |event| event.seq);
        let skip = (seq + 1).saturating_sub(first);
        inner.ring.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).cloned().collect()
    }

    /// All events after number `seq`, as they are recorded; without a number, only new events.
    pub fn follow(&self, seq: Option<u64>) -> Follower {
        let newest = self.newest();
        let seen = seq.map_or(newest, |seq| if seq > newest { 0 } else { seq });
        Follower {
            events: Self::clone(self),
            newest: self.newest.subscribe(),
            seen,
            waiting: VecDeque::new(),
        }
    }

    /// The chart of the boot up to `now`. `units` contain the relations between units.
    pub fn timeline(&self, units: &[UnitStatus], now: i64) -> Timeline {
        let boot = self.lock().boot.clone();
        Timeline::of(&boot, units, now)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The data stays consistent even if a lock holder panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An item for a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next event.
    Event(Event),
    /// This many events were dropped before this follower could read them.
    Lost(u64),
}

/// Reads the events in order.
pub struct Follower {
    events: Events,
    newest: watch::Receiver<u64>,
    seen: u64,
    waiting: VecDeque<Event>,
}

impl Follower {
    /// The next item. Cancel-safe: no event is lost.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.seen = event.seq;
                return Some(Followed::Event(event));
            }
            self.newest.borrow_and_update();
            self.waiting = self.events.since(self.seen).into();
            match self.waiting.front() {
                Some(first) if first.seq > self.seen + 1 => {
                    let lost = first.seq - self.seen - 1;
                    self.seen += lost;
                    return Some(Followed::Lost(lost));
                }
                Some(_) => {}
                None => self.newest.changed().await.ok()?,
            }
        }
    }
}

#[cfg(test)]
mod tests;
