//! How many connections there may be: strangers who open many must not take the descriptors and the memory that the
//! services need.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// More are of no use to people, whatever the limit of descriptors.
const MOST: usize = 10_000;

/// Descriptors that no client gets.
const LEFT: u64 = 1024;

/// Fewer are too few, whatever the limit of descriptors.
const FEWEST: usize = 8;

/// The connections of some ports, or of a socket; `P` is what is known of the peers: an address, a user's id.
pub(crate) struct Crowd<P> {
    counts: Arc<Mutex<Counts<P>>>,
    most: usize,
}

struct Counts<P> {
    all: usize,
    by_peer: HashMap<P, usize>,
}

/// One connection's place. Dropping it makes room.
pub(crate) struct Place<P: Copy + Eq + Hash> {
    crowd: Crowd<P>,
    peer: P,
    /// Requests of this connection that are being passed on.
    passing: Arc<AtomicUsize>,
}

/// A request that is being passed on: a connection to a service for as long as this is held.
pub(crate) struct Passage<P: Copy + Eq + Hash> {
    passing: Arc<AtomicUsize>,
    place: Option<Place<P>>,
}

impl<P: Copy + Eq + Hash> Place<P> {
    /// The right to pass a request on. A place is good for one at a time; on a connection that carries many at once
    /// each further one takes as much room as a connection of its own would.
    pub(crate) fn pass(&self) -> Option<Passage<P>> {
        let first = self.passing.fetch_add(1, Ordering::Relaxed) == 0;
        let place = if first { None } else { self.crowd.enter(self.peer) };
        // Dropping it takes back what was counted.
        let passage = Passage { passing: Arc::clone(&self.passing), place };
        (first || passage.place.is_some()).then_some(passage)
    }
}

impl<P: Copy + Eq + Hash> Drop for Passage<P> {
    fn drop(&mut self) {
        self.passing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<P> Clone for Crowd<P> {
    fn clone(&self) -> Self {
        Self { counts: Arc::clone(&self.counts), most: self.most }
    }
}

fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

impl<P: Copy + Eq + Hash> Crowd<P> {
    /// As many as this part (a fourth, an eighth) of the descriptors that this process may have.
    pub(crate) fn new(part: u64) -> Self {
        Self::of(usize::try_from(descriptors() / part).unwrap_or(MOST))
    }

    /// As many as there may be when each costs two descriptors, one for whoever it is passed on to, and something is
    /// left for services and their logs.
    pub(crate) fn of_pairs() -> Self {
        let descriptors = descriptors();
        let left = descriptors - (descriptors / 4).min(LEFT);
        Self::of(usize::try_from(left / 2).unwrap_or(MOST))
    }

    fn of(most: usize) -> Self {
        let counts = Counts { all: 0, by_peer: HashMap::new() };
        Self { counts: Arc::new(Mutex::new(counts)), most: most.clamp(FEWEST, MOST) }
    }

    /// A place for a connection of `peer`, unless there are too many. One address gets at most three quarters: behind a
    /// proxy or Docker everybody has the same one, and still nobody can have all.
    pub(crate) fn enter(&self, peer: P) -> Option<Place<P>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.by_peer.get(&peer).copied().unwrap_or(0);
        if counts.all >= self.most || own >= self.most * 3 / 4 {
            return None;
        }
        counts.all += 1;
        counts.by_peer.insert(peer, own + 1);
        Some(Place { crowd: self.clone(), peer, passing: Arc::default() })
    }
}

impl<P: Copy + Eq + Hash> Drop for Place<P> {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(own) = counts.by_peer.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                counts.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_have_all_and_who_leaves_makes_room() {
        let crowd = Crowd::of(8);
        let (a, b) = ([127, 0, 0, 1], [127, 0, 0, 2]);
        let mut of_a: Vec<_> = (0..6).map(|_| crowd.enter(a).expect("room")).collect();
        assert!(crowd.enter(a).is_none());
        let of_b = [crowd.enter(b).expect("room"), crowd.enter(b).expect("room")];
        assert!(crowd.enter(b).is_none(), "all places are taken");
        of_a.pop();
        assert!(crowd.enter(b).is_some());
        drop((of_a, of_b));
        let counts = crowd.counts.lock().unwrap();
        assert_eq!((counts.all, counts.by_peer.len()), (0, 0));
    }

    #[test]
    fn requests_at_once_on_one_connection_take_as_much_room_as_connections() {
        let crowd = Crowd::of(8);
        let peer = [127, 0, 0, 1];
        let place = crowd.enter(peer).expect("room");
        // One after the other, there is always room.
        assert!((0..20).all(|_| place.pass().is_some()));
        let mut passing: Vec<_> = (0..6).map(|_| place.pass().expect("room")).collect();
        assert!(
            place.pass().is_none() && crowd.enter(peer).is_none(),
            "six of eight are one address's share"
        );
        passing.pop();
        assert!(crowd.enter(peer).is_some());
        drop((passing, place));
        let counts = crowd.counts.lock().unwrap();
        assert_eq!((counts.all, counts.by_peer.len()), (0, 0));
    }
}
