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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Variable"))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    let masked = |value: String| if variable.secret { MASK.to_owned() } else { without_secrets(&value) };
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

/// The text with the secret parts of addresses masked: user names and passwords in them, and their queries, which may be
/// signatures.
fn without_secrets(text: &str) -> String {
    let mut parts = text.split("://");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let host = part.find(['/', '?', '#']).unwrap_or(part.len());
        let host = part.find(char::is_whitespace).map_or(host, |end| host.min(end));
        let (user, from) = part[..host].rfind('@').map_or(("", 0), |at| (MASK, at));
        let rest = &part[from..];
        whole.extend(["://", user]);
        match rest.find('?') {
            None => whole.push_str(rest),
            Some(query) => {
                let end = rest[query..].find(char::is_whitespace).map_or(rest.len(), |end| query + end);
                whole.extend([&rest[..=query], MASK, &rest[end..]]);
            }
        }
    }
    whole
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::names::looks_secret;
    use std::ffi::OsString;

    fn rows(pairs: impl Iterator<Item = (String, String)>) -> Vec<Row> {
        let pairs = pairs.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Environment::new(pairs, &[], &mut Vec::new()).rows()
    }

    #[test]
    fn no_secret_is_in_any_row_whatever_names_and_values_it_has() {
        for value in ["hunter22", "hunter22 with spaces", "https://hunter22", "hunter22\u{e9}\n"] {
            let secrets = TABLE.iter().filter(|variable| variable.secret);
            let set: Vec<_> = secrets.flat_map(|variable| variable.names).collect();
            assert!(set.len() > 5);
            // With aliases there are values that lost, too.
            let rows = rows(set.iter().map(|name| ((**name).to_owned(), value.to_owned())));
            let text = serde_json::to_string(&rows).unwrap();
            assert!(!text.contains("hunter22"), "{value}: {text}");
            let masked = rows.iter().filter(|row| row.value == MASK || row.source.ends_with("is wrong"));
            assert_eq!(masked.count(), TABLE.iter().filter(|variable| variable.secret).count(), "{value}");
        }
        // A public key only looks like a secret.
        let looks = |name: &&str| looks_secret(name) && !name.ends_with("PUBLIC_KEY");
        let named = TABLE.iter().filter(|variable| variable.names.iter().any(looks));
        assert!(named.clone().count() > 5 && named.into_iter().all(|variable| variable.secret));
    }

    #[test]
    fn secret_parts_of_addresses_are_masked() {
        for (text, shown) in [
            ("/a/b.sh", "/a/b.sh"),
            ("plain: a@b?c", "plain: a@b?c"),
            ("https://h/x.sh", "https://h/x.sh"),
            ("https://u:p,/w@h/x", "https://u:p,/w@h/x"),
            ("https://u:p@w@h:1/x@y?sig=1#f", "https://******@h:1/x@y?******"),
            ("http://h?a=b, https://t@h b@c", "http://h?****** https://******@h b@c"),
            ("git+https://t@", "git+https://******@"),
            ("://", "://"),
            ("a://é@ü?ß", "a://******@ü?******"),
        ] {
            assert_eq!(without_secrets(text), shown, "{text}");
        }
        let script = ("PROVISIONING_SCRIPT".to_owned(), "https://hunter22@h/x.sh?hunter22".to_owned());
        let text = serde_json::to_string(&rows(std::iter::once(script))).unwrap();
        assert!(text.contains("https://******@h/x.sh?******") && !text.contains("hunter22"), "{text}");
    }
}
