//! The persistent state, which survives a restart of the container: small named values, each in a file of its own in
//! one private folder.
//!
//! Invariants: a value is written atomically (temporary file, fsync, rename); only the owner can read it; it belongs to
//! one instance, so that a copy of the machine that is started elsewhere makes new secrets; a folder that cannot be
//! written never stops the daemon: values are then kept in memory, and `open` returns a problem.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rand::RngExt;

use crate::sys::error::unless_missing;
use crate::sys::replace::replace_with;
use crate::sys::{lock, read};

/// The file that says which instance the values belong to. No value may have this name.
const INSTANCE: &str = "instance";

/// Folders of units with data that belongs to the instance as well: the host keys of the SSH server.
const OF_UNITS: [&str; 1] = ["ssh"];

/// The characters of a generated word: none that is easily mistaken for another one.
const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The largest value. Bytes.
const LARGEST: u64 = 16 << 20;

/// Length of a generated word: with 56 letters, 139 bits.
const WORD: usize = 24;

/// The store of values. A process has one.
pub struct State {
    /// `None` keeps everything in memory.
    dir: Option<PathBuf>,
    /// The values that this process has read or written: they stay usable if the folder fails later.
    values: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl State {
    /// Opens the folder, and creates it if it is missing. Values of another instance are removed. The text, if any,
    /// says why values will not survive a restart.
    pub fn open(dir: &Path, instance: &str) -> (Self, Option<String>) {
        let (dir, problem) = match claim(dir, instance) {
            Ok(()) => (Some(dir.to_owned()), None),
            Err(error) => {
                let problem = format!(
                    "state folder {}: {error}; generated passwords and sessions will not survive a restart",
                    dir.display()
                );
                (None, Some(problem))
            }
        };
        (Self { dir, values: Mutex::default() }, problem)
    }

    /// Whether the values survive a restart.
    pub fn is_lasting(&self) -> bool {
        self.dir.is_some()
    }

    /// A value, if there is one.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.get_in(&mut lock(&self.values), key)
    }

    /// Stores a value. If it cannot be written, it is kept in memory only and the error is returned.
    pub fn set(&self, key: &str, value: Vec<u8>) -> io::Result<()> {
        self.set_in(&mut lock(&self.values), key, value)
    }

    /// Removes a value.
    pub fn remove(&self, key: &str) -> io::Result<()> {
        let mut values = lock(&self.values);
        values.remove(key);
        self.path(key).map_or(Ok(()), |path| fs::remove_file(path).or_else(unless_missing))
    }

    /// A key of `N` random bytes, which is created once.
    pub fn key<const N: usize>(&self, key: &str) -> [u8; N] {
        let right = |value: &[u8]| value.len() == N;
        let made = self.valid_or_insert_with(key, right, || rand::random::<[u8; N]>().to_vec());
        made.try_into().unwrap_or_else(|_| rand::random())
    }

    /// A random word that a person can type (a password or a token), which is created once.
    pub fn word(&self, key: &str) -> String {
        let right = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
        let made = self.valid_or_insert_with(key, right, || {
            let mut random = rand::rng();
            (0..WORD).map(|_| LETTERS[random.random_range(0..LETTERS.len())]).collect()
        });
        String::from_utf8_lossy(&made).into_owned()
    }

    fn valid_or_insert_with(
        &self,
        key: &str,
        valid: impl Fn(&[u8]) -> bool,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Vec<u8> {
        // Under one lock, so that two concurrent callers get the same value.
        let mut values = lock(&self.values);
        if let Some(value) = self.get_in(&mut values, key).filter(|value| valid(value)) {
            return value;
        }
        let value = make();
        if let Err(error) = self.set_in(&mut values, key, value.clone()) {
            tracing::warn!("state {key}: {error}; it will not survive a restart");
        }
        value
    }

    fn get_in(&self, values: &mut BTreeMap<String, Vec<u8>>, key: &str) -> Option<Vec<u8>> {
        if let Some(value) = values.get(key) {
            return Some(value.clone());
        }
        let value = read::bytes(&self.path(key)?, LARGEST).ok()?;
        values.insert(key.to_owned(), value.clone());
        Some(value)
    }

    fn set_in(&self, values: &mut BTreeMap<String, Vec<u8>>, key: &str, value: Vec<u8>) -> io::Result<()> {
        let written = self.path(key).map_or(Ok(()), |path| write(&path, &value));
        values.insert(key.to_owned(), value);
        written
    }

    /// The file of a value. Keys are names in this program's source; the value of a key that could lead out of the
    /// folder is kept in memory only.
    fn path(&self, key: &str) -> Option<PathBuf> {
        let plain = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let dir = self.dir.as_ref().filter(|_| plain && !key.is_empty() && key != INSTANCE)?;
        Some(dir.join(key))
    }
}

/// Prepares the folder: private, writable, and without values of another instance.
fn claim(dir: &Path, instance: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    let id = dir.join(INSTANCE);
    if read::bytes(&id, LARGEST).is_ok_and(|owner| owner == instance.as_bytes()) {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    for folder in OF_UNITS.map(|name| dir.join(name)) {
        fs::remove_dir_all(folder).or_else(unless_missing)?;
    }
    // Written last: after a crash before this line, the next start does all of this again.
    write(&id, instance.as_bytes())
}

fn write(path: &Path, value: &[u8]) -> io::Result<()> {
    replace_with(path, value, 0o600, File::sync_all)?;
    path.parent().map_or(Ok(()), read::sync)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn values_survive_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let (state, problem) = State::open(&dir, "one");
        assert_eq!(problem, None);
        let (key, word) = (state.key::<32>("cookie-key"), state.word("password"));
        assert_eq!(word.len(), WORD);
        let (state, _) = State::open(&dir, "one");
        assert_eq!((state.key::<32>("cookie-key"), state.word("password")), (key, word));
        assert_eq!((mode(&dir), mode(&dir.join("password"))), (0o700, 0o600));
        state.remove("password").unwrap();
        assert_eq!(State::open(&dir, "one").0.get("password"), None);
    }

    #[test]
    fn another_instance_makes_new_values() {
        let dir = tempfile::tempdir().unwrap();
        let key = State::open(dir.path(), "one").0.key::<32>("cookie-key");
        let host_keys = dir.path().join("ssh/etc/ssh");
        fs::create_dir_all(&host_keys).unwrap();
        assert_eq!(State::open(dir.path(), "one").0.key::<32>("cookie-key"), key);
        assert!(host_keys.is_dir());
        assert_ne!(State::open(dir.path(), "two").0.key::<32>("cookie-key"), key);
        assert!(!host_keys.exists(), "the keys of another instance's SSH server");
        assert_ne!(State::open(dir.path(), "one").0.key::<32>("cookie-key"), key);
    }

    #[test]
    fn invalid_values_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (state, _) = State::open(dir.path(), "one");
        fs::write(dir.path().join("cookie-key"), "short").unwrap();
        fs::write(dir.path().join("password"), "").unwrap();
        let key = state.key::<32>("cookie-key");
        assert_eq!(state.word("password").len(), WORD);
        assert_eq!(State::open(dir.path(), "one").0.key::<32>("cookie-key"), key);
    }

    #[test]
    fn values_are_kept_in_memory_if_the_folder_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "in the way").unwrap();
        let (state, problem) = State::open(&file, "one");
        assert!(problem.unwrap().contains("will not survive a restart"));
        assert_eq!(state.key::<32>("cookie-key"), state.key::<32>("cookie-key"));
        assert!(!state.is_lasting());
    }

    #[test]
    fn keys_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("state");
        let (state, _) = State::open(&inner, "one");
        for key in ["../outside", "instance", "", "a/b"] {
            state.set(key, b"value".to_vec()).unwrap();
            assert_eq!(state.get(key).unwrap(), b"value");
        }
        assert_eq!(fs::read(inner.join("instance")).unwrap(), b"one");
        assert!(!dir.path().join("outside").exists());
    }
}
