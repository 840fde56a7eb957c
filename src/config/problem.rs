//! One mistake in what we were given, told so that it can be mended without reading the source.

use std::fmt;

use serde::Serialize;

/// A mistake: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A file's path, `environment`, or `arguments of init`.
    pub place: String,
    /// The key or variable, dotted within a file; empty when it is about the whole place.
    pub key: String,
    /// What is wrong and what would be right; names the value.
    pub message: String,
    /// The unit that cannot run because of it.
    pub unit: Option<String>,
}

impl Problem {
    /// A problem that concerns no unit in particular.
    pub fn new(place: impl Into<String>, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), key: one_line(key.into()), message: one_line(message.into()), unit: None }
    }

    /// The same, as the reason why `unit` does not run.
    #[must_use]
    pub fn of_unit(self, unit: impl Into<String>) -> Self {
        Self { unit: Some(unit.into()), ..self }
    }
}

/// What people write is quoted in messages, and must not look like other messages there.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The one of `known` that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of the lengths, and nobody mistypes a word of this length.
    if name.len() > 128 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
