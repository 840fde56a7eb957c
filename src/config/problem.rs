//! One mistake in the configuration, described so that users can correct it without reading the source.

use std::fmt;

use serde::Serialize;

/// A mistake: its place, the mistake itself, and the correct form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A file's path, `environment`, or `arguments of init`.
    pub place: String,
    /// The key or variable, dotted within a file; empty if the problem concerns the whole place.
    pub key: String,
    /// The mistake and the correct form; contains the wrong value.
    pub message: String,
    /// The unit that cannot run because of it.
    pub unit: Option<String>,
}

impl Problem {
    /// A problem that concerns no unit in particular.
    pub fn new(place: impl Into<String>, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), key: one_line(key.into()), message: one_line(message.into()), unit: None }
    }

    /// This problem as the reason why `unit` does not run.
    #[must_use]
    pub fn of_unit(self, unit: impl Into<String>) -> Self {
        Self { unit: Some(unit.into()), ..self }
    }
}

/// Escapes control characters: messages quote texts of users, which must not look like further messages.
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

/// The end of a message about the unknown `name`: the name that was probably meant, if one is similar.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default()
}

/// The name in `known` that is most similar to the mistyped `name`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A comparison costs the product of the lengths, and a name of this length is no typing mistake.
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
