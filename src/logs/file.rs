//! The rotated log file of one unit: `NAME.log`, and `NAME.log.1` and so on for older lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::sys::error::unless_missing;

pub(super) struct RotatedFile {
    path: PathBuf,
    limit: u64,
    keep: u32,
    open: Option<File>,
    failed: bool,
}

impl RotatedFile {
    pub(super) fn new(dir: &Path, name: &str, limit: u64, keep: u32) -> Self {
        Self { path: dir.join(format!("{name}.log")), limit, keep, open: None, failed: false }
    }

    /// Appends lines. Of several failures in a row only the first is returned: a full disk must not be reported once
    /// per line.
    pub(super) fn write(&mut self, lines: &str) -> Option<io::Error> {
        match self.try_write(lines) {
            Ok(()) => {
                self.failed = false;
                None
            }
            Err(error) => {
                self.open = None;
                (!std::mem::replace(&mut self.failed, true)).then_some(error)
            }
        }
    }

    fn try_write(&mut self, lines: &str) -> io::Result<()> {
        // If a user has removed the log or its folder, the next lines go into a new file.
        if self.open.as_ref().is_some_and(|file| file.metadata().map_or(true, |file| file.nlink() == 0)) {
            self.open = None;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            let file = match &mut self.open {
                Some(open) => open,
                None => self.open.insert(open(&self.path)?),
            };
            let written = file.metadata()?.len();
            let fits = whole_lines(rest, self.limit.saturating_sub(written));
            let (part, after) = match (fits, written) {
                // A line that is longer than the limit gets a file of its own.
                (0, 0) => rest.split_at(rest.find('\n').map_or(rest.len(), |end| end + 1)),
                (0, _) => {
                    self.open = None;
                    rotate(&self.path, self.keep)?;
                    continue;
                }
                (fits, _) => rest.split_at(fits),
            };
            file.write_all(part.as_bytes())?;
            rest = after;
        }
        Ok(())
    }
}

/// The length of the longest part of `text` that consists of whole lines and fits into `room`.
fn whole_lines(text: &str, room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if text.len() <= room {
        return text.len();
    }
    text.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let numbered = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        if n > 0 {
            name.push(format!(".{n}"));
        }
        PathBuf::from(name)
    };
    if keep == 0 {
        return fs::remove_file(path);
    }
    for n in (0..keep).rev() {
        fs::rename(numbered(n), numbered(n + 1)).or_else(unless_missing)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rotated_and_the_configured_number_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatedFile::new(dir.path(), "unit", 20, 2);
        for n in 0..10 {
            assert!(file.write(&format!("line {n}\n")).is_none());
        }
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["unit.log", "unit.log.1", "unit.log.2"]);
        assert!(fs::read_to_string(dir.path().join("unit.log")).unwrap().ends_with("line 9\n"));
    }

    #[test]
    fn file_stays_below_its_limit_for_any_batches() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| assert!(RotatedFile::new(dir.path(), "unit", 10, 3).write(text).is_none());
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        write("one\ntwo\nthree\n");
        // The file of an earlier run has room for more lines, but not for these.
        write("four\nmuch longer than it may be\nfive\n");
        assert_eq!(read("unit.log"), "five\n");
        assert_eq!(read("unit.log.1"), "much longer than it may be\n");
        assert_eq!(read("unit.log.2"), "four\n");
        assert_eq!(read("unit.log.3"), "three\n");
    }

    #[test]
    fn a_removed_file_or_folder_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        let mut file = RotatedFile::new(&folder, "unit", 1000, 2);
        assert!(file.write("one\n").is_none());
        fs::remove_dir_all(&folder).unwrap();
        assert!(file.write("two\n").is_none());
        assert_eq!(fs::read_to_string(folder.join("unit.log")).unwrap(), "two\n");
    }

    #[test]
    fn a_full_disk_stops_only_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("unit.log")).unwrap();
        let mut file = RotatedFile::new(dir.path(), "unit", 1000, 2);
        assert_eq!(file.write("one\n").unwrap().kind(), io::ErrorKind::StorageFull);
        assert!(file.write("two\n").is_none());
    }

    #[test]
    fn write_failure_is_reported_once_and_writing_recovers() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("logs");
        fs::write(&blocked, "a file where a folder should be").unwrap();
        let mut file = RotatedFile::new(&blocked, "unit", 60, 2);
        assert!(file.write("one\n").is_some());
        assert!(file.write("two\n").is_none());
        fs::remove_file(&blocked).unwrap();
        assert!(file.write("three\n").is_none());
        assert!(blocked.join("unit.log").exists());
    }
}
