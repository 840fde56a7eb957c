//! The command `env-store`: root stores variables in `/etc/environment`, for all users; the desktop's user stores them
//! in a file of its own, for its own shells and services.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;

use nix::unistd::Uid;

use crate::config::Config;
use crate::config::env::{is_own_secret, looks_secret};
use crate::config::places::USER_VARIABLES;
use crate::steps;
use crate::sys::env_file::is_name;
use crate::sys::print;

use super::{Failure, code};

/// Runs the command.
pub(super) fn store(config: &Config, variables: &[OsString]) -> Result<(), Failure> {
    let mut wanted = Vec::new();
    for word in variables {
        wanted.push(variable(config, word)?);
    }
    let root = Uid::effective().is_root();
    for (name, value) in wanted {
        if root {
            steps::store(&config.places.state, name, &value).map_err(|error| {
                let for_root = error.kind() == ErrorKind::PermissionDenied;
                Failure { for_root, ..Failure::of(format!("/etc/environment: {error}")) }
            })?;
        } else {
            own(name, &value)?;
        }
        let name = name.display();
        let shown = if looks_secret(&name.to_string()) { "******".into() } else { value.to_string_lossy() };
        print::out(&format!("Stored environment variable '{name}': {shown}\n"))?;
    }
    if !root {
        print::out("for your own shells, and for your services when they are restarted\n")?;
    }
    Ok(())
}

/// The desktop's user has a file of its own; other users have none.
fn own(name: &OsStr, value: &OsStr) -> Result<(), Failure> {
    let stored = steps::store_own(USER_VARIABLES.as_ref(), &[(name.to_owned(), value.to_owned())]);
    stored.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => {
                "only root and the desktop's user can store variables here".to_owned()
            }
            _ => format!("{USER_VARIABLES}: {error}"),
        };
        Failure::of(why)
    })
}

/// Parses `NAME=value`, or a name whose value is taken from this process's environment.
fn variable<'a>(config: &Config, word: &'a OsStr) -> Result<(&'a OsStr, OsString), Failure> {
    let bytes = word.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
        None => (bytes, None),
    };
    let name = OsStr::from_bytes(name);
    let shown = name.display();
    if !is_name(name) {
        let why = "a name has letters, digits and underscores, and does not begin with a digit";
        return Err(Failure::new(code::USAGE, format!("'{shown}' is not the name of a variable: {why}")));
    }
    if is_own_secret(&shown.to_string()) {
        let why = "it is a secret of desktopd, and other users than root can read that file";
        return Err(Failure::of(format!("{shown} is not stored in /etc/environment: {why}")));
    }
    let value = value.or_else(|| config.env.raw.get(name).cloned());
    let unset = || Failure::of(format!("{shown} is not set here; give it as {shown}=VALUE"));
    Ok((name, value.ok_or_else(unset)?))
}
