//! Machines as text: `tests/machines/NAME.txt` has the files of one machine that decide about its GPUs.
//!
//! ```text
//! # a comment
//! /path = text of one line, with a line break after it
//! /path =
//! /path:
//! | the lines
//! | of a longer text
//! /path -> target of a symbolic link
//! /path/
//! ```
//!
//! The second form is an empty file, the last one a folder. `\0` in a text is a NUL byte. A device node is a file with
//! the line that `ls -ln` shows for the node: `crw-rw---- 1 0 992 226, 128`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

/// The names of all machines, sorted.
pub fn names() -> Vec<String> {
    let files =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|file| Some(file.strip_suffix(".txt")?.to_owned())).collect();
    names.sort();
    names
}

/// The folder of the machines.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines")
}

/// The files of a machine below a new folder, which is removed when the value is dropped.
pub fn unpack(name: &str) -> TempDir {
    let text = fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
    // Thousands of files are made faster in memory.
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    write(root.path(), &text).unwrap_or_else(|error| panic!("{name}: {error}"));
    root
}

/// Compares what is found on each machine with `NAME.KIND.json`; with `DESKTOPD_WRITE_DOCS`, writes these files.
pub fn compare<T: Serialize>(kind: &str, find: impl Fn(&Path) -> T) {
    let mut wrong = Vec::new();
    for name in names() {
        let root = unpack(&name);
        let found = serde_json::to_string_pretty(&find(root.path())).unwrap() + "\n";
        // The folder has another name in each run.
        let found = found.replace(root.path().to_str().unwrap(), "ROOT");
        let file = folder().join(format!("{name}.{kind}.json"));
        if std::env::var_os("DESKTOPD_WRITE_DOCS").is_some() {
            fs::write(&file, found).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != found {
            wrong.push(format!("{name}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Writes the files of a machine's text below `root`.
pub fn write(root: &Path, text: &str) -> Result<(), String> {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |error: std::io::Error| format!("{line}: {error}");
        if let Some((path, target)) = line.split_once(" -> ") {
            symlink(target, place(root, path)?).map_err(wrong)?;
        } else if let Some((path, text)) = line.split_once(" =") {
            let text = text.strip_prefix(' ').map(|text| format!("{text}\n")).unwrap_or_default();
            fs::write(place(root, path)?, text.replace("\\0", "\0")).map_err(wrong)?;
        } else if let Some(path) = line.strip_suffix(':') {
            let mut text = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with('|')) {
                text += line.strip_prefix("| ").unwrap_or("");
                text.push('\n');
            }
            fs::write(place(root, path)?, text.replace("\\0", "\0")).map_err(wrong)?;
        } else if let Some(path) = line.strip_suffix('/') {
            fs::create_dir_all(place(root, path)?).map_err(wrong)?;
        } else {
            return Err(format!(
                "{line}: expected \"PATH = TEXT\", \"PATH:\", \"PATH -> TARGET\" or \"PATH/\""
            ));
        }
    }
    Ok(())
}

/// Where a path of a machine is below `root`. The folder above the path is made.
fn place(root: &Path, path: &str) -> Result<PathBuf, String> {
    let below = path.strip_prefix('/').ok_or_else(|| format!("{path} does not begin with a slash"))?;
    let place = root.join(below);
    place.parent().map_or(Ok(()), fs::create_dir_all).map_err(|error| format!("{path}: {error}"))?;
    Ok(place)
}
