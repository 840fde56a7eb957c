//! Creates the folders and files that a desktop expects from the system: elsewhere systemd, tmpfiles and login managers
//! make them.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Gid, Uid, chown};
use rand::RngExt;

use crate::config::service::step::Prepare;
use crate::sys::read;
use crate::sys::replace::{remove, replace};

use super::report::tell;

/// Files that an earlier boot of the same container left behind and that would stop a new one.
const STALE: [&str; 3] = ["/run/dbus/pid", "/tmp/.X0-lock", "/tmp/.X1-lock"];

const MACHINE_ID: &str = "/etc/machine-id";

/// Creates everything; each failure is reported and the rest is still done. Only a missing runtime folder is an error:
/// nothing of the desktop works without it, and much works without the other folders.
pub(super) fn run(Prepare { runtime_dir, home, uid, gid }: &Prepare) -> Result<(), String> {
    let (uid, gid) = (*uid, *gid);
    let made = private_folder(runtime_dir, uid, gid);
    tell(home.display(), own_home(home, uid));
    if Uid::effective().is_root() {
        for folder in ["/run/dbus", "/run/sshd"] {
            tell(folder, shared_folder(folder.as_ref(), 0o755));
        }
        for file in STALE {
            tell(file, remove(file.as_ref()));
        }
    }
    tell(MACHINE_ID, machine_id(MACHINE_ID.as_ref()));
    for folder in ["/tmp/.X11-unix", "/tmp/.ICE-unix"] {
        tell(folder, shared_folder(folder.as_ref(), 0o1777));
    }
    made.map_err(|error| format!("{}: {error}", runtime_dir.display()))
}

/// Creates the home of an ordinary user if it is missing; where the daemon is root, the `user` step has made the home.
fn own_home(home: &Path, uid: u32) -> io::Result<()> {
    if home.is_dir() || Uid::effective().as_raw() != uid {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(home)
}

/// A folder for one user only. An existing folder is accepted only if it belongs to that user, or can be given to that
/// user.
fn private_folder(folder: &Path, uid: u32, gid: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(io::Error::other("it is not a folder"));
    }
    if found.uid() != uid || found.gid() != gid {
        chown(folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// A folder for all users. An existing folder with the right mode is left alone, for any owner.
fn shared_folder(folder: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(folder)?;
    if fs::metadata(folder)?.mode() & 0o7777 == mode {
        return Ok(());
    }
    // Any user can put a link into /tmp.
    if folder.is_symlink() {
        return Err(io::Error::other("it is a link, and the folder behind it is not opened to all users"));
    }
    fs::set_permissions(folder, Permissions::from_mode(mode))
}

/// D-Bus and Qt need a machine id. Images have none, or an empty file, so that containers differ. In our image the file
/// is a link into `/tmp`, where any user can create the id, and where it can be written in a read-only image. If the id
/// can be stored in its own place it is: programs that clean `/tmp` would remove it.
fn machine_id(file: &Path) -> io::Result<()> {
    let usable =
        |text: &String| text.trim().len() == 32 && text.trim().bytes().all(|b| b.is_ascii_hexdigit());
    let known = read::text(file, read::BY_HAND).ok().filter(usable);
    let borrowed = is_link_to_a_shared_folder(file);
    if known.is_some() && !borrowed {
        return Ok(());
    }
    let made = known.is_none();
    let text = known.unwrap_or_else(|| format!("{:032x}\n", rand::rng().random::<u128>()));
    if borrowed && (replace(file, text.as_bytes(), 0o444).is_ok() || !made) {
        return Ok(());
    }
    let mut out = fs::File::create(file)?;
    out.write_all(text.as_bytes())?;
    out.set_permissions(Permissions::from_mode(0o444))
}

/// Whether a file is a link to a folder in which all users can create files.
fn is_link_to_a_shared_folder(file: &Path) -> bool {
    let Ok(target) = fs::read_link(file) else { return false };
    let folder = target.parent().and_then(|folder| fs::metadata(folder).ok());
    folder.is_some_and(|folder| folder.mode() & 0o1000 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_machine_id_is_replaced_and_a_valid_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("machine-id");
        fs::write(&file, "").unwrap();
        machine_id(&file).unwrap();
        let first = fs::read_to_string(&file).unwrap();
        assert_eq!(first.trim().len(), 32);
        machine_id(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("id"), &link).unwrap();
        machine_id(&link).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("id")).unwrap().trim().len(), 32);
    }

    #[test]
    fn machine_id_is_moved_out_of_a_folder_shared_by_all_users() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, file) = (dir.path().join("tmp"), dir.path().join("machine-id"));
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        std::os::unix::fs::symlink(shared.join("id"), &file).unwrap();
        machine_id(&file).unwrap();
        let first = fs::read_to_string(&file).unwrap();
        assert!(first.trim().len() == 32 && !file.is_symlink(), "{first}");
        // An id that exists already stays the same.
        fs::rename(&file, shared.join("id")).unwrap();
        std::os::unix::fs::symlink(shared.join("id"), &file).unwrap();
        machine_id(&file).unwrap();
        assert!(fs::read_to_string(&file).unwrap() == first && !file.is_symlink());
    }

    #[test]
    fn home_is_made_only_for_the_user_of_this_process() {
        let dir = tempfile::tempdir().unwrap();
        let own = Uid::effective().as_raw();
        for (name, uid, expected) in [("new/home", own, true), ("other", own + 1, false)] {
            let home = dir.path().join(name);
            own_home(&home, uid).unwrap();
            assert_eq!(home.is_dir(), expected, "{name}");
        }
    }

    #[test]
    fn folder_behind_a_link_is_not_opened_to_all_users() {
        let dir = tempfile::tempdir().unwrap();
        let (own, link) = (dir.path().join("own"), dir.path().join("link"));
        shared_folder(&own, 0o1777).unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        shared_folder(&link, 0o1777).unwrap();
        fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
        assert!(shared_folder(&link, 0o1777).is_err());
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    fn runtime_folder_is_private_to_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
        private_folder(&folder, uid, gid).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
    }
}
