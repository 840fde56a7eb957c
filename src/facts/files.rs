//! Which of the files that conditions ask for have in them what they are asked for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::config::condition::Holds;

use super::{patiently, ssh_keys};

/// Nobody looks at more of a file than this to know that it says something. Bytes.
const ENOUGH: u64 = 256 * 1024;

/// The files, named as the conditions name them, that say something, and those that have an SSH key in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    says_something: BTreeSet<String>,
    has_key: BTreeSet<String>,
}

impl Files {
    /// Looks at what conditions ask for, in which `${home}` and `${run-dir}` stand for folders. Whatever cannot be read
    /// says nothing.
    pub fn probe<'a>(
        home: Option<&Path>,
        run_dir: &Path,
        asked: impl IntoIterator<Item = &'a Holds>,
    ) -> Self {
        let mut files = Self::default();
        let run_dir = run_dir.display().to_string();
        let path = |name: &str| {
            let name = name.replace("${run-dir}", &run_dir);
            match home {
                Some(home) => Some(name.replace("${home}", &home.display().to_string())),
                None => (!name.contains("${")).then_some(name),
            }
        };
        for holds in asked {
            let (names, found, look) = match holds {
                Holds::AnyFile(names) => (names, &mut files.says_something, says_something as fn(&Path) -> _),
                Holds::AnyKey(names) => (names, &mut files.has_key, ssh_keys::has_key as fn(&Path) -> _),
                Holds::Variable(_) => continue,
            };
            for name in names {
                let Some(path) = path(name).map(PathBuf::from) else { continue };
                if !found.contains(name) && patiently(move || look(&path)) == Some(true) {
                    found.insert(name.clone());
                }
            }
        }
        files
    }

    /// Files that are said to be there, for tests and for planning other machines.
    pub fn given<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        Self { says_something: names.clone(), has_key: names }
    }

    /// Whether what a condition asks of files holds.
    pub fn hold(&self, holds: &Holds) -> bool {
        let any = |names: &[String], found: &BTreeSet<String>| names.iter().any(|name| found.contains(name));
        match holds {
            Holds::AnyFile(names) => any(names, &self.says_something),
            Holds::AnyKey(names) => any(names, &self.has_key),
            Holds::Variable(_) => false,
        }
    }
}

/// Whether a line of it is neither empty nor a comment.
fn says_something(path: &Path) -> bool {
    // Opening a pipe that stands there instead would wait for its writer.
    if !path.is_file() {
        return false;
    }
    let Ok(file) = File::open(path) else { return false };
    let mut lines = BufReader::new(file.take(ENOUGH)).split(b'\n');
    lines.any(|line| line.is_ok_and(|line| !matches!(line.trim_ascii().first(), None | Some(b'#'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_when_it_says_something() {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in
            [("keys", "# mine\n\nssh-ed25519 AAAA me\n"), ("comment", "# none\n"), ("empty", "")]
        {
            std::fs::write(home.path().join(name), text).unwrap();
        }
        let asked = |name: &str| Holds::AnyFile(vec![format!("${{home}}/{name}")]);
        let found = |home| {
            let names = ["keys", "comment", "empty", "missing", ""];
            let files = Files::probe(home, Path::new("/nonexistent"), &names.map(asked));
            names.map(|name| files.hold(&asked(name)))
        };
        assert_eq!(found(Some(home.path())), [true, false, false, false, false]);
        assert_eq!(found(None), [false; 5]);
        // That says something, and is no key.
        let key = Holds::AnyKey(vec!["${run-dir}/keys".to_owned()]);
        assert!(!Files::probe(None, home.path(), [&key]).hold(&key));
    }
}
