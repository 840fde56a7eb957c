//! Finds and reads the service files, with limits on their number, their size and the time for reading.
//!
//! The folder may be on a dead volume, or a faulty script may fill it: a limit that is exceeded is reported as a
//! problem, and never stops a boot or a reload.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::problem::Problem;
use super::service::Service;
use crate::sys::{read as file, with_timeout_of};

/// The most service files that are read.
const MOST_FILES: usize = 1000;

/// The largest service file. Bytes.
const LARGEST_FILE: u64 = 256 << 10;

/// The most that all service files together may have. Bytes.
const LARGEST_SUM: usize = 8 << 20;

/// How long reading the configuration's folder may take: enough for a busy disk; a dead volume never answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// The files that were found in the folder.
#[derive(Default)]
struct Found {
    /// The path and the text of each file, or the error.
    files: Vec<(PathBuf, io::Result<String>)>,
    /// How many files there are.
    all: usize,
}

/// The text of a file of the configuration.
pub(super) fn text_with_timeout(path: &Path) -> io::Result<String> {
    let wanted = path.to_owned();
    with_timeout_of(PATIENCE, move || file::text(&wanted, file::BY_HAND)).unwrap_or_else(|| Err(no_answer()))
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("it does not answer within {PATIENCE:?}"))
}

/// The services with valid files, by name.
pub(super) fn read(dir: &Path, problems: &mut Vec<Problem>) -> Vec<Service> {
    let mut tell = |message: String| problems.push(Problem::new(dir.display().to_string(), "", message));
    let wanted = dir.to_owned();
    let found = match with_timeout_of(PATIENCE, move || look(&wanted)).unwrap_or_else(|| Err(no_answer())) {
        Ok(found) => found,
        Err(error) => {
            tell(format!("{error}; it should hold a NAME.toml for each service"));
            return Vec::new();
        }
    };
    let left_out = found.all - found.files.len();
    if left_out > 0 {
        let last = found.files.last().and_then(|(path, _)| path.file_name()).unwrap_or_default();
        tell(format!(
            "it holds {} service files, and at most {MOST_FILES} files of {} MiB in all are read: the {left_out} after \
             {} are left out",
            found.all,
            LARGEST_SUM >> 20,
            last.display()
        ));
    }
    let mut services = Vec::new();
    for (path, text) in found.files {
        match text {
            Ok(text) => services.extend(Service::parse(&path, &text, problems)),
            Err(error) => {
                let name =
                    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                problems.push(Problem::new(path.display().to_string(), "", error.to_string()).of_unit(name));
            }
        }
    }
    services
}

/// Reads the files, by name, up to the limits.
fn look(dir: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    // No more names than the limit are kept in memory.
    let mut names: BTreeSet<OsString> = BTreeSet::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        // Editors keep copies in hidden files.
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if hidden || Path::new(&name).extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        found.all += 1;
        names.insert(name);
        if names.len() > MOST_FILES {
            names.pop_last();
        }
    }
    let mut sum = 0;
    for name in names {
        let path = dir.join(name);
        let text = file::text(&path, LARGEST_FILE);
        sum += text.as_ref().map_or(0, String::len);
        if sum > LARGEST_SUM {
            break;
        }
        found.files.push((path, text));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    fn told(dir: &Path) -> (usize, Vec<String>) {
        let mut problems = Vec::new();
        let services = read(dir, &mut problems);
        let dir = format!("{}/", dir.display());
        (services.len(), problems.iter().map(|problem| problem.to_string().replace(&dir, "")).collect())
    }

    #[test]
    fn large_or_irregular_files_are_problems_with_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("good.toml"), "command = [\"x\"]").unwrap();
        fs::write(at("large.toml"), vec![b'#'; 300 << 10]).unwrap();
        fs::write(at("latin.toml"), b"description = \"\xe9\"").unwrap();
        nix::unistd::mkfifo(&at("fifo.toml"), Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("zero.toml")).unwrap();
        fs::create_dir(at("folder.toml")).unwrap();
        let (services, problems) = told(dir.path());
        assert_eq!(services, 1);
        assert_eq!(
            problems,
            [
                "fifo.toml: is a FIFO, expected a regular file",
                "folder.toml: is a directory, expected a regular file",
                "large.toml: is larger than 256 KiB",
                "latin.toml: is not text in UTF-8",
                "zero.toml: is a character device, expected a regular file",
            ]
        );
    }

    #[test]
    fn files_beyond_the_limit_are_left_out_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..MOST_FILES + 3 {
            fs::write(dir.path().join(format!("s{n:05}.toml")), "command = [\"x\"]").unwrap();
        }
        let (services, problems) = told(dir.path());
        assert_eq!((services, problems.len()), (MOST_FILES, 1), "{problems:?}");
        assert!(problems[0].ends_with("the 3 after s00999.toml are left out"), "{problems:?}");
    }

    #[test]
    fn text_beyond_the_limit_is_left_out_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("command = [\"x\"]\n{}", "#".repeat(250 << 10));
        for n in 0..40 {
            fs::write(dir.path().join(format!("s{n:02}.toml")), &text).unwrap();
        }
        let (services, problems) = told(dir.path());
        assert_eq!((services, problems.len()), (32, 1), "{problems:?}");
        assert!(problems[0].contains("it holds 40 service files"), "{problems:?}");
    }
}
