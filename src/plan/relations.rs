//! Relations between units: resolves names, finds cycles, and propagates that a unit cannot run.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Problem, nearest, own};

use super::graph::{self, Node};
use super::mistakes::{file, mark_invalid};
use super::{Disposition, Unit, main_unit, restart_with};

/// Resolves all names, marks units that cannot run because of their relations, and sorts the units in their order of
/// start.
pub(super) fn settle(units: &mut [Unit], config: &Config, problems: &mut Vec<Problem>) {
    let names = names(units, config, problems);
    for unit in units.iter_mut() {
        resolve(unit, &names, config, problems);
    }
    check_clears(units, config, problems);
    restart_with::resolve(units, &names, config, problems);
    main_unit::keep_one(units, config, problems);
    let nodes: BTreeMap<String, Node> = units
        .iter()
        .map(|unit| {
            let before = [&unit.needs, &unit.after, &unit.follows].into_iter().flatten().cloned().collect();
            (unit.name.clone(), Node { before })
        })
        .collect();
    let (order, circles) = graph::order(&nodes);
    for circle in &circles {
        let message = format!("they wait for each other in a circle: {}", circle.join(" -> "));
        for name in &circle[1..] {
            mark_invalid(units, name, "needs", &message, config, problems);
        }
    }
    let place = |unit: &Unit| order.iter().position(|name| *name == unit.name).unwrap_or(order.len());
    units.sort_by_key(|unit| (place(unit), unit.name.clone()));
    inherit(units);
}

/// Every name and alias, with the unit that it means. If a name means two units, this is a problem of the later one.
fn names(units: &mut [Unit], config: &Config, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> =
        units.iter().map(|unit| (unit.name.clone(), unit.name.clone())).collect();
    for unit in units {
        let mut kept = Vec::new();
        for alias in std::mem::take(&mut unit.aliases) {
            let owner =
                names.get(&alias).cloned().or_else(|| own::is_own(&alias).then(|| "desktopd itself".into()));
            if let Some(owner) = owner {
                let message = format!("\"{alias}\" already means {owner}; it is left out");
                problems.push(Problem::new(file(config, &unit.name), "aliases", message));
                continue;
            }
            names.insert(alias.clone(), unit.name.clone());
            kept.push(alias);
        }
        unit.aliases = kept;
    }
    names
}

fn resolve(unit: &mut Unit, names: &BTreeMap<String, String>, config: &Config, problems: &mut Vec<Problem>) {
    let mut wrong = None;
    for (key, list) in [
        ("needs", &mut unit.needs),
        ("after", &mut unit.after),
        ("follows", &mut unit.follows),
        ("clears", &mut unit.clears),
    ] {
        for name in list.iter_mut() {
            if let Some(canonical) = names.get(name) {
                name.clone_from(canonical);
                continue;
            }
            let hint = nearest(name, names.keys().map(String::as_str))
                .map(|near| format!("; did you mean \"{near}\"?"))
                .unwrap_or_default();
            let message = if own::is_own(name) {
                format!("\"{name}\" is desktopd itself, which is always there; leave it out")
            } else {
                format!("\"{name}\" is not the name of a service{hint}")
            };
            let problem = Problem::new(file(config, &unit.name), key, message).of_unit(&unit.name);
            wrong.get_or_insert_with(|| problem.to_string());
            problems.push(problem);
        }
        list.retain(|name| names.contains_key(name));
    }
    if let (Some(reason), Disposition::Run) = (wrong, &unit.disposition) {
        unit.disposition = Disposition::Broken(reason);
    }
}

/// Checks `clears`. Only a guard knows the processes of a unit; a unit's own guard ends them without this setting.
fn check_clears(units: &mut [Unit], config: &Config, problems: &mut Vec<Problem>) {
    let contained: BTreeMap<String, bool> = units
        .iter()
        // The settings of a wrong file are unknown.
        .map(|unit| (unit.name.clone(), unit.contain || matches!(unit.disposition, Disposition::Broken(_))))
        .collect();
    let mut wrong = Vec::new();
    for unit in units.iter() {
        for name in &unit.clears {
            if *name == unit.name {
                let message =
                    "it is this service itself, whose own processes `contain = true` ends".to_owned();
                wrong.push((unit.name.clone(), message));
            } else if !contained[name] {
                let message =
                    format!("\"{name}\" is not a contained service; its file has to say `contain = true`");
                wrong.push((unit.name.clone(), message));
            }
        }
    }
    for (name, message) in wrong {
        mark_invalid(units, &name, "clears", &message, config, problems);
    }
}

/// A unit that needs a unit that does not run does not run either. In the order of start one pass is enough; units in
/// or after a cycle have no order, so passes are repeated until nothing changes.
fn inherit(units: &mut [Unit]) {
    loop {
        let out: BTreeSet<(String, bool)> = units
            .iter()
            .filter(|unit| unit.disposition != Disposition::Run)
            .map(|unit| (unit.name.clone(), matches!(unit.disposition, Disposition::Broken(_))))
            .collect();
        let mut changed = false;
        for unit in units.iter_mut().filter(|unit| unit.disposition == Disposition::Run) {
            let missing = unit.needs.iter().find_map(|need| out.iter().find(|(name, _)| name == need));
            if let Some((name, broken)) = missing {
                let why = if *broken { "whose file is wrong" } else { "which is skipped" };
                unit.disposition = Disposition::Skip(format!("it needs {name}, {why}"));
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}
