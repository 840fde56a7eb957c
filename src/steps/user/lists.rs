//! Changes `/etc/passwd`, `/etc/group` and their shadow files with the system's own programs. The programs lock and
//! replace the files, so that a reader sees all or nothing of each change, also after a kill.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::config::service::step::AccountSpec;
use crate::steps::command;
use crate::sys::read;

/// Time limit of a program that changes the user and group files: it waits 15 s for a lock of another process.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The home given to an account while its ids change: `usermod` changes the owner of all files that it finds in the
/// home, also on a volume.
const NOWHERE: &str = "/nonexistent";

/// Lock files that the programs leave when they are killed.
const LOCKS: [&str; 4] = ["/etc/passwd.lock", "/etc/shadow.lock", "/etc/group.lock", "/etc/gshadow.lock"];

/// The programs that hold these locks.
const HOLDERS: [&str; 9] =
    ["useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "vipw", "chpasswd", "passwd"];

/// Corrects name, ids and shell. Returns whether anything changed.
pub(super) fn ids(wanted: &AccountSpec) -> Result<bool, String> {
    let named = main_group(wanted)?;
    let (name, uid, gid) = (&wanted.name, wanted.uid.to_string(), wanted.gid.to_string());
    let home = wanted.home.display().to_string();
    let ids = ["--non-unique", "--uid", &uid, "--gid", &gid];
    let shell = ["--shell", &wanted.shell, name];
    let changed = match user(name)? {
        None => {
            // A password that cannot be typed: for accounts that are locked with '!' sshd accepts no keys.
            let more = ["--no-create-home", "--no-user-group", "--password", "*", "--home-dir", &home];
            program("useradd", &[&more[..], &ids, &shell].concat())?
        }
        Some(there) if (there.uid.as_raw(), there.gid.as_raw()) != (wanted.uid, wanted.gid) => {
            program("usermod", &[&ids[..], &["--home", NOWHERE], &shell].concat())?
        }
        Some(there) if there.shell != Path::new(&wanted.shell) => program("usermod", &shell)?,
        Some(_) => false,
    };
    Ok(first_of_its_id(wanted)? | changed | named)
}

/// Corrects the home folder in `/etc/passwd`.
pub(super) fn home(wanted: &AccountSpec, home: &Path) -> Result<bool, String> {
    if user(&wanted.name)?.is_some_and(|there| there.dir == home) {
        return Ok(false);
    }
    program("usermod", &["--home", &home.display().to_string(), &wanted.name])
}

/// Adds the account to the groups it should be a member of.
pub(super) fn groups(wanted: &AccountSpec) -> Result<bool, String> {
    let mut changed = false;
    let mut ids: Vec<Gid> = Vec::new();
    for (id, name) in &wanted.devices {
        changed |= named(*id, name)?;
        ids.push(Gid::from_raw(*id));
    }
    for group in &wanted.groups {
        match (Group::from_name(group), group.parse()) {
            (Ok(Some(group)), _) => ids.push(group.gid),
            // A group that has a name only on the host.
            (_, Ok(id)) => {
                changed |= named(id, &format!("group{id}"))?;
                ids.push(Gid::from_raw(id));
            }
            // A warning about this name was already given by the plan.
            _ => {}
        }
    }
    let member = CString::new(wanted.name.as_str()).ok();
    let member =
        member.and_then(|name| getgrouplist(&name, Gid::from_raw(wanted.gid)).ok()).unwrap_or_default();
    ids.retain(|id| !member.contains(id));
    let names: Vec<String> =
        ids.iter().filter_map(|id| Group::from_gid(*id).ok().flatten()).map(|group| group.name).collect();
    if names.is_empty() {
        return Ok(changed);
    }
    program("usermod", &["--append", "--groups", &names.join(","), &wanted.name])
}

/// Makes sure that the main group has a name.
fn main_group(wanted: &AccountSpec) -> Result<bool, String> {
    let id = wanted.gid.to_string();
    if group_of(wanted.gid)? {
        return Ok(false);
    }
    match Group::from_name(&wanted.name) {
        // It was the account's own group with another number.
        Ok(Some(_)) => program("groupmod", &["--gid", &id, &wanted.name]),
        _ => program("groupadd", &["--gid", &id, &wanted.name]),
    }
}

/// Names a group that has no name: `name`, or `name` with the number appended where another group has that name.
fn named(id: u32, name: &str) -> Result<bool, String> {
    if group_of(id)? {
        return Ok(false);
    }
    let taken = Group::from_name(name).is_ok_and(|group| group.is_some());
    let name = if taken { format!("{name}{id}") } else { name.to_owned() };
    program("groupadd", &["--gid", &id.to_string(), &name])
}

/// A look-up by uid returns the first entry with that uid: where other accounts have the same uid, ours must come
/// first.
fn first_of_its_id(wanted: &AccountSpec) -> Result<bool, String> {
    let first = User::from_uid(Uid::from_raw(wanted.uid)).map_err(|error| format!("/etc/passwd: {error}"))?;
    if first.is_some_and(|first| first.name == wanted.name) {
        return Ok(false);
    }
    // The program locks the file, and replaces it if the editor has changed its modification time, which is compared in
    // seconds.
    let editor = "f() { { grep \"^$NAME:\" \"$1\"; grep -v \"^$NAME:\" \"$1\"; } >\"$1.new\" && cat \"$1.new\" >\"$1\" \
                  && touch -d yesterday \"$1\"; rm -f \"$1.new\"; }; f";
    edit("vipw", &[], &[("VISUAL", editor), ("NAME", &wanted.name)])
}

/// Gives everything in `folder` that belongs to `old` to the account, except what is on other file systems. The folder
/// itself is changed last, so that a run that was killed halfway is repeated.
pub(super) fn give(folder: &Path, old: u32, wanted: &AccountSpec) -> std::io::Result<()> {
    let top = fs::symlink_metadata(folder)?;
    if top.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if fs::symlink_metadata(&path)?.dev() == top.dev() {
                give(&path, old, wanted)?;
            }
        }
    }
    if top.uid() == old {
        lchown(folder, Some(wanted.uid), Some(wanted.gid))?;
    }
    Ok(())
}

fn user(name: &str) -> Result<Option<User>, String> {
    User::from_name(name).map_err(|error| format!("/etc/passwd: {error}"))
}

fn group_of(id: u32) -> Result<bool, String> {
    let group = Group::from_gid(Gid::from_raw(id)).map_err(|error| format!("/etc/group: {error}"))?;
    Ok(group.is_some())
}

/// Runs a program that changes something, which is then true.
fn program(name: &str, words: &[&str]) -> Result<bool, String> {
    edit(name, words, &[])
}

fn edit(name: &str, words: &[&str], environment: &[(&str, &str)]) -> Result<bool, String> {
    for lock in LOCKS {
        unlock(lock.as_ref());
    }
    let mut program = command::program(name);
    // Errors go to the log; standard output is meant for a person who edits by hand.
    program.args(words).envs(environment.iter().copied()).stdout(Stdio::null());
    command::run(&mut program, PATIENCE).map(|()| true).map_err(|why| format!("{name}: {why}"))
}

/// Removes a lock whose holder has ended. The programs do so too, except when another process has the same pid now,
/// which is likely in a restarted container.
fn unlock(lock: &Path) {
    let Ok(text) = read::text(lock, read::BY_HAND) else { return };
    let holder = text.trim_matches(|c: char| !c.is_ascii_digit());
    let holder = read::kernel_text(format!("/proc/{holder}/comm"));
    if !HOLDERS.contains(&holder.trim()) {
        // If the lock cannot be removed, the program after this fails as well and reports it.
        let _ = fs::remove_file(lock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_of_a_process_that_has_ended_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("passwd.lock");
        // This test process is none of the programs that hold such locks.
        for text in [format!("{}\0", std::process::id()), "99999999".to_owned(), String::new()] {
            fs::write(&lock, text).unwrap();
            unlock(&lock);
            assert!(!lock.exists());
        }
    }
}
