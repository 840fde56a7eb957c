//! A TOML table that is read key by key, so that all mistakes in a file are found in one pass and unknown keys are
//! named together with the known one that was probably meant.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::problem::{Problem, hint, nearest};

/// Reads one table and collects its mistakes.
pub struct Reader<'a> {
    place: String,
    prefix: String,
    table: toml::Table,
    known: Vec<&'static str>,
    present: Vec<String>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Reads `text` as the file `path`. A file that is not TOML is one problem and an empty table.
    pub fn new(path: &Path, text: &str, problems: &'a mut Vec<Problem>) -> Self {
        let place = path.display().to_string();
        let table = text.parse::<toml::Table>().unwrap_or_else(|error| {
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            problems.push(Problem::new(&place, format!("line {line}"), error.message().replace('\n', ", ")));
            toml::Table::new()
        });
        let present = table.keys().cloned().collect();
        Self { place, prefix: String::new(), table, known: Vec::new(), present, problems }
    }

    /// The full name of `key`, as a person would look for it.
    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Reports something about `key`.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        let name = self.name(key);
        self.problems.push(Problem::new(&self.place, name, message));
    }

    /// The value of `key`, if it exists and has the right type. `expected` describes valid values in words.
    pub fn get<T: DeserializeOwned>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        let shown = value.to_string();
        let fits = value.try_into().ok();
        if fits.is_none() {
            self.problem(key, format!("{shown} is not {expected}"));
        }
        fits
    }

    /// A list of texts, which may be missing.
    pub fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.get(key, "a list of texts").unwrap_or_default()
    }

    /// Whether a key is set to true; `usual` if it is missing.
    pub fn flag(&mut self, key: &'static str, usual: bool) -> bool {
        self.get(key, "true or false").unwrap_or(usual)
    }

    /// The bits of a file mode or a mask.
    pub fn octal(&mut self, key: &'static str, expected: &str) -> Option<u32> {
        self.parse(key, expected, |text| u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o777))
    }

    /// A text that must be present.
    pub fn required(&mut self, key: &'static str, expected: &str) -> Option<String> {
        if self.untouched(key) {
            self.problem(key, format!("it is missing: {expected}"));
        }
        self.get(key, expected)
    }

    /// Whether the file has no `key`.
    pub fn untouched(&self, key: &str) -> bool {
        !self.present.iter().any(|present| present == key)
    }

    /// Takes keys as known without looking at them.
    pub fn accept(&mut self, keys: impl IntoIterator<Item = &'static str>) {
        for key in keys {
            self.known.push(key);
            self.table.remove(key);
        }
    }

    /// How many problems there are so far.
    pub fn count(&self) -> usize {
        self.problems.len()
    }

    /// The value of `key`, parsed from its text by `parse`, whose error completes "X is not …".
    pub fn parse<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text: String = self.get(key, expected)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.problem(key, format!("\"{text}\" is not {expected}"));
        }
        parsed
    }

    /// A duration such as `250ms`, `5s`, `2m`.
    pub fn duration(&mut self, key: &'static str) -> Option<std::time::Duration> {
        self.parse(key, "a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\"", super::quantity::wait)
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let all = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let text: String = self.get(key, &format!("one of {all}"))?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let hint = hint(&text, words.iter().map(|(word, _)| *word));
            self.problem(key, format!("\"{text}\" is not one of {all}{hint}"));
        }
        found
    }

    /// The table under `key`, read by `read`; unknown keys in it are reported too.
    pub fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'_>) -> T) -> Option<T> {
        let table: toml::Table = self.get(key, "a table")?;
        Some(self.within(&format!("{key}."), table, read))
    }

    /// Reads a table inside this one; `prefix` comes before the names of its keys.
    fn within<T>(&mut self, prefix: &str, table: toml::Table, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let mut inner = Reader {
            place: self.place.clone(),
            prefix: self.prefix.clone() + prefix,
            present: table.keys().cloned().collect(),
            table,
            known: Vec::new(),
            problems: self.problems,
        };
        let value = read(&mut inner);
        inner.finish();
        value
    }

    /// Every table of the list under `key` (`[[key]]`), read by `read`.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Reader<'_>) -> Option<T>,
    ) -> Vec<T> {
        let tables: Vec<toml::Table> =
            self.get(key, &format!("a list of tables, each under [[{key}]]")).unwrap_or_default();
        let mut values = Vec::new();
        for (at, table) in tables.into_iter().enumerate() {
            values.extend(self.within(&format!("{key}[{}].", at + 1), table, &mut read));
        }
        values
    }

    /// Reports every key that was not read.
    pub fn finish(&mut self) {
        for (key, _) in std::mem::take(&mut self.table) {
            let message = match nearest(&key, self.known.iter().copied()) {
                Some(near) => format!("unknown key; did you mean `{near}`?"),
                None => format!("unknown key; the known ones are {}", self.known.join(", ")),
            };
            // A key with other characters is quoted, so that readers see where it begins and ends.
            let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
            self.problem(&if plain { key } else { format!("{key:?}") }, message);
        }
    }
}
