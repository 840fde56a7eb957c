//! SSH keys: collects the keys of all sources, for root and the desktop's user.
//!
//! The keys are stored in two places. `/root/.ssh/authorized_keys` is where users look for them; keys are only added to
//! it, and a mounted file is not changed. The other place is a folder of our own with one file per user: the SSH server
//! accepts keys only from files that no other user could have written, and a home on a volume may be writable for
//! others, or have no owners at all.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use nix::unistd::User;

use crate::config::service::step::SshKeys;
use crate::facts::ssh_keys::{ENOUGH, Line, line, unescaped};
use crate::sys::error::unless_missing;
use crate::sys::replace::replace;
use crate::sys::{mounts, read, with_timeout};

use super::{command, replan};

/// Root's keys.
const ROOT: &str = "/root/.ssh/authorized_keys";

/// Where users mount a file of keys that must not be changed.
const MOUNTED: &str = "/root/.ssh/authorized_keys_mount";

/// How many invalid lines of one source are listed.
const NAMED: usize = 5;

/// The user that the SSH server runs as before a login.
const SEPARATED: &str = "sshd";

/// Reads all sources: files and variables.
pub(super) fn run(SshKeys { run_dir, user, home, variables }: &SshKeys) -> Result<(), String> {
    let mut given = Keys::default();
    for variable in variables {
        given.add(&variable.name, &unescaped(&variable.value));
    }
    given.add_file(MOUNTED.as_ref());
    let mut there = given.clone();
    there.add_file(ROOT.as_ref());
    let mut users = there.clone();
    users.add_home(home, User::from_name(user).ok().flatten().map(|user| user.uid.as_raw()));
    // The last of the three has read every source.
    users.tell();
    let folder = run_dir.join("ssh");
    let mut changed = false;
    DirBuilder::new().recursive(true).mode(0o755).create(&folder).map_err(|error| at(&folder, &error))?;
    for (name, keys) in [("root", &there), (user.as_str(), &users)] {
        // The desktop runs as root: both are the same.
        let keys = if user == "root" { &users } else { keys };
        let file = folder.join(name);
        changed |= write_if_new(&file, &text_of(&keys.lines)).map_err(|error| at(&file, &error))?;
    }
    match keep(ROOT.as_ref(), &given) {
        Ok(kept) => changed |= kept,
        // The keys are also in the other place.
        Err(error) => eprintln!("{}", at(ROOT.as_ref(), &error)),
    }
    if !users.lines.is_empty() {
        separate();
    }
    if changed {
        replan::ask(run_dir);
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

/// Keys of several sources, without duplicates.
#[derive(Clone, Debug, Default)]
struct Keys {
    lines: Vec<String>,
    /// Type and data of each key.
    known: BTreeSet<(String, String)>,
    /// Invalid lines, with the reason.
    invalid: Vec<String>,
}

impl Keys {
    /// Adds the keys in `text`.
    fn add(&mut self, source: &str, text: &str) {
        let mut invalid = Vec::new();
        for (number, text) in text.lines().enumerate() {
            match line(text) {
                Line::Nothing => {}
                Line::Key(kind, body) => {
                    if self.known.insert((kind.to_owned(), body.to_owned())) {
                        self.lines.push(text.trim().to_owned());
                    }
                }
                Line::Invalid(why) => invalid.push(format!("{source}, line {}: {why}", number + 1)),
            }
        }
        let more = invalid.len().saturating_sub(NAMED);
        invalid.truncate(NAMED);
        self.invalid.append(&mut invalid);
        if more > 0 {
            self.invalid.push(format!("{source}: {more} more lines that are not keys"));
        }
    }

    fn add_file(&mut self, file: &Path) {
        self.add_found(file, read::open(file).and_then(contents));
    }

    fn add_found(&mut self, file: &Path, found: io::Result<String>) {
        match found {
            Ok(text) => self.add(&file.display().to_string(), &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.invalid.push(at(file, &error)),
        }
    }

    /// Adds the keys of a home, which may be on a volume that other users can write to, or that does not answer. Files
    /// that belong neither to the user nor to root count only if the whole home has the same owner, as on a volume
    /// without owners.
    fn add_home(&mut self, home: &Path, user: Option<u32>) {
        let file = home.join(".ssh/authorized_keys");
        let (home, wanted) = (home.to_owned(), file.clone());
        let found = with_timeout(move || {
            let owners = [Some(0), user, fs::metadata(home).ok().map(|home| home.uid())];
            let opened = read::open(&wanted)?;
            for found in [opened.metadata()?, fs::metadata(wanted.parent().unwrap_or(&wanted))?] {
                if !owners.contains(&Some(found.uid())) {
                    let why = format!("it does not belong to the user but to {}", found.uid());
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                }
            }
            contents(opened)
        });
        self.add_found(&file, found.unwrap_or_else(|| Err(io::Error::other("it does not answer"))));
    }

    fn tell(&self) {
        for told in &self.invalid {
            eprintln!("{told}; it is left out");
        }
    }
}

/// Every line has a line feed, also the last one.
fn text_of(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The text of a file of keys.
fn contents(file: File) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read::all(file, ENOUGH)?).into_owned())
}

/// Adds the missing keys to `file`, and gives it to root alone. A mounted file or a link is not changed.
fn keep(file: &Path, keys: &Keys) -> io::Result<bool> {
    let folder = file.parent().unwrap_or(file);
    if mounts::all().iter().any(|mount| mount.at == file || mount.at == folder)
        || fs::symlink_metadata(file).is_ok_and(|found| found.is_symlink())
    {
        return Ok(false);
    }
    // A file that cannot be read must not be replaced.
    let mut bytes = read::bytes(file, ENOUGH).or_else(unless_missing)?;
    let mut all = Keys::default();
    all.add("", &String::from_utf8_lossy(&bytes));
    let known = all.lines.len();
    all.add("", &text_of(&keys.lines));
    let missing = &all.lines[known..];
    if missing.is_empty() && bytes.is_empty() {
        return Ok(false);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    chown(folder, Some(0), Some(0))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    if missing.is_empty() {
        chown(file, Some(0), Some(0))?;
        fs::set_permissions(file, Permissions::from_mode(0o600))?;
        return Ok(false);
    }
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend(text_of(missing).bytes());
    replace(file, &bytes, 0o600)?;
    Ok(true)
}

fn write_if_new(file: &Path, text: &str) -> io::Result<bool> {
    if read::bytes(file, ENOUGH).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(false);
    }
    replace(file, text.as_bytes(), 0o644)?;
    Ok(true)
}

/// The SSH server does not start without its user for the time before a login, and a mounted `/etc/passwd` may lack
/// this user.
fn separate() {
    if User::from_name(SEPARATED).is_ok_and(|user| user.is_some()) {
        return;
    }
    let mut useradd = command::program("useradd");
    useradd
        .args("--system --no-create-home --home-dir /run/sshd --shell /usr/sbin/nologin".split(' '))
        .arg(SEPARATED);
    if let Err(why) = command::run(&mut useradd, Duration::from_secs(20)) {
        eprintln!(
            "useradd: {why}: /etc/passwd lacks the user {SEPARATED}, without which no SSH server starts"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test keys that differ only in their data.
    fn key(byte: u8) -> String {
        use base64::Engine;
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        blob.extend_from_slice(&[byte; 32]);
        format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob))
    }

    #[test]
    fn keys_are_added_once_and_invalid_lines_are_listed() {
        let (a, b, c) = (key(1), key(2), key(3));
        let mut keys = Keys::default();
        keys.add("SSH_PUBKEY", &format!("{a} me@home\r\n\r\n# none\r\nrubbish\r\n{b}\r\n"));
        keys.add("PUBLIC_KEY", &format!("  {a} again\ncommand=\"echo a b\" {c}\nssh-rsa AAAA\n"));
        assert_eq!(keys.lines, [format!("{a} me@home"), b, format!("command=\"echo a b\" {c}")]);
        assert_eq!(keys.invalid.len(), 2, "{:?}", keys.invalid);
        assert!(keys.invalid[0].starts_with("SSH_PUBKEY, line 4: it does not begin"), "{:?}", keys.invalid);
        assert!(keys.invalid[1].starts_with("PUBLIC_KEY, line 3: the key"), "{:?}", keys.invalid);
        keys.add("file", &"x\n".repeat(100));
        assert_eq!(keys.invalid.len(), 2 + NAMED + 1);
        assert!(keys.invalid.last().unwrap().contains("95 more"));
    }

    #[test]
    fn values_are_read_in_the_forms_that_cloud_providers_use() {
        for (value, expected) in [
            ("a\\nb", "a\nb"),
            ("\"a\\r\\nb\"", "a\nb"),
            (" 'a b' \n", "a b"),
            ("command=\"x\" a", "command=\"x\" a"),
            ("a\nb", "a\nb"),
            ("", ""),
        ] {
            assert_eq!(unescaped(value), expected, "{value:?}");
        }
    }

    #[test]
    fn keys_written_to_a_home_by_another_user_are_ignored() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let (folder, file) = (home.path().join(".ssh"), home.path().join(".ssh/authorized_keys"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, key(1)).unwrap();
        // The owners of home, folder and file.
        for (owners, expected) in [
            ([0, 0, 0], true),
            ([1000, 1000, 1000], true),
            ([1000, 1000, 4321], false),
            ([1000, 4321, 1000], false),
            ([4321, 4321, 4321], true),
        ] {
            for (path, owner) in [home.path(), &folder, &file].iter().zip(owners) {
                chown(path, Some(owner), None).unwrap();
            }
            let mut keys = Keys::default();
            keys.add_home(home.path(), Some(1000));
            assert_eq!(!keys.lines.is_empty(), expected, "{owners:?}");
            assert_eq!(keys.invalid.is_empty(), expected, "{:?}", keys.invalid);
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut keys = Keys::default();
        keys.add_home(home.path(), Some(0));
        assert!(keys.invalid[0].ends_with("is a FIFO, expected a regular file"), "{:?}", keys.invalid);
    }

    #[test]
    fn keys_are_only_added_to_an_existing_file() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ssh/authorized_keys");
        let mut keys = Keys::default();
        assert!(!keep(&file, &keys).unwrap() && !file.exists());
        keys.add("x", &key(1));
        assert!(keep(&file, &keys).unwrap());
        fs::write(&file, format!("# mine\nodd\n{} x", key(2))).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        assert!(keep(&file, &keys).unwrap());
        let expected = format!("# mine\nodd\n{} x\n{}\n", key(2), key(1));
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        assert!(!keep(&file, &keys).unwrap(), "nothing is missing");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        // The file is a link to another place.
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(!keep(&file, &keys).unwrap());
    }
}
