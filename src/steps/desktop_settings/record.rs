//! Settings of the desktop that both a variable of ours and the user can choose: the last choice applies.
//!
//! A record in the home has the value that the variable had at the last start. If the variable has changed since, the
//! new value is written. Otherwise the user's setting stays, such as a choice in System Settings.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::kconfig::{self, Key};
use crate::sys::read;
use crate::sys::replace::replace;

/// The record in the home.
const FILE: &str = ".local/state/desktopd/settings.json";

/// The origin of a value that was set before there was a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrecorded {
    /// The user's: the value stays.
    Keep,
    /// Ours, or the desktop's default: the value is replaced.
    Replace,
}

/// Whether the value has to be written. `found` is the value in the file; `last` is the variable's value at the last
/// start, if the record has it.
fn writes(
    found: Option<&str>,
    last: Option<&Option<String>>,
    wanted: Option<&str>,
    unrecorded: Unrecorded,
) -> bool {
    let news = last.is_none_or(|last| last.as_deref() != wanted);
    match (wanted, found) {
        _ if found == wanted => false,
        // The variable has not changed: the present value, or a missing one, is the user's choice.
        _ if !news => false,
        (Some(_), None) => true,
        (Some(_), Some(_)) => last.is_some() || unrecorded == Unrecorded::Replace,
        // The variable was unset: only a value that we wrote is removed.
        (None, found) => last.is_some_and(|last| last.as_deref() == found),
    }
}

/// The record: the last value of each variable, by file, group and key of its setting.
#[derive(Debug)]
pub(super) struct Record {
    config: PathBuf,
    file: PathBuf,
    last: BTreeMap<String, Option<String>>,
    changed: bool,
}

impl Record {
    /// Reads the record. An unreadable record counts as empty.
    pub(super) fn open(home: &Path) -> Self {
        let file = home.join(FILE);
        let last = read::bytes(&file, read::BY_HAND).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { config: home.join(".config"), file, last: last.unwrap_or_default(), changed: false }
    }

    /// Gives a key the value that a variable of ours wants; `None` if the variable asks for nothing, and the desktop's
    /// own default applies. True if the file was changed.
    pub(super) fn apply(
        &mut self,
        key: Key<'_>,
        wanted: Option<&str>,
        unrecorded: Unrecorded,
    ) -> io::Result<bool> {
        let found = self.value(key)?;
        let place = format!("{}/{}/{}", key.file, key.group, key.name);
        let last = self.last.get(&place);
        let writes = writes(found.as_deref(), last, wanted, unrecorded);
        if writes {
            self.write(key, wanted)?;
        }
        if last.is_none_or(|last| last.as_deref() != wanted) {
            self.last.insert(place, wanted.map(str::to_owned));
            self.changed = true;
        }
        Ok(writes)
    }

    /// The value in a settings file.
    pub(super) fn value(&self, key: Key<'_>) -> io::Result<Option<String>> {
        Ok(kconfig::get(&read::bytes_if_any(&self.config.join(key.file), read::BY_HAND)?, key))
    }

    /// Writes or removes a value.
    pub(super) fn write(&self, key: Key<'_>, value: Option<&str>) -> io::Result<()> {
        // A settings file may be a link, for example to the user's dotfiles.
        let path = self.config.join(key.file);
        let path = fs::canonicalize(&path).unwrap_or(path);
        let text = read::bytes_if_any(&path, read::BY_HAND)?;
        let new = kconfig::set(&text, key, value);
        if new == text {
            return Ok(());
        }
        fs::create_dir_all(path.parent().unwrap_or(&self.config))?;
        replace(&path, &new, 0o600)
    }

    /// Saves the record for the next start.
    pub(super) fn save(&self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        fs::create_dir_all(self.file.parent().unwrap_or(&self.config))?;
        replace(&self.file, &serde_json::to_vec_pretty(&self.last)?, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'_> = Key { file: "somerc", group: "G", name: "k" };

    #[test]
    fn the_last_choice_of_user_or_variable_applies() {
        use Unrecorded::{Keep, Replace};
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        let (leave, write) = (false, true);
        for (found, last, wanted, unrecorded, expected) in [
            // A new home, and one that has the value already.
            (None, None, a, Keep, write),
            (a, None, a, Replace, leave),
            // A home from before there was a record.
            (b, None, a, Keep, leave),
            (b, None, a, Replace, write),
            (b, None, None, Replace, leave),
            // Nothing changed.
            (a, Some(a), a, Keep, leave),
            // The user chose, or went back to the desktop's default.
            (b, Some(a), a, Replace, leave),
            (None, Some(a), a, Replace, leave),
            // The variable changed; it replaces any choice.
            (a, Some(a), b, Keep, write),
            (c, Some(a), b, Keep, write),
            (None, Some(a), b, Keep, write),
            (a, Some(None), b, Keep, write),
            // The variable was unset.
            (a, Some(a), None, Keep, write),
            (b, Some(a), None, Keep, leave),
            (b, Some(None), None, Keep, leave),
        ] {
            let kept = last.map(|last: Option<&str>| last.map(str::to_owned));
            let decision = writes(found, kept.as_ref(), wanted, unrecorded);
            assert_eq!(decision, expected, "{found:?} {last:?} {wanted:?} {unrecorded:?}");
        }
    }

    #[test]
    fn a_choice_is_kept_until_the_variable_changes() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".config/somerc");
        let start = |wanted| {
            let mut record = Record::open(home.path());
            let written = record.apply(KEY, wanted, Unrecorded::Keep).unwrap();
            record.save().unwrap();
            (written, record.value(KEY).unwrap())
        };
        let value = |value: &str| Some(value.to_owned());
        assert_eq!(start(Some("a")), (true, value("a")));
        assert_eq!(start(Some("a")), (false, value("a")));
        fs::write(&file, "[G]\nk=mine\nother=1\n").unwrap();
        assert_eq!(start(Some("a")), (false, value("mine")));
        assert_eq!(start(Some("a")), (false, value("mine")));
        assert_eq!(start(Some("b")), (true, value("b")));
        assert_eq!(start(None), (true, None));
        assert_eq!(fs::read_to_string(&file).unwrap(), "[G]\nother=1\n");
    }

    #[test]
    fn a_linked_file_stays_a_link_and_an_invalid_record_counts_as_none() {
        let home = tempfile::tempdir().unwrap();
        let kept = home.path().join("dotfiles");
        fs::create_dir_all(home.path().join(".config")).unwrap();
        fs::write(&kept, "[G]\nk=a\n").unwrap();
        std::os::unix::fs::symlink(&kept, home.path().join(".config/somerc")).unwrap();
        fs::create_dir_all(home.path().join(FILE).parent().unwrap()).unwrap();
        fs::write(home.path().join(FILE), "rubbish").unwrap();
        let mut record = Record::open(home.path());
        let apply = |record: &mut Record| record.apply(KEY, Some("b"), Unrecorded::Replace).unwrap();
        assert!(apply(&mut record));
        assert_eq!(fs::read_to_string(&kept).unwrap(), "[G]\nk=b\n");
        record.save().unwrap();
        assert!(!apply(&mut Record::open(home.path())));
    }
}
