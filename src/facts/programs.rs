//! The installed programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// The paths of the requested programs, as far as they exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    path: String,
    found: BTreeMap<String, PathBuf>,
    /// Names for which files exist, but none that can be executed.
    useless: BTreeSet<String>,
}

impl Programs {
    /// Looks for `names` in the folders of `path`; names with a slash are used as paths.
    pub fn probe<'a>(path: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut programs = Self { path: path.to_owned(), ..Self::default() };
        for name in names {
            let mut candidates = candidates(path, name);
            if let Some(file) = candidates.iter().position(|file| is_executable(file)) {
                programs.found.insert(name.to_owned(), candidates.swap_remove(file));
            } else if candidates.iter().any(|file| file.exists()) {
                programs.useless.insert(name.to_owned());
            }
        }
        programs
    }

    /// Programs that are given to exist, for tests and for planning other machines.
    pub fn given<'a>(path: &str, programs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let found = programs.into_iter().map(|(name, file)| (name.to_owned(), file.into())).collect();
        Self { path: path.to_owned(), found, useless: BTreeSet::new() }
    }

    /// Whether a file of that name exists that cannot be executed.
    pub fn is_useless(&self, name: &str) -> bool {
        self.useless.contains(name)
    }

    /// The path of `name`, or the reason if there is none.
    pub fn get(&self, name: &str) -> Result<&Path, String> {
        self.found.get(name).map(PathBuf::as_path).ok_or_else(|| {
            if name.contains('/') {
                format!("\"{name}\" is not installed, or not executable")
            } else {
                format!("\"{name}\" is not installed (it is in none of {})", self.path)
            }
        })
    }
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

/// The files that `name` may mean, in order of preference.
fn candidates(path: &str, name: &str) -> Vec<PathBuf> {
    if name.contains('/') {
        // The program may be run from another folder.
        return vec![std::path::absolute(name).unwrap_or_else(|_| name.into())];
    }
    let folders = path.split(':').filter(|folder| !folder.is_empty());
    folders.map(|folder| Path::new(folder).join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_says_where_it_looked() {
        let programs =
            Programs::probe("/nowhere:/bin:/usr/bin", ["sh", "no-such-program", "/bin/sh", "/etc/passwd"]);
        assert!(programs.get("sh").is_ok());
        assert!(programs.get("/bin/sh").is_ok());
        assert!(programs.get("no-such-program").unwrap_err().contains("/nowhere:/bin:/usr/bin"));
        assert!(programs.get("/etc/passwd").unwrap_err().contains("not executable"));
        assert!(programs.is_useless("/etc/passwd") && !programs.is_useless("no-such-program"));
    }
}
