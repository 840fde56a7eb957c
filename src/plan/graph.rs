//! The graph of relations between units: cycles, and the order of start.

use std::collections::{BTreeMap, BTreeSet};

/// The names that come before each name.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// The names in an order in which each name comes after all names that must come before it, and the cycles that make
/// this impossible, as `a, b, …, a`. Unknown names are ignored. Deterministic: otherwise the order is alphabetical.
pub fn order(nodes: &Graph) -> (Vec<String>, Vec<Vec<String>>) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut order: Vec<String> = Vec::with_capacity(nodes.len());
    loop {
        let next = nodes.iter().find(|(name, before)| {
            let free = |other: &String| !nodes.contains_key(other) || done.contains(other.as_str());
            !done.contains(name.as_str()) && before.iter().all(free)
        });
        match next {
            Some((name, _)) => {
                done.insert(name);
                order.push(name.clone());
            }
            None => break,
        }
    }
    let mut circles = Vec::new();
    let mut left: BTreeSet<&str> =
        nodes.keys().map(String::as_str).filter(|name| !done.contains(name)).collect();
    while let Some(start) = left.first().copied() {
        let circle = circle_from(start, nodes, &left);
        for name in &circle {
            left.remove(name.as_str());
        }
        left.remove(start);
        // A unit that merely comes after a cycle is not part of it; the walk from it ends in a cycle that is listed
        // already.
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    (order, circles)
}

/// Walks from `start` through the remaining names until a name repeats; returns the cycle as `a, b, …, a`.
fn circle_from(start: &str, nodes: &Graph, left: &BTreeSet<&str>) -> Vec<String> {
    let mut path: Vec<&str> = vec![start];
    loop {
        let here = path[path.len() - 1];
        let next = nodes[here].iter().map(String::as_str).find(|name| left.contains(name));
        match next {
            None => return Vec::new(),
            Some(next) => {
                if let Some(at) = path.iter().position(|name| *name == next) {
                    let mut circle: Vec<String> = path[at..].iter().map(|name| (*name).to_owned()).collect();
                    circle.push(next.to_owned());
                    return circle;
                }
                path.push(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(edges: &[(&str, &[&str])]) -> Graph {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        edges.iter().map(|(name, before)| ((*name).to_owned(), names(before))).collect()
    }

    #[test]
    fn each_unit_comes_after_its_dependencies() {
        let (order, circles) = order(&nodes(&[
            ("kde", &["x", "bus"]),
            ("x", &["prepare"]),
            ("bus", &["gone"]),
            ("prepare", &[]),
        ]));
        assert_eq!(order, ["bus", "prepare", "x", "kde"]);
        assert_eq!(circles, Vec::<Vec<String>>::new());
    }

    #[test]
    fn circles_are_named_and_the_rest_is_ordered() {
        let (order, circles) = order(&nodes(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("self", &["self"]),
            ("ok", &[]),
            ("tail", &["a"]),
        ]));
        assert_eq!(order, ["ok"]);
        assert_eq!(circles, [vec!["a", "b", "c", "a"], vec!["self", "self"]]);
    }

    proptest::proptest! {
        #[test]
        fn every_unit_is_ordered_unless_in_circles(edges in proptest::collection::vec((0..8u8, 0..8u8), 0..20)) {
            let mut nodes: Graph = (0..8).map(|n: u8| (n.to_string(), BTreeSet::new())).collect();
            for (a, b) in edges {
                nodes.get_mut(&a.to_string()).unwrap().insert(b.to_string());
            }
            let (order, circles) = order(&nodes);
            for (at, name) in order.iter().enumerate() {
                proptest::prop_assert!(nodes[name].iter().all(|b| order[..at].contains(b)));
            }
            proptest::prop_assert_eq!(order.len() == nodes.len(), circles.is_empty());
        }
    }
}
