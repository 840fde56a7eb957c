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

    /// Like [`Programs::probe`], for another machine whose files are below `root`. Its programs cannot run here, so each
    /// file counts: a copy of a machine may lack permissions, and its absolute links lead to files of this machine.
    pub fn probe_below<'a>(root: &Path, path: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let there = |file: &PathBuf| {
            let below = root.join(file.strip_prefix("/").unwrap_or(file));
            below.symlink_metadata().is_ok_and(|found| !found.is_dir())
        };
        let file = |name: &str| candidates(path, name).into_iter().find(there);
        let found = names.into_iter().filter_map(|name| Some((name.to_owned(), file(name)?))).collect();
        Self { path: path.to_owned(), found, useless: BTreeSet::new() }
    }

    /// Whether the machine below `root` was copied with its programs: it has a shell, or programs for a display.
    pub fn has_own(root: &Path, path: &str) -> bool {
        let marks = ["sh"].into_iter().chain(super::display::PROGRAMS);
        !Self::probe_below(root, path, marks).found.is_empty()
    }

    /// With programs that are assumed to be installed where they were not found.
    #[must_use]
    pub fn assuming<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for name in names {
            self.useless.remove(name);
            self.found.entry(name.to_owned()).or_insert_with(|| Path::new("/usr/bin").join(name));
        }
        self
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

    #[test]
    fn the_programs_of_another_machine_are_files_and_links_below_its_folder() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("usr/bin");
        std::fs::create_dir_all(bin.join("folder")).unwrap();
        std::fs::write(bin.join("Xvfb"), "").unwrap();
        std::os::unix::fs::symlink("/opt/VirtualGL/bin/vglrun", bin.join("vglrun")).unwrap();
        let names = ["Xvfb", "vglrun", "folder", "sh", "/usr/bin/Xvfb"];
        let programs = Programs::probe_below(root.path(), "/bin:/usr/bin", names);
        for (name, expected) in names.into_iter().zip([true, true, false, false, true]) {
            assert_eq!(programs.get(name).is_ok(), expected, "{name}");
        }
        assert_eq!(programs.get("Xvfb"), Ok(Path::new("/usr/bin/Xvfb")));
    }
}
