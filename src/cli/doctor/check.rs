//! One line of `desktopd doctor`: what was checked, how it is, and what to do about it.

use serde::Serialize;

use crate::facts::remedy::split;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_ordered_from_the_worst() {
        let mut all = [Outcome::Ok, Outcome::Unknown, Outcome::Problem, Outcome::Warning];
        all.sort();
        assert_eq!(all.map(Outcome::name), ["problem", "warning", "unknown", "ok"]);
    }
}
