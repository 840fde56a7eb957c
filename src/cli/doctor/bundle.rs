//! The file of a bundle: a compressed archive whose texts have no secrets, written whole or not at all.

use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cli::Failure;
use crate::cli::output::write_file;
use crate::logs::Mask;

use super::scrub::scrub;

/// The folder in the archive, so that unpacking it leaves one folder.
const FOLDER: &str = "desktopd-bundle";

/// One file of the archive.
pub(super) struct Entry {
    /// Its path in the folder.
    pub(super) name: String,
    /// The text, which is masked when it is packed.
    pub(super) text: String,
}

/// Packs the entries. `now` is the time of the files, in seconds since the Unix epoch.
pub(super) fn pack(entries: &[Entry], mask: &Mask, now: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for Entry { name, text } in entries {
        let text = mask.apply(text);
        let text = scrub(&text, name.starts_with("logs/"));
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        // A service's name is part of a path here.
        let name: String = name.chars().map(|c| if c.is_control() || c == '\\' { '_' } else { c }).collect();
        archive.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

/// Writes the file for its owner alone.
pub(super) fn write(path: &Path, packed: &[u8]) -> Result<(), Failure> {
    write_file(path, packed, 0o600)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What is in an archive.
    fn unpacked(packed: &[u8]) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
        let read = |entry: io::Result<tar::Entry<'_, _>>| {
            let mut entry: tar::Entry<'_, flate2::read::GzDecoder<&[u8]>> = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn archive_has_all_texts_without_secrets() {
        let mask = Mask::default();
        mask.hide(["hunter22".to_owned()]);
        let entry = |name: &str, text: &str| Entry { name: name.into(), text: text.into() };
        let entries = [
            entry("logs/kde.log", "it is hunter22, and https://ada:pw@host/x\n"),
            entry("a\nb", "http://host:80/a@b"),
        ];
        let found = unpacked(&pack(&entries, &mask, 0).unwrap());
        let expected = [
            ("desktopd-bundle/a_b", "http://host:80/a@b"),
            ("desktopd-bundle/logs/kde.log", "it is ******, and https://******@host/x\n"),
        ];
        assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    }

    #[test]
    fn file_is_for_its_owner_alone_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bundle.tar.gz");
        write(&file, b"x").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let failure = write(&dir.path().join("no/bundle"), b"x").unwrap_err();
        assert!(failure.message.contains("no/bundle: No such file"), "{}", failure.message);
        std::os::unix::fs::symlink(&file, dir.path().join("link")).unwrap();
        let failure = write(&dir.path().join("link"), b"y").unwrap_err();
        assert!(failure.message.contains("is a symbolic link"), "{}", failure.message);
        assert_eq!(fs::read(&file).unwrap(), b"x");
    }
}
