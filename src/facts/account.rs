//! Users of this machine.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid, User, getgrouplist, getgroups, getresgid, getresuid};

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
