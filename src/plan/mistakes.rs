//! Reports mistakes in the files of units. A unit with such a mistake does not run.

use crate::config::{Config, Problem};

use super::{Disposition, Unit};

/// Reports a mistake in the file of the unit `name`, and marks the unit as broken.
pub(super) fn mark_invalid(
    units: &mut [Unit],
    name: &str,
    key: &str,
    message: &str,
    config: &Config,
    problems: &mut Vec<Problem>,
) {
    let problem = Problem::new(file(config, name), key, message).of_unit(name);
    if let Some(unit) = units.iter_mut().find(|unit| unit.name == name) {
        unit.disposition = Disposition::Broken(problem.to_string());
    }
    problems.push(problem);
}

/// The path of the file of the unit `name`.
pub(super) fn file(config: &Config, name: &str) -> String {
    let known = config.services.iter().find(|service| service.name == name);
    known.map_or_else(|| name.to_owned(), |service| service.file.display().to_string())
}
