//! The locales that programs can use: those for which the C library has data, in folders or in its archive.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::sys::read;

/// The first number in the archive.
const MAGIC: u32 = 0xde02_0109;

/// The largest size of the names that is read. All names together are a few kilobytes. In bytes.
const LONGEST: u32 = 1 << 20;

/// The locales besides `C`, named as by `locale -a`. Empty if they are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locales(pub BTreeSet<String>);

impl Locales {
    /// Probes below `root`, which is `/` except in tests.
    pub fn probe(root: &Path) -> Self {
        let folder = root.join("usr/lib/locale");
        let folders = fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = folders.filter(|entry| entry.path().join("LC_CTYPE").exists());
        let mut names: BTreeSet<String> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.extend(archived(&folder.join("locale-archive")).unwrap_or_default());
        Self(names)
    }

    /// The replacement for `asked`, if `asked` does not exist: the same locale in UTF-8, or one that most machines
    /// have.
    pub fn instead_of(&self, asked: &str) -> Option<String> {
        if self.0.is_empty() || self.has(asked) {
            return None;
        }
        let name = asked.split(['.', '@']).next().unwrap_or_default();
        let choices = [format!("{name}.UTF-8"), "en_US.UTF-8".to_owned(), "C.UTF-8".to_owned()];
        Some(choices.into_iter().find(|choice| self.has(choice)).unwrap_or_else(|| "C".to_owned()))
    }

    fn has(&self, asked: &str) -> bool {
        ["C", "POSIX"].contains(&asked) || self.0.iter().any(|name| normal(name) == normal(asked))
    }
}

/// Normalizes the character set, which is written in many ways: `UTF-8`, `utf8`.
fn normal(name: &str) -> String {
    let (rest, modifier) = name.split_once('@').unwrap_or((name, ""));
    let (place, set) = rest.split_once('.').unwrap_or((rest, ""));
    let set: String = set.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{place}.{}@{modifier}", set.to_ascii_lowercase())
}

/// The names in an archive. Its head consists of numbers in native byte order, of which the sixth is the offset of the
/// names and the seventh their length.
fn archived(file: &Path) -> io::Result<Vec<String>> {
    let mut file = read::open(file)?;
    let mut head = [0; 28];
    file.read_exact(&mut head)?;
    let numbers: Vec<u32> =
        head.as_chunks::<4>().0.iter().map(|number| u32::from_ne_bytes(*number)).collect();
    let [MAGIC, _, _, _, _, place, length @ 0..=LONGEST] = numbers[..] else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    file.seek(SeekFrom::Start(place.into()))?;
    let names = read::all(file.take(length.into()), length.into())?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_folders_and_from_the_archive() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/lib/locale");
        assert_eq!(Locales::probe(root.path()), Locales::default());
        fs::create_dir_all(folder.join("C.utf8")).unwrap();
        fs::create_dir_all(folder.join("empty")).unwrap();
        fs::write(folder.join("C.utf8/LC_CTYPE"), "").unwrap();
        let head = [MAGIC, 0, 56, 2, 907, 30, 22];
        let head = head.iter().flat_map(|number| number.to_ne_bytes());
        let archive: Vec<u8> = head.chain(*b"--en_US.utf8\0de_DE.utf8\0more").collect();
        fs::write(folder.join("locale-archive"), archive).unwrap();
        let found = Locales::probe(root.path()).0;
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["C.utf8", "de_DE.utf8", "en_US.utf8"]);
        for rubbish in [&b""[..], &[0xff; 40]] {
            fs::write(folder.join("locale-archive"), rubbish).unwrap();
            assert_eq!(Locales::probe(root.path()).0.len(), 1);
        }
    }

    #[test]
    fn another_locale_is_taken_where_one_is_missing() {
        let locales = |names: &[&str]| Locales(names.iter().map(|name| (*name).to_owned()).collect());
        let usual = locales(&["C.utf8", "de_DE.utf8", "en_US.utf8", "sr_RS.utf8@latin"]);
        for (asked, expected) in [
            ("de_DE.UTF-8", None),
            ("de_DE.utf8", None),
            ("sr_RS.UTF-8@latin", None),
            ("C", None),
            ("POSIX", None),
            ("de_DE", Some("de_DE.UTF-8")),
            ("de_DE@euro", Some("de_DE.UTF-8")),
            ("xx_YY.UTF-8", Some("en_US.UTF-8")),
            ("", Some("en_US.UTF-8")),
        ] {
            assert_eq!(usual.instead_of(asked).as_deref(), expected, "{asked}");
        }
        assert_eq!(locales(&["C.utf8"]).instead_of("de_DE.UTF-8").as_deref(), Some("C.UTF-8"));
        assert_eq!(locales(&[]).instead_of("de_DE.UTF-8"), None);
    }
}
