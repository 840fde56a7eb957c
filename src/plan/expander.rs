//! Expands the templates in the texts of one service file; errors become problems of its unit.

use std::path::{Path, PathBuf};

use crate::config::Problem;
use crate::config::service::Service;

use super::template::{Values, expand};
use super::values::OF_THE_ACCOUNT;

/// Expands texts of one file and collects the errors.
pub(super) struct Expander<'a> {
    pub(super) service: &'a Service,
    pub(super) values: &'a Values,
    pub(super) problems: Vec<Problem>,
    /// Why the desktop's user does not exist, if it does not.
    pub(super) no_account: Option<&'a str>,
    /// Why the unit does not apply here, as far as its texts show.
    pub(super) inapplicable: Option<String>,
}

impl Expander<'_> {
    pub(super) fn text(&mut self, key: &str, text: &str) -> String {
        self.with(key, text, self.values)
    }

    /// The content of a file, whose `values` may be secrets. A value with a line break is refused: its second line
    /// could set anything.
    pub(super) fn lines(&mut self, key: &str, text: &str, values: &Values) -> String {
        for (name, value) in values {
            if value.contains(['\n', '\r']) && text.contains(&format!("${{{name}}}")) {
                self.problem(key, format!("the value of {name} has a line break, which no file can hold"));
            }
        }
        self.with(key, text, values)
    }

    fn with(&mut self, key: &str, text: &str, values: &Values) -> String {
        expand(text, values).unwrap_or_else(|message| {
            let of_the_account =
                |_: &&str| OF_THE_ACCOUNT.iter().any(|name| text.contains(&format!("${{{name}}}")));
            match self.no_account.filter(of_the_account) {
                Some(reason) => self.inapplicable = Some(reason.to_owned()),
                None => self.problem(key, message),
            }
            String::new()
        })
    }

    pub(super) fn path(&mut self, key: &str, path: &Path) -> PathBuf {
        self.text(key, &path.to_string_lossy()).into()
    }

    pub(super) fn list(&mut self, key: &str, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.text(key, text)).collect()
    }

    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let problem = Problem::new(self.service.file.display().to_string(), key, message);
        self.problems.push(problem.of_unit(&self.service.name));
    }
}
