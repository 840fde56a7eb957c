//! One line of `desktopd doctor`: what was checked, how it is, and what to do about it.

use serde::Serialize;

/// How it is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Outcome {
    /// Something that the desktop needs does not work.
    Problem,
    /// It works, but not as well as it could.
    Warning,
    /// It cannot be seen from here.
    Unknown,
    /// It works.
    Ok,
}

impl Outcome {
    /// The name as it is shown.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Ok => "ok",
        }
    }
}

/// One check. Every outcome except `Ok` has a remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Check {
    /// What was checked, in a word or two.
    #[serde(rename = "check")]
    pub(super) name: String,
    /// How it is.
    pub(super) result: Outcome,
    /// A sentence.
    pub(super) what: String,
    /// A command or a setting that helps.
    pub(super) remedy: Option<String>,
}

impl Check {
    /// It works.
    pub(super) fn ok(name: &str, what: impl Into<String>) -> Self {
        Self { name: name.to_owned(), result: Outcome::Ok, what: what.into(), remedy: None }
    }

    /// It does not, and `remedy` helps.
    pub(super) fn bad(
        name: &str,
        result: Outcome,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name: name.to_owned(), result, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// It does not, for a reason that may end with the remedy; `otherwise` is the remedy if it does not.
    pub(super) fn of_reason(name: &str, result: Outcome, reason: &str, otherwise: &str) -> Self {
        let (what, remedy) = split(reason);
        Self::bad(name, result, what, remedy.unwrap_or(otherwise))
    }
}

/// The words with which the remedies in reasons begin.
const REMEDIES: [&str; 24] = [
    "add", "allow", "ask", "bind", "choose", "docker", "enable", "give", "install", "load", "look", "mount",
    "move", "raise", "reload", "restart", "run", "see", "set", "show", "start", "turn", "unset", "use",
];

/// Parts a reason of the probe or the plan into what is wrong and the remedy. The remedy begins with a verb behind a colon
/// or semicolon; a place may come before the verb: `on a machine with a GPU, start …`, `on the host run …`.
fn split(reason: &str) -> (&str, Option<&str>) {
    let is_verb = |text: &str| {
        REMEDIES.contains(&text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
    };
    for (at, _) in reason.match_indices([':', ';']) {
        let Some(rest) = reason[at + 1..].strip_prefix(' ') else { continue };
        let place = rest.strip_prefix("on the host ");
        let place = place.or_else(|| {
            rest.starts_with("on a ").then(|| rest.split_once(", ").map(|(_, text)| text)).flatten()
        });
        if is_verb(rest) || place.is_some_and(is_verb) {
            return (&reason[..at], Some(rest));
        }
    }
    (reason, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_is_parted_from_the_reason() {
        for (reason, what, remedy) in [
            (
                "it has no node: start the container with --gpus all",
                "it has no node",
                Some("start the container with --gpus all"),
            ),
            (
                "a: b; load the driver on the host (a, b: c)",
                "a: b",
                Some("load the driver on the host (a, b: c)"),
            ),
            ("it is read-only; mount it without `:ro`", "it is read-only", Some("mount it without `:ro`")),
            ("it drew 0000:01:00.0: settings are lost", "it drew 0000:01:00.0: settings are lost", None),
            ("none; on a machine with a GPU, start it", "none", Some("on a machine with a GPU, start it")),
            ("none; on a machine without a GPU, nothing", "none; on a machine without a GPU, nothing", None),
            ("its mode is 600: on the host run chgrp", "its mode is 600", Some("on the host run chgrp")),
            ("a:start", "a:start", None),
            ("", "", None),
        ] {
            assert_eq!(split(reason), (what, remedy), "{reason}");
        }
    }

    #[test]
    fn outcomes_are_ordered_from_the_worst() {
        let mut all = [Outcome::Ok, Outcome::Unknown, Outcome::Problem, Outcome::Warning];
        all.sort();
        assert_eq!(all.map(Outcome::name), ["problem", "warning", "unknown", "ok"]);
    }
}
