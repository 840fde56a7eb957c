//! Relations for requests: `restart-with`, and the single main unit whose end ends everything.

use std::collections::BTreeMap;

use crate::config::{Config, Problem, Service, nearest};

use super::Unit;
use super::mistakes::{condemn, file};

/// Resolves every `restart-with`. Unknown names, the unit's own name, and cycles are mistakes.
pub(super) fn partners(
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
    for circle in circles(&next) {
        let message = format!("they restart each other in a circle: {}", circle.join(" -> "));
        wrong.extend(circle[1..].iter().map(|name| (name.clone(), message.clone())));
    }
    for (name, message) in wrong {
        condemn(units, &name, "restart-with", &message, config, problems);
    }
}

/// The cycles among units with at most one successor each, as `a, b, …, a`.
fn circles(next: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let mut circles: Vec<Vec<String>> = Vec::new();
    for start in next.keys() {
        let mut path = vec![start.clone()];
        while let Some(name) = next.get(&path[path.len() - 1]).filter(|name| !path.contains(name)) {
            path.push(name.clone());
        }
        // A unit that merely leads into a cycle is not part of it.
        let closed = next.get(&path[path.len() - 1]) == Some(start);
        if closed && !circles.iter().any(|circle| circle.contains(start)) {
            path.push(start.clone());
            circles.push(path);
        }
    }
    circles
}

/// Leaves at most one main unit. The command of `desktopd run` replaces any other main unit. If two files both set
/// `main`, both are wrong, because the intended one is unknown.
pub(super) fn main_unit(units: &mut [Unit], config: &Config, problems: &mut Vec<Problem>) {
    if config.services.iter().any(Service::is_command) {
        for unit in units.iter_mut() {
            unit.main &= unit.last;
        }
        return;
    }
    let mains: Vec<String> = units.iter().filter(|unit| unit.main).map(|unit| unit.name.clone()).collect();
    if mains.len() < 2 {
        return;
    }
    for name in &mains {
        let others: Vec<String> =
            mains.iter().filter(|other| *other != name).map(|other| file(config, other)).collect();
        let message = format!("true, as in {}; only one service can be the main one", others.join(" and "));
        condemn(units, name, "main", &message, config, problems);
    }
    for unit in units {
        unit.main = false;
    }
}
