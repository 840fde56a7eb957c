//! Relations between units: resolves names, finds cycles, and propagates that a unit cannot run.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Problem, hint, own};

use super::graph::{self, Graph};
use super::mistakes::{file, mark_invalid};
use super::{Disposition, Unit, main_unit};

/// Resolves all names, marks units that cannot run because of their relations, and sorts the units in their order of
/// start.
pub(super) fn settle(units: &mut [Unit], config: &Config, problems: &mut Vec<Problem>) {
    let names = names(units, config, problems);
    for unit in units.iter_mut() {
        resolve(unit, &names, config, problems);
    }
    check_clears(units, config, problems);
    main_unit::keep_one(units, config, problems);
    let partner = |unit: &Unit| unit.relations.restart_with.clone().into_iter().collect();
    refuse_circles(units, "restart-with", "restart each other", partner, config, problems);
    let before = |unit: &Unit| unit.relations.before().cloned().collect();
    let order = refuse_circles(units, "needs", "wait for each other", before, config, problems);
    let place = |unit: &Unit| order.iter().position(|name| *name == unit.name).unwrap_or(order.len());
    units.sort_by_key(|unit| (place(unit), unit.name.clone()));
    inherit(units);
}

/// Marks units in a circle of `key` as broken. Returns the others, each after the units that `before` names for it.
fn refuse_circles(
    units: &mut [Unit],
    key: &str,
    what: &str,
    before: impl Fn(&Unit) -> BTreeSet<String>,
    config: &Config,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let graph: Graph = units.iter().map(|unit| (unit.name.clone(), before(unit))).collect();
    let (order, circles) = graph::order(&graph);
    for circle in &circles {
        let message = format!("they {what} in a circle: {}", circle.join(" -> "));
        for name in &circle[1..] {
            mark_invalid(units, name, key, &message, config, problems);
        }
    }
    order
}

/// Every name and alias, with the unit that it means. If a name means two units, this is a problem of the later one.
fn names(units: &mut [Unit], config: &Config, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> =
        units.iter().map(|unit| (unit.name.clone(), unit.name.clone())).collect();
    for unit in units.iter_mut() {
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
    provided(&mut names, units, config, problems);
    names
}

/// Adds the names that services provide. Each means the service that runs; where none does, the first one, so that a
/// reason can name it.
fn provided(
    names: &mut BTreeMap<String, String>,
    units: &mut [Unit],
    config: &Config,
    problems: &mut Vec<Problem>,
) {
    let mut free = BTreeMap::new();
    for service in &config.services {
        for name in &service.provides {
            if let Some(owner) = names.get(name) {
                let message = format!("\"{name}\" already means {owner}; it is left out");
                problems.push(Problem::new(file(config, &service.name), "provides", message));
                continue;
            }
            let provider = free.entry(name).or_insert(&service.name);
            let unit = units.iter_mut().find(|unit| unit.name == service.name);
            if let Some(unit) = unit.filter(|unit| unit.disposition == Disposition::Run) {
                *provider = &service.name;
                unit.aliases.push(name.clone());
            }
        }
    }
    names.extend(free.into_iter().map(|(name, provider)| (name.clone(), provider.clone())));
}

fn resolve(unit: &mut Unit, names: &BTreeMap<String, String>, config: &Config, problems: &mut Vec<Problem>) {
    let mut wrong = Vec::new();
    unit.relations.retain(|key, name| {
        let message = match names.get(name) {
            Some(other) if key == "restart-with" && *other == unit.name => {
                format!("\"{name}\" is this service itself; name another or none")
            }
            Some(other) => {
                name.clone_from(other);
                return true;
            }
            None if key != "restart-with" && own::is_own(name) => {
                format!("\"{name}\" is desktopd itself, which is always there; leave it out")
            }
            None => {
                let hint = hint(name, names.keys().map(String::as_str));
                format!("\"{name}\" is not the name of a service{hint}")
            }
        };
        wrong.push(Problem::new(file(config, &unit.name), key, message).of_unit(&unit.name));
        false
    });
    if let (Some(first), Disposition::Run) = (wrong.first(), &unit.disposition) {
        unit.disposition = Disposition::Broken(first.to_string());
    }
    problems.append(&mut wrong);
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
        for name in &unit.relations.clears {
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
            let missing =
                unit.relations.needs.iter().find_map(|need| out.iter().find(|(name, _)| name == need));
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
