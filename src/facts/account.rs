//! Users of this machine.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getgroups, getresgid, getresuid};

use crate::sys::launch::Identity;

/// The user whose desktop it is.
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
    /// What stands in for its line in the system's list of users, if it has none there (`docker run --user 4321`).
    pub stand_in: Option<StandIn>,
}

/// Lists of users and groups for programs that ask who they are and do not run without an answer, such as the message
/// bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The library that shows programs these lists instead of the system's, if it is installed.
    pub library: Option<PathBuf>,
    /// The system's list of users, and the one who is missing.
    pub passwd: String,
    /// The system's list of groups, and the one that is missing.
    pub group: String,
}

impl StandIn {
    fn new(root: &Path, who: &Identity, name: &str, home: &Path, shell: &Path) -> Self {
        let list = |file: &str| {
            let mut text = fs::read_to_string(root.join(file)).unwrap_or_default();
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

/// The library lies in the folder of the machine's architecture.
fn library(root: &Path) -> Option<PathBuf> {
    let folders = ["usr/lib", "usr/lib64"].map(|folder| root.join(folder));
    let deeper = fs::read_dir(&folders[0]).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files = folders.iter().cloned().chain(deeper).map(|folder| folder.join("libnss_wrapper.so"));
    files.find(|file| file.is_file())
}

/// Who this process is.
pub fn own_identity() -> Identity {
    let uid = getresuid().map_or_else(|_| Uid::current(), |ids| ids.effective);
    let gid = getresgid().map_or_else(|_| Gid::current(), |ids| ids.effective);
    let groups = getgroups().unwrap_or_default();
    Identity { uid: uid.as_raw(), gid: gid.as_raw(), groups: groups.into_iter().map(Gid::as_raw).collect() }
}

/// The desktop's account: the one called `name` for a daemon that may become anybody, else its own, with `home` where
/// it has none that it can write.
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

/// The ids of groups: by name, or a number as it is. What is missing in the answer is missing here.
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
    fn whoever_is_in_no_list_gets_lists_with_a_line_of_their_own() {
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

    #[test]
    fn groups_have_names_or_numbers() {
        let names = ["root", "4321", "no-such-group", "-1"].map(str::to_owned);
        let expected = BTreeMap::from([("root".to_owned(), 0), ("4321".to_owned(), 4321)]);
        assert_eq!(groups(&names), expected);
    }
}
