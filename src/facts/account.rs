//! Users of this machine.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;

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
}

/// Who this process is.
pub fn own_identity() -> Identity {
    let uid = getresuid().map_or_else(|_| Uid::current(), |ids| ids.effective);
    let gid = getresgid().map_or_else(|_| Gid::current(), |ids| ids.effective);
    let groups = getgroups().unwrap_or_default();
    Identity { uid: uid.as_raw(), gid: gid.as_raw(), groups: groups.into_iter().map(Gid::as_raw).collect() }
}

/// The desktop's account: the one called `name` for a daemon that may become anybody, else its own.
pub fn desktop_account(daemon: &Identity, name: &str) -> Result<Account, String> {
    if daemon.uid != 0 {
        let user = User::from_uid(Uid::from_raw(daemon.uid)).map_err(|error| error.to_string())?;
        // A numeric id without an entry (`docker run -u 4321`) is a user all the same.
        let user = user.map(|user| (user.name, user.dir, user.shell));
        let (name, home, shell) =
            user.unwrap_or_else(|| (daemon.uid.to_string(), "/tmp".into(), "/bin/sh".into()));
        return Ok(Account { name, identity: daemon.clone(), home, shell });
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
            Ok(Account { name: user.name, identity, home: user.dir, shell: user.shell })
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
    fn groups_have_names_or_numbers() {
        let names = ["root", "4321", "no-such-group", "-1"].map(str::to_owned);
        let expected = BTreeMap::from([("root".to_owned(), 0), ("4321".to_owned(), 4321)]);
        assert_eq!(groups(&names), expected);
    }
}
