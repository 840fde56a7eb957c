//! Which of the files that conditions ask for have anything in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::patiently;

/// Nobody looks at more of a file than this to know that it says something. Bytes.
const ENOUGH: u64 = 256 * 1024;

/// The files, named as the conditions name them, that say something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeSet<String>);

impl Files {
    /// Looks at `names`, in which `${home}` stands for a folder. Whatever cannot be read says nothing.
    pub fn probe(home: Option<&Path>, names: impl IntoIterator<Item = String>) -> Self {
        let home = home.map(|home| home.display().to_string());
        let paths: BTreeMap<String, PathBuf> = names
            .into_iter()
            .filter_map(|name| {
                let path = match &home {
                    Some(home) => name.replace("${home}", home),
                    None if name.contains("${") => return None,
                    None => name.clone(),
                };
                Some((name, path.into()))
            })
            .collect();
        let found = paths.into_iter().filter(|(_, path)| {
            let path = path.clone();
            patiently(move || alike(&path).iter().any(|path| says_something(path))) == Some(true)
        });
        Self(found.map(|(name, _)| name).collect())
    }

    /// Files that are said to be there, for tests and for planning other machines.
    pub fn given<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Whether the file of this name says something.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// The files that are meant by a path whose last part may begin with a star.
fn alike(path: &Path) -> Vec<PathBuf> {
    let ending = path.file_name().and_then(|name| name.as_encoded_bytes().strip_prefix(b"*"));
    let (Some(ending), Some(folder)) = (ending, path.parent()) else { return vec![path.to_owned()] };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let meant =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(ending));
    entries.filter(meant).collect()
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
        let names = ["keys", "comment", "empty", "missing", ""].map(|name| format!("${{home}}/{name}"));
        let files = Files::probe(Some(home.path()), names.clone());
        assert_eq!(names.iter().filter(|name| files.has(name)).collect::<Vec<_>>(), [&names[0]]);
        assert!(!Files::probe(None, names.clone()).has(&names[0]));
        for (pattern, expected) in [("*ys", true), ("*", true), ("*ment", false), ("*.sh", false)] {
            let name = format!("${{home}}/{pattern}");
            assert_eq!(Files::probe(Some(home.path()), [name.clone()]).has(&name), expected, "{pattern}");
        }
    }
}
