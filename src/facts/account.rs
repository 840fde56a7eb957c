//! Users of this machine: the account of the desktop, and the facts for making one.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getgroups};

use crate::sys::launch::Identity;
use crate::sys::mounts::{self, Mount};
use crate::sys::read;

/// A file in the daemon's folder with the reason why the desktop's account could not be made as planned. The `user`
/// step writes it.
pub const TROUBLE: &str = "user-trouble";

/// The files in which accounts are made.
const LISTS: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"];

/// The groups of a desktop's user, as far as they exist.
pub const USUAL_GROUPS: [&str; 4] = ["audio", "video", "render", "input"];

/// The default home folder of a user.
pub fn usual_home(name: &str) -> PathBuf {
    Path::new("/home").join(name)
}

/// Device files that a desktop uses, by folder and name (the whole name, or its beginning), and the name for a group
/// that owns such a file and has no name.
const DEVICES: [(&str, &str, &str); 9] = [
    ("/dev/dri", "card", "video"),
    ("/dev/dri", "renderD", "render"),
    ("/dev", "kfd", "render"),
    ("/dev", "nvidia", "video"),
    ("/dev", "uinput", "input"),
    ("/dev/input", "event", "input"),
    ("/dev/input", "js", "input"),
    ("/dev/snd", "", "audio"),
    ("/dev", "fuse", "fuse"),
];

/// The group that owns a device of a desktop elsewhere.
pub fn group_of_device(path: &str) -> Option<&'static str> {
    let (folder, name) = path.rsplit_once('/')?;
    let found = DEVICES.iter().find(|(place, begin, _)| *place == folder && name.starts_with(begin));
    found.map(|(.., group)| *group)
}

/// The id that the kernel shows for users that have no id here.
const OVERFLOW: u32 = 65_534;

/// The user of the desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Ids and groups.
    pub identity: Identity,
    /// Home folder.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
    /// Replaces the missing entry in the system's list of users, if it has none there (`docker run --user 4321`).
    pub stand_in: Option<StandIn>,
}

/// The facts for making the desktop's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Making {
    /// Why accounts cannot be made or changed, if so.
    pub fixed: Option<String>,
    /// Why the last attempt since the container's start failed, if it did.
    pub trouble: Option<String>,
    /// The groups that own this machine's devices, except root's, each with a name to use if the group has none.
    pub devices: BTreeMap<u32, String>,
    /// Whether the usual home, or a folder in it, is mounted.
    pub home_mounted: bool,
    /// The account to use if no account of the wanted name can be made.
    pub usual: Option<Account>,
}

impl Making {
    /// Collects the facts for an account called `name` with the usual `home`.
    pub(super) fn probe(daemon: &Identity, usual: &str, home: &Path, run_dir: &Path) -> Self {
        if daemon.uid != 0 {
            return Self::default();
        }
        let mounts = mounts::all();
        let trouble = read::text(&run_dir.join(TROUBLE), read::BY_HAND).ok();
        Self {
            fixed: fixed(&mounts),
            trouble: trouble.map(|text| match text.trim() {
                // There was no space to write more than an empty file.
                "" => "it could not be made".to_owned(),
                text => text.to_owned(),
            }),
            devices: devices(Path::new("/")),
            home_mounted: mounts::any_below(home) || mounts::is_on_volume(&mounts, home),
            usual: desktop_account(daemon, usual, home).ok(),
        }
    }
}

/// Why the files cannot be changed, if so. They are replaced by renaming, which is not possible for a mounted file.
fn fixed(mounts: &[Mount]) -> Option<String> {
    let mounted = LISTS.iter().find(|list| mounts.iter().any(|mount| mount.at == Path::new(list)));
    if let Some(list) = mounted {
        return Some(format!("{list} is mounted, and cannot be replaced"));
    }
    mounts::is_read_only(Path::new("/etc")).then(|| "/etc is on a read-only file system".to_owned())
}

fn devices(root: &Path) -> BTreeMap<u32, String> {
    let mut groups = BTreeMap::new();
    for (folder, begin, name) in DEVICES {
        let entries = fs::read_dir(root.join(&folder[1..])).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(begin)) {
            let Ok(found) = entry.metadata() else { continue };
            let open_to_group = found.mode() & 0o060 != 0;
            if !found.is_dir() && open_to_group && ![0, OVERFLOW].contains(&found.gid()) {
                groups.entry(found.gid()).or_insert_with(|| name.to_owned());
            }
        }
    }
    groups
}

/// Lists of users and groups for programs that look up their own user and fail without an entry, such as the message
/// bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The library that makes programs read these lists instead of the system's, if it is installed.
    pub library: Option<PathBuf>,
    /// The system's list of users, with an entry for the missing user.
    pub passwd: String,
    /// The system's list of groups, with an entry for the missing group.
    pub group: String,
}

impl StandIn {
    fn new(root: &Path, who: &Identity, name: &str, home: &Path, shell: &Path) -> Self {
        let list = |file: &str| {
            let mut text = read::text(&root.join(file), read::BY_HAND).unwrap_or_default();
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text
        };
        let (uid, gid) = (who.uid, who.gid);
        let user = format!("{name}:x:{uid}:{gid}::{}:{}\n", home.display(), shell.display());
        let group = list("etc/group");
        let known = group.lines().any(|line| line.split(':').nth(2) == Some(&gid.to_string()));
        let own = if known { String::new() } else { format!("{name}:x:{gid}:\n") };
        Self { library: library(root), passwd: list("etc/passwd") + &user, group: group + &own }
    }
}

/// Finds the library, which may be in the folder of the machine's architecture.
fn library(root: &Path) -> Option<PathBuf> {
    let folders = ["usr/lib", "usr/lib64"].map(|folder| root.join(folder));
    let deeper = fs::read_dir(&folders[0]).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = folders.iter().cloned().chain(deeper).map(|folder| folder.join("libnss_wrapper.so"));
    files.find(|file| file.is_file())
}

/// The user and the groups of this process.
pub fn own_identity() -> Identity {
    let groups = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    Identity { uid: Uid::effective().as_raw(), gid: Gid::effective().as_raw(), groups }
}

/// The desktop's account: the one called `name` if the daemon is root, else the daemon's own account, with `home` as
/// its home folder.
pub fn desktop_account(daemon: &Identity, name: &str, home: &Path) -> Result<Account, String> {
    if daemon.uid != 0 {
        let user = User::from_uid(Uid::from_raw(daemon.uid)).map_err(|error| error.to_string())?;
        // A numeric id without an entry (`docker run -u 4321`) is a user all the same.
        let (name, shell, listed) = user.map_or_else(
            || (format!("user{}", daemon.uid), "/bin/sh".into(), false),
            |user| (user.name, user.shell, true),
        );
        let stand_in = || StandIn::new(Path::new("/"), daemon, &name, home, &shell);
        let stand_in = (!listed).then(stand_in);
        return Ok(Account { name, identity: daemon.clone(), home: home.to_owned(), shell, stand_in });
    }
    match User::from_name(name) {
        Ok(Some(user)) => {
            let groups = CString::new(name).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
            let groups = groups.unwrap_or_else(|| vec![user.gid]);
            let identity = Identity {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                groups: groups.into_iter().map(Gid::as_raw).collect(),
            };
            Ok(Account { name: user.name, identity, home: user.dir, shell: user.shell, stand_in: None })
        }
        Ok(None) => Err(format!("there is no user named '{name}' (USER_NAME)")),
        Err(error) => Err(format!("looking for the user '{name}': {error}")),
    }
}

/// The ids of groups by their names; a number is kept as it is. Unknown groups are left out.
pub fn groups<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, u32> {
    let id = |name: &str| match Group::from_name(name) {
        Ok(Some(group)) => Some(group.gid.as_raw()),
        // A group that only the host has a name for.
        _ => name.parse().ok(),
    };
    names.into_iter().filter_map(|name| Some((name.clone(), id(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names_or_numbers() {
        let names = ["root", "4321", "no-such-group", "-1"].map(str::to_owned);
        let expected = BTreeMap::from([("root".to_owned(), 0), ("4321".to_owned(), 4321)]);
        assert_eq!(groups(&names), expected);
    }

    #[test]
    fn the_groups_of_devices_are_known_by_their_files() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("dev/dri/by-path")).unwrap();
        for (name, mode, group) in
            [("dri/renderD128", 0o660, 105), ("kfd", 0o660, 105), ("fuse", 0o666, 0), ("nvidia0", 0o600, 44)]
        {
            use std::os::unix::fs::{PermissionsExt, chown};
            let file = root.path().join("dev").join(name);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            if !Uid::effective().is_root() {
                return;
            }
            chown(&file, None, Some(group)).unwrap();
        }
        assert_eq!(devices(root.path()), BTreeMap::from([(105, "render".to_owned())]));
    }

    #[test]
    fn a_mounted_list_cannot_be_changed() {
        let mounts = "1 0 0:1 / / rw - overlay overlay rw\n2 1 8:1 /w /etc/passwd rw - ext4 /dev/vda rw\n";
        assert!(fixed(&mounts::parse(mounts)).unwrap().starts_with("/etc/passwd is mounted"));
    }

    #[test]
    fn a_user_without_an_entry_gets_lists_with_one() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::create_dir_all(root.path().join("usr/lib/x86_64-linux-gnu")).unwrap();
        fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash").unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\nstaff:x:50:\n").unwrap();
        let who = |gid| Identity { uid: 4321, gid, groups: vec![gid] };
        let of_group =
            |gid| StandIn::new(root.path(), &who(gid), "user4321", "/h".as_ref(), "/bin/sh".as_ref());
        let made = of_group(4321);
        assert_eq!(made.passwd, "root:x:0:0:root:/root:/bin/bash\nuser4321:x:4321:4321::/h:/bin/sh\n");
        assert_eq!(made.group, "root:x:0:\nstaff:x:50:\nuser4321:x:4321:\n");
        assert_eq!(made.library, None);
        let library = root.path().join("usr/lib/x86_64-linux-gnu/libnss_wrapper.so");
        fs::write(&library, "").unwrap();
        assert_eq!(of_group(50).group, "root:x:0:\nstaff:x:50:\n");
        assert_eq!(of_group(50).library, Some(library));
    }
}
