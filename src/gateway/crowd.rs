//! How many connections there may be: strangers who open many must not take the descriptors and the memory that the
//! services need.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// More are of no use to people, whatever the limit of descriptors.
const MOST: usize = 10_000;

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
}

impl<P> Clone for Crowd<P> {
    fn clone(&self) -> Self {
        Self { counts: Arc::clone(&self.counts), most: self.most }
    }
}

impl<P: Copy + Eq + Hash> Crowd<P> {
    /// As many as this part (a fourth, an eighth) of the descriptors that this process may have.
    pub(crate) fn new(part: u64) -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        Self::of(usize::try_from(descriptors / part).unwrap_or(MOST).clamp(FEWEST, MOST))
    }

    fn of(most: usize) -> Self {
        let counts = Counts { all: 0, by_peer: HashMap::new() };
        Self { counts: Arc::new(Mutex::new(counts)), most }
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
        Some(Place { crowd: self.clone(), peer })
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
}
