//! How many connections there may be: strangers who open many must not take the descriptors and the memory that the
//! services need.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// More are of no use to people, whatever the limit of descriptors.
const MOST: usize = 10_000;

/// The connections of all ports.
#[derive(Clone)]
pub(super) struct Crowd {
    counts: Arc<Mutex<Counts>>,
    most: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place. Dropping it makes room.
pub(super) struct Place {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    /// As many as half of the descriptors that this process may have.
    pub(super) fn new() -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        Self::of(usize::try_from(descriptors / 2).unwrap_or(MOST).min(MOST))
    }

    fn of(most: usize) -> Self {
        Self { counts: Arc::default(), most }
    }

    /// A place for a connection from `address`, unless there are too many. One address gets at most three quarters:
    /// behind a proxy or Docker everybody has the same one, and still nobody can have all.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.by_address.get(&address).copied().unwrap_or(0);
        if counts.all >= self.most || own >= self.most * 3 / 4 {
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(address, own + 1);
        Some(Place { crowd: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(own) = counts.by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                counts.by_address.remove(&self.address);
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
        let (a, b) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let mut of_a: Vec<_> = (0..6).map(|_| crowd.enter(a).expect("room")).collect();
        assert!(crowd.enter(a).is_none());
        let of_b = [crowd.enter(b).expect("room"), crowd.enter(b).expect("room")];
        assert!(crowd.enter(b).is_none(), "all places are taken");
        of_a.pop();
        assert!(crowd.enter(b).is_some());
        drop((of_a, of_b));
        let counts = crowd.counts.lock().unwrap();
        assert_eq!((counts.all, counts.by_address.len()), (0, 0));
    }
}
