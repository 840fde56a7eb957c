//! Checks and repairs a script of the user. Typical damage by browsers, Windows editors and older images is repaired if
//! the meaning is clear; otherwise the script is refused with a message that helps.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};

use crate::sys::replace::replace_with;

use super::fetch::{Limits, PAGE, Source};
use super::report::tell;

/// A script that can be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// Its text.
    pub(super) text: Vec<u8>,
    /// The interpreter and at most one argument, as the kernel reads them.
    pub(super) interpreter: Vec<String>,
    /// What was repaired.
    pub(super) mended: Vec<&'static str>,
}

impl Script {
    /// Gets and checks the script at `source`, and reports repairs.
    pub(super) async fn get(source: &Source, limits: &Limits) -> Result<Self, String> {
        let script = Self::read(source.get(limits).await?)?;
        for mended in &script.mended {
            println!("{mended}");
        }
        Ok(script)
    }

    /// Makes a script of the bytes that were received.
    pub(super) fn read(mut text: Vec<u8>) -> Result<Self, String> {
        let mut mended = Vec::new();
        if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
            return Err("it is written in UTF-16 (\"Unicode\" in Windows); it should be UTF-8".to_owned());
        }
        if text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
            mended.push("the byte order mark at its beginning was removed");
        }
        let start = text.trim_ascii_start();
        if start.is_empty() {
            return Err("it is empty".to_owned());
        }
        let head = start[..start.len().min(64)].to_ascii_lowercase();
        if ["<!doctype", "<html", "<head", "<?xml"].iter().any(|tag| head.starts_with(tag.as_bytes())) {
            return Err(PAGE.to_owned());
        }
        let binary = text.contains(&0);
        if binary && !text.starts_with(b"#!") {
            return Err("it is a binary file and not a script".to_owned());
        }
        // A script with a binary archive at its end would be broken by that.
        if !binary && text.windows(2).any(|two| two == b"\r\n") {
            text = without_returns(&text);
            mended.push("its lines ended with CR LF, as in Windows; the CR characters were removed");
        }
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut interpreter = interpreter(first);
        if interpreter.first().is_some_and(|program| program == "/bin/false" || program == "/usr/bin/false") {
            interpreter.clear();
        }
        if interpreter.is_empty() {
            interpreter.push("/bin/bash".to_owned());
        }
        Ok(Self { text, interpreter, mended })
    }

    /// Writes the script to `file`, atomically and readable only for `owner`.
    pub(super) fn save(&self, file: &Path, owner: (u32, u32)) -> Result<(), String> {
        write(file, &self.text, 0o700, owner).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// Writes a file atomically.
pub(super) fn write(file: &Path, text: &[u8], mode: u32, (uid, gid): (u32, u32)) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    replace_with(file, text, mode, |out| fchown(out, Some(uid), Some(gid)))
}

/// The path to run the script from: its own path if it is a local file that its user can read and needed no repair,
/// else a copy.
pub(super) fn place(
    script: &Script,
    source: &Source,
    copy: &Path,
    owner: (u32, u32),
) -> Result<PathBuf, String> {
    if let Source::Local(path) = source
        && script.mended.is_empty()
        && fs::metadata(path).is_ok_and(|found| owner.0 == 0 || found.mode() & 0o004 != 0)
    {
        return Ok(path.clone());
    }
    script.save(copy, owner).map(|()| copy.to_owned())
}

fn without_returns(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// The words of a first line that names an interpreter.
pub(super) fn interpreter(line: &[u8]) -> Vec<String> {
    let Some(line) = line.strip_prefix(b"#!") else { return Vec::new() };
    let line = String::from_utf8_lossy(line);
    let (program, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    [program, rest.trim()].into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Creates an empty marker file. A failure is reported.
pub(super) fn mark(file: &Path) {
    tell(file.display(), OpenOptions::new().create(true).append(true).open(file).map(drop));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn common_damage_is_repaired() {
        for (text, expected, interpreter) in [
            ("echo a\n", "echo a\n", "/bin/bash"),
            ("#!/bin/bash\r\necho a\r\necho \r b\r\n", "#!/bin/bash\necho a\necho \r b\n", "/bin/bash"),
            ("\u{feff}#!/bin/sh -eu\n", "#!/bin/sh -eu\n", "/bin/sh -eu"),
            ("#!/bin/false\necho", "#!/bin/false\necho", "/bin/bash"),
            (
                "#! /usr/bin/env -S  python3 -u\n",
                "#! /usr/bin/env -S  python3 -u\n",
                "/usr/bin/env -S  python3 -u",
            ),
            ("#!\n", "#!\n", "/bin/bash"),
            ("\r\n# page <html>\r", "\n# page <html>", "/bin/bash"),
        ] {
            let script = Script::read(text.as_bytes().to_vec()).unwrap();
            assert_eq!(String::from_utf8_lossy(&script.text), expected, "{text:?}");
            assert_eq!(script.interpreter.join(" "), interpreter, "{text:?}");
            assert!(script.interpreter.len() <= 2, "as the kernel has it");
        }
        let archive = b"#!/bin/sh\necho\n\0\r\n".to_vec();
        assert_eq!(Script::read(archive.clone()).unwrap().text, archive, "what is no text is left as it is");
    }

    #[test]
    fn files_that_are_no_scripts_are_refused() {
        for (text, expected) in [
            (&b""[..], "empty"),
            (b" \r\n\t\n", "empty"),
            (b"\xef\xbb\xbf", "empty"),
            (b"\n<!DOCTYPE html><p>", "web page"),
            (b"<HTML>", "Raw"),
            (b"\x7fELF\x02\0", "binary file"),
            (b"\xff\xfe#\0!\0", "UTF-16"),
        ] {
            let told = Script::read(text.to_vec()).unwrap_err();
            assert!(told.contains(expected), "{text:?}: {told}");
        }
    }

    #[test]
    fn saved_scripts_belong_to_their_owner_and_local_scripts_run_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let own = fs::metadata(dir.path()).unwrap();
        let owner = (own.uid(), own.gid());
        let (original, copy) = (dir.path().join("mine.sh"), dir.path().join("scripts/copy.sh"));
        for (text, kept) in [("echo", true), ("echo\r\n", false)] {
            fs::write(&original, text).unwrap();
            fs::set_permissions(&original, fs::Permissions::from_mode(0o444)).unwrap();
            let script = Script::read(text.into()).unwrap();
            let source = Source::Local(original.clone());
            let run = place(&script, &source, &copy, owner).unwrap();
            assert_eq!(run, if kept { original.clone() } else { copy.clone() });
            assert_eq!(fs::read_to_string(&original).unwrap(), text);
            assert_eq!(fs::metadata(&original).unwrap().mode() & 0o777, 0o444);
            fs::remove_file(&original).unwrap();
        }
        assert_eq!(fs::read_to_string(&copy).unwrap(), "echo\n");
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o700);
        let other = Source::Remote(reqwest::Url::parse("http://a/b").unwrap());
        let script = Script::read(b"true".to_vec()).unwrap();
        assert_eq!(place(&script, &other, &copy, owner).unwrap(), copy);
        assert_eq!(fs::read_to_string(&copy).unwrap(), "true");
        assert!(!copy.with_extension("new").exists());
    }
}
