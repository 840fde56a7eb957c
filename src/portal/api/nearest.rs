//! The name that a user may have meant.

use crate::config::own::NAMES;
use crate::observe::Snapshot;

/// Maximum length of a unit's name: the time to compare a name with all names grows with its length. Bytes.
pub(super) const LONGEST_NAME: usize = 128;

/// The name or alias that is most similar to `asked`, if one is similar enough.
pub(crate) fn nearest(snapshot: &Snapshot, asked: &str) -> Option<String> {
    if asked.len() > LONGEST_NAME {
        return None;
    }
    let names = snapshot.units.iter().flat_map(|unit| std::iter::once(&unit.name).chain(&unit.aliases));
    let names = names.map(String::as_str).chain(NAMES);
    let (distance, name) = names.map(|name| (strsim::damerau_levenshtein(name, asked), name)).min()?;
    (distance <= 1 + asked.chars().count() / 4).then(|| name.to_owned())
}
