//! `[[condition]]` of a service file: what must hold for the service to apply here.

use super::table::Reader;

/// One condition. A unit with one that does not hold is skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What must hold.
    pub holds: Holds,
    /// What people read where it does not: the reason, and what to do about it. A template.
    pub otherwise: Option<String>,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// This environment variable is set, and not to `false`.
    Variable(String),
    /// One of these files exists and has a line that is neither empty nor a comment. `${home}` is the only template.
    AnyFile(Vec<String>),
}

/// Reads one.
pub(super) fn read(table: &mut Reader<'_>) -> Option<Condition> {
    let before = table.count();
    let variable: Option<String> = table.get("variable", "the name of an environment variable");
    let files: Option<Vec<String>> = table.get("any-file", "a list of paths");
    let otherwise = table.get("else", "a text");
    let holds = match (variable, files) {
        (Some(name), None) => Some(Holds::Variable(name)),
        (None, Some(files)) if !files.is_empty() => Some(Holds::AnyFile(files)),
        (Some(_), Some(_)) => {
            table
                .problem("any-file", "a condition has either `variable` or `any-file`; write two conditions");
            None
        }
        (None, Some(_)) => {
            table.problem("any-file", "it is empty; it should be a list of paths");
            None
        }
        (None, None) => {
            if table.count() == before {
                table.problem("variable", "it is missing: `variable` or `any-file` says what must hold");
            }
            None
        }
    };
    Some(Condition { holds: holds?, otherwise })
}
