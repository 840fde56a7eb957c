//! What a request for one unit does to another: `restart-with`, and the one unit whose end ends everything.

use std::collections::BTreeMap;

use crate::config::{Config, Problem, Service, nearest};

use super::Unit;
use super::relations::{condemn, file};

/// Resolves every `restart-with`. A name that nobody has, the unit's own, and circles are mistakes.
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

/// The circles among units that each lead to one other, as `a, b, …, a`.
fn circles(next: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let mut circles: Vec<Vec<String>> = Vec::new();
    for start in next.keys() {
        let mut path = vec![start.clone()];
        while let Some(name) = next.get(&path[path.len() - 1]).filter(|name| !path.contains(name)) {
            path.push(name.clone());
        }
        // A unit that merely leads into a circle is not part of it.
        let closed = next.get(&path[path.len() - 1]) == Some(start);
        if closed && !circles.iter().any(|circle| circle.contains(start)) {
            path.push(start.clone());
            circles.push(path);
        }
    }
    circles
}

/// Leaves at most one main unit. The command of `desktopd run` takes the place of any other; two files that both want
/// it are both wrong, because nobody can tell which was meant.
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
