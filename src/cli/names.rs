//! Resolves service names of the command line: names, aliases, and patterns with `*` and `?` that are matched against
//! both.

use crate::observe::{Snapshot, UnitState, UnitStatus};

use super::{Failure, code};

/// The units that `words` name, each once. Patterns match skipped units, which do not apply here, only if `skipped` is
/// set.
pub(super) fn resolve<'a>(
    snapshot: &'a Snapshot,
    words: &[String],
    skipped: bool,
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
            return Err(unknown(snapshot, word));
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

fn unknown(snapshot: &Snapshot, word: &str) -> Failure {
    let letters = word.replace(['*', '?'], "");
    let near = snapshot.nearest(&letters);
    let hint = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    let what = if letters == word { "no service is named" } else { "no service in use matches" };
    Failure::new(code::FAILED, format!("{what} '{word}'{hint}"))
}

/// Whether `pattern` matches the whole of `name`: `*` matches any text, `?` one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The position of the last star, and the end of the text that it matches so far.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, reach)) => {
                    star = Some((at, reach + 1));
                    p = at + 1;
                    n = reach + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
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
        let found = resolve(&snapshot, &words, skipped).map_err(|failure| failure.message)?;
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
            (&["gp*"], false, Err("no service in use matches 'gp*'; did you mean 'gpu'?")),
            (&["kde", "pipewir"], false, Err("no service is named 'pipewir'; did you mean 'pipewire'?")),
            (&["zzz"], false, Err("no service is named 'zzz'")),
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
