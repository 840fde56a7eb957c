//! The single main unit, whose end ends everything.

use crate::config::{Config, Problem, Service};

use super::Unit;
use super::mistakes::{file, mark_invalid};

/// Leaves at most one main unit. The command of `desktopd run` replaces any other main unit. If two files both set
/// `main`, both are wrong, because the intended one is unknown.
pub(super) fn keep_one(units: &mut [Unit], config: &Config, problems: &mut Vec<Problem>) {
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
        mark_invalid(units, name, "main", &message, config, problems);
    }
    for unit in units {
        unit.main = false;
    }
}
