//! Tests with real files, owners and modes.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use super::*;
use crate::sys::env_file::entries;
use crate::sys::launch::{EnvFiles, Identity};

struct World {
    folder: tempfile::TempDir,
    orders: Orders,
}

impl World {
    /// The orders for a service of user `uid`, with its files in a temporary folder.
    fn new(uid: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = EnvFiles {
            machine: folder.path().join("machine"),
            written: folder.path().join("written"),
            noted: folder.path().join("noted"),
            user: Some(folder.path().join("user")),
            workspace: Some(folder.path().join("workspace/.env")),
            fixed: vec!["HOME".to_owned()],
        };
        fs::create_dir(folder.path().join("workspace")).unwrap();
        let identity = uid.map(|uid| Identity { uid, gid: uid, groups: Vec::new() });
        let env = BTreeMap::from([("PATH".into(), "/bin".into())]);
        let orders = Orders { env, env_files: Some(files), identity, ..Orders::default() };
        Self { folder, orders }
    }

    fn write(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn env(&self) -> Vec<(String, String)> {
        shown(of_people(&self.orders))
    }
}

fn shown(found: Vec<(OsString, OsString)>) -> Vec<(String, String)> {
    let text = |os: OsString| os.into_string().unwrap();
    found.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn only_edits_of_the_system_file_count() {
    let world = World::new(None);
    world.write("machine", b"A=1\nB=2\nC=3\nHOME=/x\nPATH=$PATH:/more\n", 0o640);
    // The image's variables; no earlier content was noted.
    assert_eq!(shown(edits(&world.orders)), pairs(&[("A", "1"), ("B", "2"), ("C", "3")]));
    // A script has changed the file before the daemon wrote it.
    let noted = [("A", "1"), ("PATH", "/old")].map(|(n, v)| (OsString::from(n), OsString::from(v)));
    world.write("noted", &entries(noted.iter().map(|(name, value)| (name, value))), 0o600);
    let found = shown(edits(&world.orders));
    assert_eq!(found, pairs(&[("A", "1"), ("B", "2"), ("C", "3"), ("PATH", "/bin:/more")]));
    let written = [("A", "1"), ("B", "0"), ("D", "4")].map(|(n, v)| (OsString::from(n), OsString::from(v)));
    world.write("written", &entries(written.iter().map(|(name, value)| (name, value))), 0o600);
    assert_eq!(shown(edits(&world.orders)), pairs(&[("B", "2"), ("C", "3"), ("PATH", "/bin:/more")]));
}

#[test]
fn file_counts_only_if_no_other_user_can_write_it() {
    let mine = World::new(None);
    assert_eq!(mine.env(), []);
    for (mode, counts) in [(0o600, true), (0o644, true), (0o664, true), (0o646, false), (0o666, false)] {
        mine.write("workspace/.env", b"A=1\nHOME=/x\n", mode);
        assert_eq!(!mine.env().is_empty(), counts, "{mode:o}");
    }
    if !geteuid().is_root() {
        return;
    }
    // The owner, the group, the mode, and whether the file counts for a service of user 4321 and for one of root.
    for (uid, gid, mode, users, roots) in [
        (4321, 4321, 0o664, true, false),
        (4321, 7, 0o664, false, false),
        (0, 0, 0o644, true, true),
        (0, 4321, 0o664, true, false),
        (7, 7, 0o644, false, false),
    ] {
        for (user, counts) in [(Some(4321), users), (None, roots)] {
            let world = World::new(user);
            let file = world.write("workspace/.env", b"A=1\n", mode);
            chown(&file, Some(uid), Some(gid)).unwrap();
            assert_eq!(!world.env().is_empty(), counts, "{uid} {gid} {mode:o} {user:?}");
        }
    }
    // In a folder of another user's, a file of root's may have been moved there.
    let world = World::new(None);
    let file = world.write("workspace/.env", b"A=1\n", 0o644);
    chown(file.parent().unwrap(), Some(4321), None).unwrap();
    assert_eq!(world.env(), []);
}

#[test]
fn a_link_leads_only_to_files_of_the_same_user() {
    let world = World::new(None);
    let file = world.write("target", b"A=1\n", 0o600);
    let link = world.folder.path().join("workspace/.env");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(world.env(), pairs(&[("A", "1")]));
    if !geteuid().is_root() {
        return;
    }
    // Root reads for the workspace's owner, who may not read what the link leads to.
    let told = written_by(&link, 4321, 4321).unwrap_err().to_string();
    assert_eq!(told, "it is a link to a file of user 0, not of user 4321");
    chown(&file, Some(4321), Some(4321)).unwrap();
    assert_eq!(written_by(&link, 4321, 4321).unwrap(), b"A=1\n");
}

#[test]
fn files_that_are_too_large_or_not_regular_are_skipped() {
    let world = World::new(None);
    let file = world.write("workspace/.env", &b"A=1\n".repeat(1 << 19), 0o600);
    assert_eq!(world.env(), []);
    fs::remove_file(&file).unwrap();
    // A FIFO without a writer.
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(world.env(), []);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(world.env(), []);
    let rubbish = World::new(None);
    rubbish.write("workspace/.env", b"if x\nA=1\n<html>\nB=\"", 0o600);
    assert_eq!(rubbish.env(), pairs(&[("A", "1")]));
}
