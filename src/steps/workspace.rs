//! The workspace, the folder where users keep their work: makes sure that it exists and belongs to the user, and that
//! the user knows whether it outlives the container. Every failure is reported with a way to solve it, and the desktop
//! starts all the same.

pub(super) mod copy;
mod lease;
pub(super) mod leftover;
pub(super) mod lock;
pub(super) mod room;
pub(super) mod volume;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Duration;

use crate::config::service::step;
use crate::sys::error::unless_missing;

use super::command::{program, run as run_program};
use volume::{Access, Volume};

/// The file in the workspace that says that the workspace is not a volume.
pub(super) const WARNING: &str = "WARNING-NO-MOUNT.txt";

/// The folder of the image that `storage` links to where no volume is mounted.
const STORAGE: &str = "/opt/storage";

/// Folders that users and programs expect in a volume.
const FOLDERS: [&str; 3] = ["storage", "environments/python", "environments/javascript"];

/// System folders, the first list with everything below them, the second list only the folders themselves: their owner
/// is not changed, unless a volume is mounted there.
const SYSTEM: [&str; 9] = ["/usr", "/etc", "/dev", "/proc", "/sys", "/boot", "/bin", "/sbin", "/lib"];
const SHARED: [&str; 9] = ["/opt", "/home", "/root", "/srv", "/var", "/mnt", "/media", "/tmp", "/run"];

/// File systems that are not volumes when found on system folders.
const OF_CONTAINERS: [&str; 5] = ["devtmpfs", "overlay", "proc", "sysfs", "tmpfs"];

/// Time limit of setting the access list.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sets up the workspace. Each failure is reported once and the rest is still done; only a folder that cannot be a
/// workspace at all is an error.
pub(super) fn run(step: &step::Workspace) -> Result<(), String> {
    make(&Volume::of(&step.workspace)?, !step.skip_acl)
}

fn make(volume: &Volume, acl: bool) -> Result<(), String> {
    let shown = volume.path.display();
    if volume.found.is_none()
        && let Err(error) = fs::create_dir_all(&volume.path)
    {
        return match fs::read_link(&volume.path) {
            Ok(to) => Err(format!("the workspace {shown} is a link to {}, which is missing", to.display())),
            // A container with a read-only root file system works without a workspace.
            Err(_) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                eprintln!("{}", volume.trouble(&error));
                Ok(())
            }
            Err(_) => Err(volume.trouble(&error)),
        };
    }
    if of_the_system(&volume.path, volume.kind.as_deref()) {
        println!("{shown} is the system's own folder: it is left as it is");
        return Ok(());
    }
    let owned = own(volume);
    let access = match volume.try_out() {
        Ok(access) => access,
        Err(trouble) => {
            eprintln!("{trouble}");
            return Ok(());
        }
    };
    match (&volume.kind, owned) {
        (Some(kind), _) if !access.root => println!(
            "root may not write to {shown} ({kind}); what is made there for people is made as its owner, {}",
            volume.found.unwrap_or(volume.owner).0
        ),
        (Some(kind), Err(error)) => {
            let (uid, gid) = volume.found.unwrap_or_default();
            let what_helps = if uid == volume.owner.0 {
                String::new()
            } else {
                let (uid, gid) = volume.owner;
                format!("; where the desktop's user cannot write, mount it with uid={uid},gid={gid}")
            };
            println!(
                "{shown} ({kind}) keeps no owners or permissions ({error}): everything there belongs to {uid}:{gid}, \
                 as the mount says{what_helps}"
            );
        }
        (None, Err(error)) => eprintln!("{}", volume.trouble(&error)),
        _ => {}
    }
    if acl {
        access_list(volume);
    }
    let told = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            eprintln!("{what}: {}", volume.trouble(&error));
        }
    };
    let warning = volume.path.join(WARNING);
    if volume.kind.is_some() {
        for name in FOLDERS {
            let folder = volume.path.join(name);
            if folder.is_dir() || room::is_inside(&volume.path, &folder) {
                told(name, access.folder(&folder));
            } else {
                eprintln!(
                    "{}: a link on the way leads out of the workspace; it is not made",
                    folder.display()
                );
            }
        }
        told(WARNING, fs::remove_file(&warning).or_else(unless_missing));
    } else {
        told("storage", storage(volume, &access));
        let text = format!(
            "{shown} is not a mounted volume.\n\n\
             Files that you keep here are lost when this container is removed. To keep them, mount a volume or a \
             folder here: docker run --volume NAME:{shown} …\n"
        );
        // Once is enough: a user who restarts a container knows it.
        if room::text(&warning).ok().as_ref() != Some(&text) {
            println!("{shown} is not a mounted volume: files there are lost with the container");
            told(WARNING, access.file(&warning, &text));
        }
    }
    Ok(())
}

/// Whether `path` is a system folder. A mount of the type `kind` makes it a volume, unless every container has such a
/// mount there.
fn of_the_system(path: &Path, kind: Option<&str>) -> bool {
    let mounted = kind.is_some_and(|kind| !OF_CONTAINERS.contains(&kind));
    let system = SHARED.iter().any(|folder| path == Path::new(folder))
        || SYSTEM.iter().any(|folder| path.starts_with(folder));
    path.parent().is_none() || (system && !mounted)
}

/// A workspace without an owner (not a volume, or root's) becomes the user's; new files in it get its group.
fn own(volume: &Volume) -> io::Result<()> {
    let now = fs::metadata(&volume.path)?;
    let nobodys = volume.kind.is_none() || now.uid() == 0;
    if nobodys && (now.uid(), now.gid()) != volume.owner {
        chown(&volume.path, Some(volume.owner.0), Some(volume.owner.1))?;
        let found = fs::metadata(&volume.path)?;
        if (found.uid(), found.gid()) != volume.owner {
            return Err(io::Error::other("the file system accepts owners but does not keep them"));
        }
    }
    if now.mode() & 0o2000 != 0 {
        return Ok(());
    }
    fs::set_permissions(&volume.path, Permissions::from_mode(now.mode() & 0o7777 | 0o2000))
}

/// Lets the user write to files that other users make there, mainly root.
fn access_list(volume: &Volume) {
    let mut command = program("setfacl");
    command.args(["-d", "-m", &format!("u:{}:rwx", volume.owner.0), "--"]).arg(&volume.path);
    // Some file systems have no access lists; the message below says so.
    command.stderr(std::process::Stdio::null());
    if let Err(why) = run_program(&mut command, PATIENCE) {
        println!("{} has no default access list (setfacl: {why})", volume.path.display());
    }
}

/// Where no volume is mounted, `storage` links to the image's folder.
fn storage(volume: &Volume, access: &Access) -> io::Result<()> {
    let link = volume.path.join("storage");
    if fs::symlink_metadata(&link).is_ok() || Path::new(STORAGE).starts_with(&volume.path) {
        return Ok(());
    }
    access.folder(STORAGE.as_ref())?;
    symlink(STORAGE, &link)?;
    access.give(&link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(path: &Path, kind: Option<&str>) -> Volume {
        let found = fs::metadata(path).ok().map(|found| (found.uid(), found.gid()));
        let me = (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
        let owner = if me.0 == 0 { (4321, 4322) } else { me };
        Volume { path: path.to_owned(), kind: kind.map(str::to_owned), found, owner }
    }

    #[test]
    fn system_folders_are_recognized_unless_a_volume_is_mounted_there() {
        for (path, kind, expected) in [
            ("/opt", None, true),
            ("/usr/local/share", None, true),
            ("/etc", None, true),
            ("/", Some("overlay"), true),
            ("/etc", Some("overlay"), true),
            ("/dev", Some("tmpfs"), true),
            ("/dev/shm", Some("tmpfs"), true),
            ("/run", Some("tmpfs"), true),
            ("/root", Some("ext4"), false),
            ("/usr/src/app", Some("ext4"), false),
            ("/", Some("ext4"), true),
            ("/workspace", None, false),
            ("/workspace", Some("tmpfs"), false),
            ("/opt/work", None, false),
            ("/home/ada", None, false),
            ("/userdata", None, false),
        ] {
            assert_eq!(of_the_system(Path::new(path), kind), expected, "{path} {kind:?}");
        }
    }

    #[test]
    fn volume_is_given_to_its_user_and_the_warning_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("under a\nmissing/parent");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(WARNING), "").unwrap();
        fs::write(path.join("mine"), "").unwrap();
        for _ in 0..2 {
            let volume = volume(&path, Some("ext4"));
            make(&volume, true).unwrap();
            assert!(!path.join(WARNING).exists() && path.join("mine").exists());
            let found = fs::metadata(&path).unwrap();
            assert_eq!(found.mode() & 0o2000, 0o2000);
            if nix::unistd::Uid::effective().is_root() {
                assert_eq!((found.uid(), found.gid()), volume.owner);
            }
            for name in FOLDERS {
                assert!(path.join(name).is_dir(), "{name}");
            }
        }
    }

    #[test]
    fn folder_that_is_no_volume_gets_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        make(&volume(&path, None), false).unwrap();
        assert!(fs::read_to_string(path.join(WARNING)).unwrap().contains("not a mounted volume"));
        assert_eq!(fs::read_link(path.join("storage")).ok(), Some(STORAGE.into()));
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("nowhere"), &dangling).unwrap();
        assert!(make(&volume(&dangling, None), false).unwrap_err().contains("is a link to"));
    }
}
