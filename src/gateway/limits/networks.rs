//! The order in which connections are closed when a limit is reached: first a connection of the network that holds
//! most. Networks are compared from wide to narrow: the prefix of a provider, within it that of a customer, within it
//! that of one household. So a thousand households of one provider count as one group, and an address with a single
//! connection is never the first to lose it.
//!
//! Invariants: no I/O and no clock; the time of every change is logarithmic in the number of entries; among networks
//! that hold the same amount, the one that has not changed for the longest time counts as the largest.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::gateway::network::LEVELS;

/// A peer's networks, the widest first.
pub(super) type Path = [u128; LEVELS];

/// A user of this machine counts as a separate network, without wider ones.
pub(super) fn of_user(user: Option<u32>) -> Path {
    [user.map_or(0, |user| u128::from(user) + 1); LEVELS]
}

/// One connection in its networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its networks.
    pub(super) path: Path,
    /// The logical time of its last change; each value belongs to one connection only.
    pub(super) since: u64,
    /// The id of the connection.
    pub(super) id: u64,
}

/// Connections by their networks.
#[derive(Debug, Default)]
pub(super) struct Networks {
    levels: [Level; LEVELS],
    /// The connections by narrowest network, the oldest first in each.
    oldest: BTreeSet<(u128, u64, u64)>,
    /// All connections, the oldest first.
    ages: BTreeSet<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Level {
    /// How much each network holds, and when that changed.
    held: HashMap<u128, (usize, u64)>,
    /// The same, sorted by: the wider network, what is held, since when, the network.
    order: BTreeSet<(u128, usize, Reverse<u64>, u128)>,
}

impl Networks {
    /// Adds a connection with this weight.
    pub(super) fn add(&mut self, member: Member, weight: usize, now: u64) {
        self.oldest.insert((member.path[LEVELS - 1], member.since, member.id));
        self.ages.insert((member.since, member.id));
        self.weigh(member.path, 0, weight, now);
    }

    /// Removes a connection.
    pub(super) fn remove(&mut self, member: Member, weight: usize, now: u64) {
        self.oldest.remove(&(member.path[LEVELS - 1], member.since, member.id));
        self.ages.remove(&(member.since, member.id));
        self.weigh(member.path, weight, 0, now);
    }

    /// Changes the weight of a connection.
    pub(super) fn weigh(&mut self, path: Path, before: usize, after: usize, now: u64) {
        let mut wider = 0;
        for (level, network) in self.levels.iter_mut().zip(path) {
            let held = level.held.get(&network).copied();
            if let Some((held, changed)) = held {
                level.order.remove(&(wider, held, Reverse(changed), network));
            }
            let holds = (held.map_or(0, |(held, _)| held) + after).saturating_sub(before);
            if holds == 0 {
                level.held.remove(&network);
            } else {
                level.held.insert(network, (holds, now));
                level.order.insert((wider, holds, Reverse(now), network));
            }
            wider = network;
        }
    }

    /// All connections, the oldest first.
    pub(super) fn oldest(&self) -> impl Iterator<Item = u64> {
        self.ages.iter().map(|(_, id)| *id)
    }

    /// How much the largest of the widest networks holds, and which one that is.
    pub(super) fn largest(&self) -> (usize, u128) {
        self.levels[0].order.last().map_or((0, 0), |(_, holds, _, network)| (*holds, *network))
    }

    /// The oldest connection of the network that holds most.
    pub(super) fn first_to_go(&self) -> Option<u64> {
        let mut wider = 0;
        for level in &self.levels {
            let all = (wider, 0, Reverse(u64::MAX), 0)..=(wider, usize::MAX, Reverse(0), u128::MAX);
            let (.., network) = level.order.range(all).next_back()?;
            wider = *network;
        }
        self.oldest.range((wider, 0, 0)..=(wider, u64::MAX, u64::MAX)).next().map(|(.., id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::network::Network;

    fn path(address: &str) -> Path {
        Network::of(address.parse().unwrap()).within()
    }

    /// The addresses in the order in which they are removed; each is one connection, the first is the oldest.
    fn order(addresses: &[(&str, usize)]) -> Vec<String> {
        let mut networks = Networks::default();
        let member = |at: usize| Member { path: path(addresses[at].0), since: at as u64, id: at as u64 };
        for (at, (_, weight)) in addresses.iter().enumerate() {
            networks.add(member(at), *weight, at as u64);
        }
        let mut gone = Vec::new();
        while let Some(id) = networks.first_to_go() {
            let at = usize::try_from(id).unwrap();
            networks.remove(member(at), addresses[at].1, 1000 + id);
            gone.push(addresses[at].0.to_owned());
        }
        assert!(networks.oldest.is_empty() && networks.ages.is_empty());
        assert!(networks.levels.iter().all(|level| level.held.is_empty() && level.order.is_empty()));
        gone
    }

    #[test]
    fn oldest_connection_of_the_largest_network_is_removed_first() {
        for (what, connections, first) in [
            ("one address has two", &[("192.0.2.1", 1), ("198.51.100.1", 1), ("198.51.100.1", 1)][..], 1),
            ("two of one network", &[("192.0.2.1", 1), ("198.51.100.1", 1), ("198.51.100.2", 1)], 1),
            ("two of one provider", &[("192.0.2.1", 1), ("203.0.2.1", 1), ("203.0.3.1", 1)], 1),
            ("a heavy one", &[("192.0.2.1", 1), ("198.51.100.1", 3), ("192.0.2.1", 1)], 1),
            ("all are alike", &[("192.0.2.1", 1), ("198.51.100.1", 1), ("203.0.113.1", 1)], 0),
            ("all are alike, in another order", &[("203.0.113.1", 1), ("192.0.2.1", 1)], 0),
            (
                "households of one provider are one group",
                &[("2001:db8:1:1::1", 1), ("2a00:1:1:1::1", 1), ("2a00:1:2:2::1", 1)],
                1,
            ),
            (
                "in it, the customer who has most",
                &[("2a00:1:9:9::1", 1), ("2a00:1:1:1::1", 1), ("2a00:1:1:2::1", 1)],
                1,
            ),
            ("IPv4 and IPv6 are separate", &[("::1", 1), ("127.0.0.1", 1), ("127.0.0.1", 1)], 1),
        ] {
            let gone = order(connections);
            assert_eq!(gone.len(), connections.len(), "{what}");
            assert_eq!(gone[0], connections[first].0, "{what}: {gone:?}");
        }
    }

    #[test]
    fn flood_of_one_provider_is_removed_before_a_single_address() {
        let crowd: Vec<String> = (0..500).map(|at| format!("2a00:1:{:x}:{at:x}::1", at % 7)).collect();
        let mut all: Vec<(&str, usize)> = vec![("2001:db8::1", 1), ("192.0.2.7", 1)];
        all.extend(crowd.iter().map(|address| (address.as_str(), 1)));
        let gone = order(&all);
        assert!(gone[..499].iter().all(|address| address.starts_with("2a00:1:")), "{gone:?}");
    }

    #[test]
    fn each_user_is_a_separate_network() {
        let users = [None, Some(0), Some(1), Some(u32::MAX)].map(of_user);
        assert!(users.iter().enumerate().all(|(at, user)| !users[..at].contains(user)));
    }
}
