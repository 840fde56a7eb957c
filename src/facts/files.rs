//! Evaluates the files of conditions: which have content, and which contain an SSH key.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::config::condition::Condition;

use super::{ssh_keys, with_timeout};
use crate::sys::read;

/// At most this much of a file is read to find content, in bytes.
const ENOUGH: u64 = 256 * 1024;

/// The files, by their names in the conditions, that have content, and those that contain an SSH key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    says_something: BTreeSet<String>,
    has_key: BTreeSet<String>,
}

impl Files {
    /// Checks the files of conditions, in whose names `${home}` and `${run-dir}` mean folders. A file that cannot be
    /// read has no content.
    pub fn probe<'a>(
        home: Option<&Path>,
        run_dir: &Path,
        asked: impl IntoIterator<Item = &'a Condition>,
    ) -> Self {
        let mut files = Self::default();
        let run_dir = run_dir.display().to_string();
        let path = |name: &str| {
            let mut name = name.replace("${run-dir}", &run_dir);
            if let Some(home) = home {
                name = name.replace("${home}", &home.display().to_string());
            }
            // A name with other variables is no path, and neither is `${home}` without a home.
            (!name.contains("${")).then_some(name)
        };
        for condition in asked {
            for (names, found, look) in [
                (&condition.any_file, &mut files.says_something, any_says_something as fn(&Path) -> _),
                (&condition.any_key, &mut files.has_key, ssh_keys::has_key),
            ] {
                for name in names {
                    let Some(path) = path(name).map(PathBuf::from) else { continue };
                    if !found.contains(name) && with_timeout(move || look(&path)) == Some(true) {
                        found.insert(name.clone());
                    }
                }
            }
        }
        files
    }

    /// Files that are given to exist, for tests and for planning other machines.
    pub fn given<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        Self { says_something: names.clone(), has_key: names }
    }

    /// Whether the files of a condition fulfil it.
    pub fn hold(&self, condition: &Condition) -> bool {
        let any = |names: &[String], found: &BTreeSet<String>| names.iter().any(|name| found.contains(name));
        any(&condition.any_file, &self.says_something) || any(&condition.any_key, &self.has_key)
    }
}

fn any_says_something(path: &Path) -> bool {
    alike(path).iter().any(|path| says_something(path))
}

/// The files that match a path whose last part may begin with a star.
fn alike(path: &Path) -> Vec<PathBuf> {
    let ending = path.file_name().and_then(|name| name.as_encoded_bytes().strip_prefix(b"*"));
    let (Some(ending), Some(folder)) = (ending, path.parent()) else { return vec![path.to_owned()] };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let meant =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(ending));
    entries.filter(meant).collect()
}

/// Whether a line of the file is neither empty nor a comment.
fn says_something(path: &Path) -> bool {
    let Ok(file) = read::open(path) else { return false };
    let mut lines = BufReader::new(file.take(ENOUGH)).split(b'\n');
    lines.any(|line| line.is_ok_and(|line| !matches!(line.trim_ascii().first(), None | Some(b'#'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_when_it_has_content() {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in
            [("keys", "# mine\n\nssh-ed25519 AAAA me\n"), ("comment", "# none\n"), ("empty", "")]
        {
            std::fs::write(home.path().join(name), text).unwrap();
        }
        let asked =
            |name: &str| Condition { any_file: vec![format!("${{home}}/{name}")], ..Condition::default() };
        let found = |home, names: [&str; 5]| {
            let files = Files::probe(home, Path::new("/nonexistent"), &names.map(asked));
            names.map(|name| files.hold(&asked(name)))
        };
        let names = ["keys", "comment", "empty", "missing", ""];
        assert_eq!(found(Some(home.path()), names), [true, false, false, false, false]);
        assert_eq!(found(None, names), [false; 5]);
        let patterns = ["*ys", "*", "*ment", "*.sh", "k*"];
        assert_eq!(found(Some(home.path()), patterns), [true, true, false, false, false]);
        // The file has content, but no key.
        let key = Condition { any_key: vec!["${run-dir}/keys".to_owned()], ..Condition::default() };
        assert!(!Files::probe(None, home.path(), [&key]).hold(&key));
    }
}
