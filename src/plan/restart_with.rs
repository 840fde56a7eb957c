//! Resolves `restart-with`: the unit that is restarted with this one when a user requests its restart.

use std::collections::BTreeMap;

use crate::config::{Config, Problem, nearest};

use super::Unit;
use super::mistakes::mark_invalid;

/// Resolves every `restart-with`. Unknown names, the unit's own name, and cycles are mistakes.
pub(super) fn resolve(
    units: &mut [Unit],
    names: &BTreeMap<String, String>,
    config: &Config,
    problems: &mut Vec<Problem>,
) {
    let mut wrong = Vec::new();
    for unit in units.iter_mut() {
        let Some(name) = unit.restart_with.take() else { continue };
        match names.get(&name) {
            Some(partner) if *partner == unit.name => {
                wrong.push((
                    unit.name.clone(),
                    format!("\"{name}\" is this service itself; name another or none"),
                ));
            }
            Some(partner) => unit.restart_with = Some(partner.clone()),
            None => {
                let hint = nearest(&name, names.keys().map(String::as_str))
                    .map(|near| format!("; did you mean \"{near}\"?"))
                    .unwrap_or_default();
                wrong.push((unit.name.clone(), format!("\"{name}\" is not the name of a service{hint}")));
            }
        }
    }
    let next: BTreeMap<String, String> =
        units.iter().filter_map(|unit| Some((unit.name.clone(), unit.restart_with.clone()?))).collect();
    for cycle in cycles(&next) {
        let message = format!("they restart each other in a circle: {}", cycle.join(" -> "));
        wrong.extend(cycle[1..].iter().map(|name| (name.clone(), message.clone())));
    }
    for (name, message) in wrong {
        mark_invalid(units, &name, "restart-with", &message, config, problems);
    }
}

/// The cycles among units with at most one successor each, as `a, b, …, a`.
fn cycles(next: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let mut cycles: Vec<Vec<String>> = Vec::new();
    for start in next.keys() {
        let mut path = vec![start.clone()];
        while let Some(name) = next.get(&path[path.len() - 1]).filter(|name| !path.contains(name)) {
            path.push(name.clone());
        }
        // A unit that merely leads into a cycle is not part of it.
        let closed = next.get(&path[path.len() - 1]) == Some(start);
        if closed && !cycles.iter().any(|cycle| cycle.contains(start)) {
            path.push(start.clone());
            cycles.push(path);
        }
    }
    cycles
}
