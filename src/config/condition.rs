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
    /// One of these files exists and has a line that is neither empty nor a comment. `${home}` and `${run-dir}` are the
    /// only templates.
    AnyFile(Vec<String>),
    /// One of these files exists and has a line with an SSH key. The same templates.
    AnyKey(Vec<String>),
}

/// Reads one.
pub(super) fn read(table: &mut Reader<'_>) -> Option<Condition> {
    let before = table.count();
    let variable: Option<String> = table.get("variable", "the name of an environment variable");
    let mut given: Vec<Holds> = variable.map(Holds::Variable).into_iter().collect();
    for (key, holds) in [("any-file", Holds::AnyFile as fn(_) -> _), ("any-key", Holds::AnyKey)] {
        let Some(files) = table.get::<Vec<String>>(key, "a list of paths") else { continue };
        if files.is_empty() {
            table.problem(key, "it is empty; it should be a list of paths");
        }
        if !given.is_empty() {
            table.problem(
                key,
                "a condition has either `variable`, `any-file` or `any-key`; write two conditions",
            );
        }
        given.push(holds(files));
    }
    let otherwise = table.get("else", "a text");
    if given.is_empty() && table.count() == before {
        table.problem("variable", "it is missing: `variable`, `any-file` or `any-key` says what must hold");
    }
    let holds = given.pop().filter(|_| table.count() == before)?;
    Some(Condition { holds, otherwise })
}
