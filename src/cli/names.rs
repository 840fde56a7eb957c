//! Resolves service names of the command line: names, aliases, and patterns with `*` and `?` that are matched against
//! both.

use crate::config::own;
use crate::observe::{Snapshot, UnitState, UnitStatus};
use crate::supervise::Verb;

use super::Failure;

/// The units that `words` name, each once. Patterns match skipped units, which do not apply here, only if `skipped` is
/// set. `verb` is the command, for the one in the error that would work.
pub(super) fn resolve<'a>(
    snapshot: &'a Snapshot,
    words: &[String],
    skipped: bool,
    verb: &str,
) -> Result<Vec<&'a UnitStatus>, Failure> {
    let mut found: Vec<&UnitStatus> = Vec::new();
    for word in words {
        let meant: Vec<&UnitStatus> = if word.contains(['*', '?']) {
            let all = snapshot.units.iter().filter(|unit| names(unit).any(|name| matches(word, name)));
            all.filter(|unit| skipped || unit.state != UnitState::Skipped).collect()
        } else {
            snapshot.unit(word).into_iter().collect()
        };
        if meant.is_empty() {
            return Err(unknown(snapshot, word, verb));
        }
        for unit in meant {
            if !found.iter().any(|other| other.name == unit.name) {
                found.push(unit);
            }
        }
    }
    Ok(found)
}

fn names(unit: &UnitStatus) -> impl Iterator<Item = &str> {
    std::iter::once(&unit.name).chain(&unit.aliases).map(String::as_str)
}

/// The error for a name that no service has, with the command that would work.
pub(super) fn unknown(snapshot: &Snapshot, word: &str, verb: &str) -> Failure {
    let letters = word.replace(['*', '?'], "");
    let near = snapshot.nearest(&letters);
    let hint = match near {
        // The daemon itself is not stopped by its names.
        Some(near) if verb == Verb::Stop.name() && own::is_own(near) => format!("; did you mean '{near}'?"),
        Some(near) => format!("; did you mean '{near}'? desktopd {verb} {near}"),
        None => "; all of them: desktopd ps --all".to_owned(),
    };
    let what = if letters == word { "no service is named" } else { "no service in use matches" };
    Failure::of(format!("{what} '{word}'{hint}"))
}

/// Whether `pattern` matches the whole of `name`: `*` matches any text, `?` one character.
fn matches(pattern: &str, name: &str) -> bool {
    let inner = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
    // A pattern of an absurd length matches nothing.
    regex::Regex::new(&format!("(?s)^{inner}$")).is_ok_and(|pattern| pattern.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::unit;

    fn snapshot() -> Snapshot {
        let mut units = vec![
            unit("pipewire", UnitState::Ready),
            unit("pipewire-pulse", UnitState::Ready),
            unit("kde", UnitState::Failed),
            unit("gpu", UnitState::Skipped),
        ];
        units[2].aliases = vec!["plasma".into(), "kde-plasma".into()];
        Snapshot { units, ..Snapshot::default() }
    }

    fn found(words: &[&str], skipped: bool) -> Result<String, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let snapshot = snapshot();
        let found = resolve(&snapshot, &words, skipped, "stop").map_err(|failure| failure.message)?;
        Ok(found.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn names_aliases_and_patterns_are_resolved() {
        for (words, skipped, expected) in [
            (&["kde"][..], false, Ok("kde")),
            (&["plasma", "kde"], false, Ok("kde")),
            (&["pipewire*"], false, Ok("pipewire pipewire-pulse")),
            (&["kde", "*"], false, Ok("kde pipewire pipewire-pulse")),
            (&["*"], true, Ok("pipewire pipewire-pulse kde gpu")),
            (&["*-plasma"], false, Ok("kde")),
            (&["gpu"], false, Ok("gpu")),
            (&["gp*"], false, Err("no service in use matches 'gp*'; did you mean 'gpu'? desktopd stop gpu")),
            (
                &["kde", "pipewir"],
                false,
                Err("no service is named 'pipewir'; did you mean 'pipewire'? desktopd stop pipewire"),
            ),
            (&["zzz"], false, Err("no service is named 'zzz'; all of them: desktopd ps --all")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found(words, skipped), expected, "{words:?}");
        }
    }

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("**", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*b*b*", "abcb", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?*", "", false),
            ("ä*", "äb", true),
            ("a", "ab", false),
            ("*aab", "aaaab", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
