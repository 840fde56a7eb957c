//! The command that mends a problem, as far as one does.

use crate::observe::{Seen, Sight, Snapshot, UnitHealth, UnitState, UnitStatus};
use crate::plan::X_SERVER;

/// What mends the cause of a sentence of `not_ready`.
pub(super) fn of_not_ready(snapshot: &Snapshot, sentence: &str) -> Option<String> {
    let has = |seen: &&Seen| !seen.text.is_empty() && sentence.ends_with(&seen.sentence());
    let seen = snapshot.routes.iter().map(|route| &route.seen).find(has)?;
    let unit = snapshot.unit(&seen.unit)?;
    match seen.sight {
        Sight::Stopped | Sight::Failed if !seen.start.is_empty() => {
            Some(with_log(format!("desktopd start {}", seen.start.join(" ")), unit))
        }
        _ => of_unit(snapshot, unit),
    }
}

/// What mends a sentence of `problems`.
pub(super) fn of_problem(snapshot: &Snapshot, problem: &str) -> Option<String> {
    let of = |unit: &&UnitStatus| problem.strip_prefix(&unit.name).is_some_and(|rest| rest.starts_with(' '));
    if let Some(unit) = snapshot.units.iter().find(of)
        && let Some(remedy) = of_unit(snapshot, unit)
    {
        return Some(remedy);
    }
    if snapshot.gpus_lost.iter().any(|lost| lost == problem) {
        return Some(format!("desktopd restart {X_SERVER}"));
    }
    if !snapshot.mistakes.iter().any(|mistake| mistake == problem) {
        return None;
    }
    if problem.contains(".toml") || problem.contains(".yaml") {
        return Some(FILE.to_owned());
    }
    // Mistakes in variables begin with the name.
    let name = problem.split([' ', ':']).next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let variable = name.len() > 2 && name.chars().all(is_name);
    Some(if variable { format!("desktopd env {name}") } else { "desktopd doctor".to_owned() })
}

/// After the correction of a file.
const FILE: &str = "correct the file, then: desktopd reload";

fn of_unit(snapshot: &Snapshot, unit: &UnitStatus) -> Option<String> {
    let name = &unit.name;
    match unit.state {
        // Its file is wrong, which no start changes.
        UnitState::Failed
            if snapshot.mistakes.iter().any(|mistake| unit.reason.contains(mistake.as_str())) =>
        {
            Some(FILE.to_owned())
        }
        UnitState::Failed => Some(with_log(format!("desktopd start {name}"), unit)),
        UnitState::Stopped => Some(format!("desktopd start {name}")),
        UnitState::Backoff => Some(format!("desktopd logs {name}")),
        UnitState::Ready | UnitState::Done if unit.health == Some(UnitHealth::Unhealthy) => {
            Some(with_log(format!("desktopd restart {name}"), unit))
        }
        _ => None,
    }
}

/// A command with the one that shows why.
fn with_log(command: String, unit: &UnitStatus) -> String {
    let failed = matches!(unit.state, UnitState::Failed) || unit.health == Some(UnitHealth::Unhealthy);
    if failed { format!("{command} (what it printed: desktopd logs {})", unit.name) } else { command }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::unit;

    #[test]
    fn each_problem_has_the_command_that_mends_it() {
        let mut broken = unit("broken", UnitState::Failed);
        broken.reason = "services/broken.toml: unknown key `x`".into();
        let mut sick = unit("sick", UnitState::Ready);
        sick.health = Some(UnitHealth::Unhealthy);
        let units =
            vec![unit("x-server", UnitState::Failed), broken, sick, unit("again", UnitState::Backoff)];
        let mistakes = vec![
            "services/broken.toml: unknown key `x`".into(),
            "DISPLAY_DPI: expected a number, got \"many\"".into(),
            "the certificate has expired".into(),
        ];
        let gpus_lost = vec!["NVIDIA A10 is lost".into()];
        let snapshot = Snapshot { gpus_lost, units, mistakes, ..Snapshot::default() };
        for (problem, expected) in [
            (
                "x-server has failed: it ended",
                Some("desktopd start x-server (what it printed: desktopd logs x-server)"),
            ),
            ("broken has failed: services/broken.toml: unknown key `x`", Some(FILE)),
            ("sick is slow", Some("desktopd restart sick (what it printed: desktopd logs sick)")),
            ("again ended and will be started again", Some("desktopd logs again")),
            ("NVIDIA A10 is lost", Some("desktopd restart x-server")),
            ("services/broken.toml: unknown key `x`", Some(FILE)),
            ("DISPLAY_DPI: expected a number, got \"many\"", Some("desktopd env DISPLAY_DPI")),
            ("the certificate has expired", Some("desktopd doctor")),
            ("port 6100 is in use by another program", None),
        ] {
            assert_eq!(of_problem(&snapshot, problem).as_deref(), expected, "{problem}");
        }
    }
}
