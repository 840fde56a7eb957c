//! The orders for a shell: whose it is, and the environment that it gets.

use std::ffi::OsStr;
use std::path::Path;

use nix::unistd::Uid;

use crate::config::env::TerminalUser;
use crate::sys::launch::Orders;
use crate::sys::limits::inherited_open_files;

/// The variables of the desktop that a shell of root gets: none of them names a file or a folder of the desktop's user.
const OF_ROOT: [&str; 3] = ["LANG", "LANGUAGE", "TZ"];

/// Where root's shell looks for programs: only folders that root alone can write.
const PATH_OF_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The shells, best first.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// The kind of terminal that the page draws.
const KIND: [(&str, &str); 2] = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];

/// The orders for a shell of this user, made from those of the desktop's programs.
pub(super) fn orders(session: &Orders, user: TerminalUser) -> Result<Orders, String> {
    let (own, shell) = (Uid::effective().as_raw(), shell());
    let mut orders = match user {
        TerminalUser::Root => of_root(session, shell),
        TerminalUser::User => of_user(session, shell, own)?,
    };
    orders.env.extend(KIND.map(|(name, value)| (name.into(), value.into())));
    orders.resources.limits.extend(inherited_open_files());
    (orders.terminal, orders.quiet) = (true, true);
    Ok(orders)
}

fn of_user(session: &Orders, shell: &str, own: u32) -> Result<Orders, String> {
    let mut orders = session.clone();
    match &session.identity {
        None if own == 0 => return Err("there is no account of the desktop's user".to_owned()),
        Some(identity) if identity.uid == 0 => {
            return Err("the desktop's user is root here: PORTAL_TERMINAL has to be root".to_owned());
        }
        Some(identity) if identity.uid == own => orders.identity = None,
        _ => {}
    }
    // What comes before a program makes it draw with the GPU, which holds for all that the shell starts.
    orders.argv.push(shell.to_owned());
    orders.env.insert("SHELL".into(), shell.into());
    Ok(orders)
}

fn of_root(session: &Orders, shell: &str) -> Orders {
    let kept = session.env.iter().filter(|(name, _)| OF_ROOT.iter().any(|kept| *name == OsStr::new(kept)));
    let own =
        [("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root"), ("PATH", PATH_OF_ROOT), ("SHELL", shell)];
    let mut resources = session.resources.clone();
    resources.umask = 0o022;
    Orders {
        argv: vec![shell.to_owned()],
        env: kept
            .map(|(name, value)| (name.clone(), value.clone()))
            .chain(own.map(|(name, value)| (name.into(), value.into())))
            .collect(),
        cwd: "/root".into(),
        resources,
        ..Orders::default()
    }
}

fn shell() -> &'static str {
    SHELLS.into_iter().find(|shell| Path::new(shell).exists()).unwrap_or(SHELLS[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::launch::{EnvFiles, Identity};

    fn session(uid: Option<u32>) -> Orders {
        let env = [
            ("PATH", "/home/user/bin:/bin"),
            ("HOME", "/home/user"),
            ("LANG", "C.UTF-8"),
            ("LD_PRELOAD", "/home/user/evil.so"),
            ("BASH_ENV", "/home/user/evil.sh"),
            ("DISPLAY", ":0"),
        ];
        Orders {
            argv: vec!["/usr/bin/vglrun".to_owned()],
            env: env.map(|(name, value)| (name.into(), value.into())).into(),
            env_files: Some(EnvFiles {
                machine: "/etc/environment".into(),
                written: "/w".into(),
                noted: "/n".into(),
                user: Some("/home/user/.env".into()),
                workspace: Some("/workspace/.env".into()),
                fixed: Vec::new(),
            }),
            identity: uid.map(|uid| Identity { uid, gid: uid, groups: vec![44] }),
            cwd: "/home/user".into(),
            ..Orders::default()
        }
    }

    #[test]
    fn a_shell_of_the_user_is_a_program_of_the_desktop() {
        let own = Uid::effective().as_raw();
        let orders = orders(&session(Some(own + 4321)), TerminalUser::User).unwrap();
        assert_eq!(orders.argv, ["/usr/bin/vglrun", shell()]);
        assert_eq!(orders.identity.unwrap().uid, own + 4321);
        assert_eq!(orders.env[OsStr::new("DISPLAY")], ":0");
        assert_eq!(orders.env[OsStr::new("TERM")], "xterm-256color");
        assert!(orders.terminal && orders.env_files.is_some());
    }

    #[test]
    fn root_is_never_the_user_of_a_terminal_for_the_user() {
        assert!(of_user(&session(Some(0)), "/bin/sh", 0).is_err());
        assert!(of_user(&session(None), "/bin/sh", 0).is_err());
        assert_eq!(of_user(&session(Some(7)), "/bin/sh", 7).unwrap().identity, None);
    }

    #[test]
    fn a_shell_of_root_takes_nothing_that_the_user_can_write() {
        let orders = orders(&session(Some(1000)), TerminalUser::Root).unwrap();
        let names: Vec<_> = orders.env.keys().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["COLORTERM", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER"]);
        assert!(orders.env.values().all(|value| !value.to_str().unwrap().contains("/home")));
        assert_eq!((orders.env_files, orders.identity), (None, None));
        assert_eq!((orders.argv, orders.cwd), (vec![shell().to_owned()], "/root".into()));
    }
}
