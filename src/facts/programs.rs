//! Which programs are installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// Where each program that anybody asked for is, if it is anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    path: String,
    found: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Looks for `names` in the folders of `path`; names with a slash are looked at as they are.
    pub fn probe<'a>(path: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let found = names.into_iter().filter_map(|name| Some((name.to_owned(), look(path, name)?))).collect();
        Self { path: path.to_owned(), found }
    }

    /// Programs that are said to be there, for tests and for planning other machines.
    pub fn given<'a>(path: &str, programs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let found = programs.into_iter().map(|(name, file)| (name.to_owned(), file.into())).collect();
        Self { path: path.to_owned(), found }
    }

    /// Where `name` is, or why it is not.
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

fn look(path: &str, name: &str) -> Option<PathBuf> {
    let executable = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(executable);
    }
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(name))
        .find(executable)
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
    }
}
