//! Rows of `desktopd env`: each variable with its value, its source, and the values that lost. Secrets are masked.

use serde::{Deserialize, Serialize};

use super::Environment;
use super::sources::Origin;
use super::table::{TABLE, Variable, given};
use crate::sys::env_file::Raw;

/// The text that replaces a secret.
const MASK: &str = "******";

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The other names by which it is read.
    pub aliases: Vec<String>,
    /// Empty when it is not set and has no default.
    pub value: String,
    /// The value if the variable is not set.
    pub default: String,
    /// Where the value comes from, in words.
    pub source: String,
    /// Other values that were set, and lost.
    pub overrode: Vec<Overridden>,
    /// Whether the value is never shown.
    pub secret: bool,
    /// The description.
    pub doc: String,
}

/// A value that was set and lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// The value.
    pub value: String,
    /// Where it was set, in words.
    pub source: String,
}

impl Environment {
    /// Every variable of the table with its source, with secrets masked.
    pub fn rows(&self) -> Vec<Row> {
        TABLE.iter().map(|variable| row(self, variable)).collect()
    }
}

/// The row of one variable.
fn row(env: &Environment, variable: &Variable) -> Row {
    let masked = |value: String| if variable.secret { MASK.to_owned() } else { value };
    let mut set = set(env, variable).into_iter();
    let (value, source) = match (set.next(), variable.given(&env.raw)) {
        (Some((_, source, _)), Some(value)) => (masked(value), source),
        (Some((name, _, text)), None) => {
            // A value that means "none" counts as unset; any other bad value was reported.
            let nothing = (variable.value)(text, &env.raw).is_some_and(|text| text.is_empty());
            let why = match variable.instead == variable.default {
                _ if nothing => "default".to_owned(),
                true => format!("default; {name} is wrong"),
                false => format!("{name} is wrong"),
            };
            (variable.shown(&env.raw), why)
        }
        (None, _) => (variable.default.to_owned(), "default".to_owned()),
    };
    let lost = |(_, source, text): (_, _, String)| Overridden { value: masked(text), source };
    Row {
        name: variable.names[0].to_owned(),
        aliases: variable.names[1..].iter().map(|name| (*name).to_owned()).collect(),
        value,
        default: variable.default.to_owned(),
        source,
        overrode: set.map(lost).collect(),
        secret: variable.secret,
        doc: variable.doc.to_owned(),
    }
}

/// All settings of a variable, the winner first: the name that was used, the source in words, and the value.
fn set(env: &Environment, variable: &Variable) -> Vec<(&'static str, String, String)> {
    let look = |origin: &Origin, set: &Raw| -> Vec<_> {
        let given = variable.names.iter().filter_map(|name| Some((*name, given(set, name)?)));
        let told = given.map(|(name, value)| {
            let alias = if name == variable.names[0] { String::new() } else { format!(", as {name}") };
            (name, format!("{origin}{alias}"), value.to_string_lossy().into_owned())
        });
        told.collect()
    };
    let mut found: Vec<_> =
        env.sources.stack().rev().flat_map(|layer| look(&layer.origin, &layer.set)).collect();
    found.extend(look(&Origin::Provider, &env.provider));
    // The made value counts only if no other source sets the variable.
    if found.is_empty() {
        found = look(&Origin::Made, &env.sources.made);
    }
    found
}
