//! `[[condition]]` of a service file: what must hold for the service to apply here.

use super::table::Reader;

/// One condition: the variable or one of the files, whichever are given. A unit with one that does not hold is skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// This environment variable is set, and not to `false`.
    pub variable: Option<String>,
    /// One of these files exists and has a line that is neither empty nor a comment. `${home}` is the only template; a
    /// last part such as `*.sh` stands for all of a folder that end so.
    pub any_file: Vec<String>,
    /// What people read where it does not hold: the reason, and what to do about it. A template.
    pub otherwise: Option<String>,
}

/// Reads one.
pub(super) fn read(table: &mut Reader<'_>) -> Option<Condition> {
    let before = table.count();
    let variable: Option<String> = table.get("variable", "the name of an environment variable");
    let files: Option<Vec<String>> = table.get("any-file", "a list of paths");
    let otherwise = table.get("else", "a text");
    match (&variable, &files) {
        (_, Some(files)) if files.is_empty() => {
            table.problem("any-file", "it is empty; it should be a list of paths");
        }
        (None, None) if table.count() == before => {
            table.problem("variable", "it is missing: `variable` or `any-file` says what must hold");
        }
        (None, None) => return None,
        _ => {}
    }
    Some(Condition { variable, any_file: files.unwrap_or_default(), otherwise })
}
