//! The home folder: created, given to its user and filled with the usual files. It may be on a volume that refuses root
//! what it allows the user, or on a volume without file owners.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::time::Duration;

use nix::unistd::Uid;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::config::service::step::AccountSpec;
use crate::facts::account::usual_home;
use crate::steps::command;
use crate::steps::report::tell;
use crate::steps::workspace::{WARNING, room, volume};
use crate::sys::{mounts, read};

use super::lists;

/// Characters of a path that an address does not contain as they are.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Time limit of a program that works on a volume.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time limit for copying the image's home folder to the new home.
const COPYING: Duration = Duration::from_secs(120);

/// Where the files of a new home come from.
const SKELETON: &str = "/etc/skel";

/// Files that a home gets from there if it lacks them. The last one switches on links in Kate: Kate reads which plugins
/// it loads from this file of the user's alone, which it writes at its first start.
const USUAL_FILES: [&str; 4] =
    [".bash_logout", ".bashrc", ".profile", ".local/share/kate/anonymous.katesession"];

/// Makes the home usable. The error says why the user cannot use it.
pub(super) fn ensure(wanted: &AccountSpec) -> Result<(), String> {
    let home = &wanted.home;
    let at = |error: io::Error| format!("{}: {error}", home.display());
    let usual = usual_home(&wanted.name);
    if *home == usual {
        // A link to a workspace that no longer exists is removed.
        if fs::symlink_metadata(home).is_ok_and(|found| found.is_symlink()) {
            fs::remove_file(home).map_err(at)?;
        }
    } else if let Some(parent) = home.parent() {
        folder(parent, wanted)?;
    }
    folder(home, wanted)?;
    if !writable(home, wanted) {
        return Err(format!("{}: {} cannot write there", home.display(), wanted.name));
    }
    // The home works without the link at the usual place.
    if *home != usual
        && let Err(why) = link(&usual, wanted)
    {
        eprintln!("{why}");
    }
    share(home, wanted);
    // Root must not follow links in the home: the user, or another user of the same volume, may have put them there.
    let is_user =
        if Uid::effective().is_root() { volume::become_user(wanted.uid, wanted.gid) } else { Ok(()) };
    match is_user {
        Ok(()) => furnish(wanted),
        Err(error) => tell(home.display(), Err(error)),
    }
    volume::be_root();
    Ok(())
}

/// Files made in the home get the group by which users share the workspace.
fn share(home: &Path, wanted: &AccountSpec) {
    let Ok(folder) = read::folder(home) else { return };
    let Ok(found) = folder.metadata() else { return };
    if found.uid() == wanted.uid && found.mode() & 0o2000 == 0 {
        tell(home.display(), folder.set_permissions(Permissions::from_mode(found.mode() & 0o7777 | 0o2000)));
    }
}

/// Creates a folder for the user; an existing folder that belongs to root is given to the user.
fn folder(folder: &Path, wanted: &AccountSpec) -> Result<(), String> {
    let at = |error: io::Error| format!("{}: {error}", folder.display());
    // No folder is made or given away behind a link in the workspace: other users may have put the link there.
    let elsewhere = folder.starts_with(&wanted.workspace) && !room::is_inside(&wanted.workspace, folder);
    let found = match fs::metadata(folder) {
        Ok(found) => found,
        Err(_) if elsewhere => {
            return Err(format!("{}: a link on the way leads out of the workspace", folder.display()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
            if let Err(error) = made {
                // A volume may refuse root what it allows its owner.
                let mut mkdir = command::program_of(wanted.uid, wanted.gid, "mkdir");
                mkdir.arg("--parents").arg(folder);
                command::run(&mut mkdir, PATIENCE).map_err(|_| at(error))?;
            }
            fs::metadata(folder).map_err(at)?
        }
        Err(error) => return Err(at(error)),
    };
    if !found.is_dir() {
        return Err(format!("{}: it is not a folder", folder.display()));
    }
    if found.uid() != wanted.uid && !elsewhere {
        own(folder, &found, wanted);
    }
    Ok(())
}

/// Gives a folder to the user. A folder of root: only the folder itself. A folder of another owner in the container's
/// own files: also everything of that owner in it, because the owner was the same user with another uid.
fn own(folder: &Path, found: &Metadata, wanted: &AccountSpec) {
    let on_volume = fs::metadata("/").is_ok_and(|root| root.dev() != found.dev());
    let linked = fs::symlink_metadata(folder).is_ok_and(|folder| folder.is_symlink());
    if linked {
        return;
    }
    if found.uid() == 0 {
        tell(folder.display(), lchown(folder, Some(wanted.uid), Some(wanted.gid)));
    } else if on_volume {
        let owner = found.uid();
        eprintln!(
            "{}: it belongs to {owner}; WORKSPACE_UID={owner} makes that the user's id",
            folder.display()
        );
    } else {
        tell(folder.display(), lists::give(folder, found.uid(), wanted));
    }
}

/// Whether the user can write in a folder. A program runs as the user to find out only where owner and mode do not
/// tell.
fn writable(folder: &Path, wanted: &AccountSpec) -> bool {
    let owned =
        fs::metadata(folder).is_ok_and(|found| found.uid() == wanted.uid && found.mode() & 0o300 == 0o300);
    let mut test = command::program_of(wanted.uid, wanted.gid, "test");
    test.arg("-w").arg(folder);
    owned || command::run(&mut test, PATIENCE).is_ok()
}

/// Makes `usual` a link to the home. Files there are copied if the home lacks them; the old folder is kept beside it.
fn link(usual: &Path, wanted: &AccountSpec) -> Result<(), String> {
    let home = &wanted.home;
    let at = |error: io::Error| format!("{}: {error}", usual.display());
    match fs::symlink_metadata(usual) {
        Ok(found) if found.is_symlink() => {
            if fs::read_link(usual).is_ok_and(|to| to == *home) {
                return Ok(());
            }
            fs::remove_file(usual).map_err(at)?;
        }
        Ok(found) if found.is_dir() => {
            own(usual, &found, wanted);
            let mut copy = command::program_of(wanted.uid, wanted.gid, "cp");
            copy.args(["--recursive", "--no-dereference", "--preserve=mode,timestamps", "--update=none"]);
            copy.arg(usual.join(".")).arg(home);
            // Files that could not be copied are kept in the renamed folder.
            if let Err(why) = command::run(&mut copy, COPYING) {
                eprintln!("{}: cp: {why}", home.display());
            }
            // Folders of the image's layers cannot be renamed, only copied, which `mv` does.
            let mut kept = usual.as_os_str().to_owned();
            kept.push(".image");
            let mut aside = command::program("mv");
            aside.args(["--no-target-directory", "--backup=numbered"]).arg(usual).arg(kept);
            command::run(&mut aside, COPYING).map_err(|why| format!("{}: mv: {why}", usual.display()))?;
        }
        Ok(_) => return Err(format!("{}: it is neither a folder nor a link", usual.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error)),
    }
    symlink(home, usual).map_err(at)
}

/// Adds the usual files and links to a home. What cannot be made is reported and skipped.
fn furnish(wanted: &AccountSpec) {
    let home = &wanted.home;
    for name in USUAL_FILES {
        supply(Path::new(SKELETON), home, name);
    }
    let desktop = home.join("Desktop");
    if fs::symlink_metadata(&desktop).is_err() {
        tell(desktop.display(), fs::create_dir(&desktop));
    }
    // If `Desktop` is a link, the user wants it elsewhere: no links are made in it.
    let is_folder = fs::symlink_metadata(&desktop).is_ok_and(|found| found.is_dir());
    if !is_folder {
        return;
    }
    for (name, icon, target) in [
        ("Home", "user-home", usual_home(&wanted.name)),
        ("Workspace", "folder-cloud", wanted.workspace.clone()),
    ] {
        let file = desktop.join(format!("{name}.desktop"));
        if fs::symlink_metadata(&file).is_err() {
            tell(file.display(), fs::write(&file, entry(name, icon, &target)));
        }
    }
    warn(&desktop, &wanted.workspace, mounts::is_on_volume(&mounts::all(), &wanted.workspace));
}

/// Copies a file to a home that lacks it, with the folders that it is in.
fn supply(skeleton: &Path, home: &Path, name: &str) {
    let (from, to) = (skeleton.join(name), home.join(name));
    if fs::symlink_metadata(&to).is_ok() || !from.is_file() {
        return;
    }
    let folders = to.parent().map_or(Ok(()), fs::create_dir_all);
    tell(to.display(), folders.and_then(|()| fs::copy(&from, &to)).map(drop));
}

/// An icon of the desktop that opens a folder. Plasma asks no preview for it, which it does for a link: that took 39 MB.
fn entry(name: &str, icon: &str, target: &Path) -> String {
    let url = percent_encode(target.as_os_str().as_bytes(), &RESERVED);
    format!("[Desktop Entry]\nType=Link\nName={name}\nIcon={icon}\nURL=file://{url}\n")
}

/// Shows the warning of a workspace without a volume beside the icons, and takes it away when there is a volume, which is
/// not looked at: the volume may not answer.
fn warn(desktop: &Path, workspace: &Path, on_volume: bool) {
    let (warning, link) = (workspace.join(WARNING), desktop.join(WARNING));
    let linked = fs::symlink_metadata(&link).is_ok_and(|found| found.is_symlink());
    match (!on_volume && warning.is_file(), linked) {
        (true, false) => tell(link.display(), symlink(&warning, &link)),
        (false, true) => tell(link.display(), fs::remove_file(&link)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_icon_of_a_folder_names_its_address() {
        let text = entry("Workspace", "folder", Path::new("/my work\nplace/ä"));
        assert_eq!(
            text,
            "[Desktop Entry]\nType=Link\nName=Workspace\nIcon=folder\nURL=file:///my%20work%0Aplace/%C3%A4\n"
        );
    }

    #[test]
    fn a_home_gets_the_usual_files_that_it_lacks_and_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (skeleton, home) = (dir.path().join("skel"), dir.path().join("home"));
        fs::create_dir_all(skeleton.join("a/b")).unwrap();
        fs::create_dir(&home).unwrap();
        for name in ["a/b/c", "d"] {
            fs::write(skeleton.join(name), "usual").unwrap();
        }
        fs::write(home.join("d"), "own").unwrap();
        for name in ["a/b/c", "d", "gone"] {
            supply(&skeleton, &home, name);
        }
        let of = |name: &str| fs::read_to_string(home.join(name)).ok();
        assert_eq!([of("a/b/c").as_deref(), of("d").as_deref()], [Some("usual"), Some("own")]);
        assert!(!home.join("gone").exists());
    }

    #[test]
    fn the_warning_is_on_the_desktop_as_long_as_it_is_in_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let (desktop, workspace) = (dir.path().join("Desktop"), dir.path().join("workspace"));
        fs::create_dir(&desktop).unwrap();
        fs::create_dir(&workspace).unwrap();
        let shown = || fs::symlink_metadata(desktop.join(WARNING)).is_ok();
        warn(&desktop, &workspace, false);
        assert!(!shown());
        fs::write(workspace.join(WARNING), "lost").unwrap();
        warn(&desktop, &workspace, false);
        assert!(shown() && fs::read_to_string(desktop.join(WARNING)).unwrap() == "lost");
        warn(&desktop, &workspace, true);
        assert!(!shown(), "a volume has none, whatever its file says");
        warn(&desktop, &workspace, false);
        fs::remove_file(workspace.join(WARNING)).unwrap();
        warn(&desktop, &workspace, false);
        assert!(!shown());
    }

    #[test]
    fn no_folder_is_made_or_given_away_behind_a_link_in_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let (workspace, theirs) = (dir.path().join("work"), dir.path().join("theirs"));
        fs::create_dir_all(&workspace).unwrap();
        fs::create_dir_all(theirs.join("bob")).unwrap();
        symlink(&theirs, workspace.join("home")).unwrap();
        let owner = fs::metadata(&theirs).unwrap().uid();
        let wanted = AccountSpec {
            name: "ada".to_owned(),
            uid: 4321,
            gid: 4321,
            home: workspace.join("home/ada"),
            shell: "/bin/sh".to_owned(),
            groups: Vec::new(),
            devices: BTreeMap::new(),
            workspace: workspace.clone(),
        };
        let told = folder(&wanted.home, &wanted).unwrap_err();
        assert!(told.contains("leads out of the workspace") && !theirs.join("ada").exists(), "{told}");
        folder(&workspace.join("home/bob"), &wanted).unwrap();
        assert_eq!(fs::metadata(theirs.join("bob")).unwrap().uid(), owner);
    }
}
