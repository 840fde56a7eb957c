//! `[[condition]]` of a service file: a condition that must hold for the service to run here.

use super::table::Reader;

/// The X server of a display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XServer {
    /// Xorg, with the driver of a GPU.
    Xorg,
    /// Xvfb, whose screen is in memory.
    Xvfb,
}

/// One condition: it holds if one of its keys holds. A unit with a condition that does not hold is skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// This environment variable is set, and not to `false`.
    pub variable: Option<String>,
    /// The plan has chosen a display on this X server.
    pub display: Option<XServer>,
    /// One of these files exists and has a line that is neither empty nor a comment. `${home}` and `${run-dir}` are the
    /// only templates; a last part such as `*.sh` matches all files of the folder with that ending.
    pub any_file: Vec<String>,
    /// One of these files, named by the same templates, exists and has a line with an SSH key; or one of these
    /// variables, written as `${NAME}`, has one.
    pub any_key: Vec<String>,
    /// The text for users if the condition does not hold: the reason, and what to do about it. A template.
    pub otherwise: Option<String>,
}

/// Reads one.
pub(super) fn read(table: &mut Reader<'_>) -> Option<Condition> {
    let before = table.count();
    let variable: Option<String> = table.get("variable", "the name of an environment variable");
    let display = table.word("display", &[("xorg", XServer::Xorg), ("xvfb", XServer::Xvfb)]);
    let mut paths = |key: &'static str| {
        let paths: Option<Vec<String>> = table.get(key, "a list of paths");
        if paths.as_ref().is_some_and(Vec::is_empty) {
            table.problem(key, "it is empty; it should be a list of paths");
        }
        paths
    };
    let (any_file, any_key) = (paths("any-file"), paths("any-key"));
    let condition = Condition {
        variable,
        display,
        any_file: any_file.unwrap_or_default(),
        any_key: any_key.unwrap_or_default(),
        otherwise: table.get("else", "a text"),
    };
    let empty = Condition { otherwise: condition.otherwise.clone(), ..Condition::default() };
    if condition == empty && table.count() == before {
        let message = "it is missing: `variable`, `display`, `any-file` or `any-key` says what must hold";
        table.problem("variable", message);
    }
    (table.count() == before).then_some(condition)
}
