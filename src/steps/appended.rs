//! Supports `>> /opt/ai-dock/etc/environment.sh`, as scripts for ai-dock's images do while the desktop's user
//! provisions the machine. While such a script runs, the file is replaced by a copy that the user may write. Afterwards
//! root's file is put back, and variables in the added lines become the user's own variables; other commands are
//! reported and left out.
//!
//! Scripts that root runs read that file, so it must not stay writable for the user. Hooks are over before provisioning
//! begins. If the container ends meanwhile, the file is restored at the next start before any script runs.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::environment::own;
use crate::config::Environment;
use crate::config::env::is_own_secret;
use crate::config::places::USER_VARIABLES;
use crate::sys::env_file::parse_with;
use crate::sys::error::unless_missing;
use crate::sys::read;

/// The file that scripts append to.
const PLACE: &str = "/opt/ai-dock/etc/environment.sh";

/// Variables in their order in the file.
type Added = Vec<(OsString, OsString)>;

/// More than a script writes. Bytes.
const LONGEST: u64 = 1 << 20;

/// Lets `owner` write to the file until [`collect`] is called, if `owner` is the user with variables of its own here.
pub(super) fn open(owner: (u32, u32)) {
    if own::owner(USER_VARIABLES.as_ref()) != Some(owner.0) || !Path::new(PLACE).exists() {
        return;
    }
    // A step that was killed has left the file open.
    for told in collect() {
        println!("{told}");
    }
    if let Err(error) = lend(PLACE.as_ref(), owner) {
        eprintln!("{PLACE}: {error}; only root can write there, and env-store works");
    }
}

/// Puts root's file back, and stores the added variables as the user's own. Returns messages about it.
pub fn collect() -> Vec<String> {
    let place = Path::new(PLACE);
    if !kept(place).exists() {
        return Vec::new();
    }
    let (variables, mut told) = match take_back(place) {
        Ok(found) => found,
        Err(error) => return vec![format!("{PLACE}: {error}")],
    };
    if variables.is_empty() {
        return told;
    }
    let names: Vec<String> = variables.iter().map(|(name, _)| name.display().to_string()).collect();
    let names = names.join(", ");
    told.push(match own::store(USER_VARIABLES.as_ref(), &variables) {
        Ok(()) => format!("{PLACE}: {names}: stored for the user's own shells and services"),
        Err(error) => format!("{PLACE}: {names}: {USER_VARIABLES}: {error}"),
    });
    told
}

/// Where root's file is meanwhile.
fn kept(place: &Path) -> PathBuf {
    place.with_file_name(".environment.sh.root")
}

fn lend(place: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    let text = read::bytes(place, LONGEST)?;
    let kept = kept(place);
    if kept.exists() {
        // Then the file at `place` is not root's, and must not replace root's file.
        return Err(io::Error::other(format!("{} is there already", kept.display())));
    }
    fs::rename(place, &kept)?;
    let lent = || {
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o644).open(place)?;
        copy.write_all(&text)?;
        fchown(&copy, Some(uid), Some(gid))
    };
    lent().inspect_err(|_| {
        let _ = fs::rename(&kept, place);
    })
}

/// The variables that were added, and messages about the other lines.
fn take_back(place: &Path) -> io::Result<(Added, Vec<String>)> {
    let kept = kept(place);
    let (root, lent) = (read::bytes(&kept, LONGEST)?, lent(place));
    fs::rename(&kept, place)?;
    let lent = lent?;
    let environment = Environment::inherited();
    let added = lent.strip_prefix(&root[..]).unwrap_or(&lent);
    let parsed = parse_with(added, |name| environment.get(name).cloned());
    let told =
        parsed.told.iter().map(|told| format!("{}: what was added, {told}; it is left out", place.display()));
    let told = told.collect();
    let ours = |name: &OsString| name.to_str().is_some_and(is_own_secret);
    Ok((parsed.variables.into_iter().filter(|(name, _)| !ours(name)).collect(), told))
}

/// The content that the user left there, which may be anything.
fn lent(file: &Path) -> io::Result<Vec<u8>> {
    read::open_itself(file).and_then(|file| read::all(file, LONGEST)).or_else(unless_missing)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn variables_that_a_script_adds_are_taken_out_of_the_file_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("environment.sh");
        let root = "#!/bin/bash\n. /etc/profile.d/desktopd.sh\n";
        let ids = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        fs::write(&place, root).unwrap();
        let first = inode(&place);
        for (added, expected, told) in [
            ("export A='b c'\nB=2\n", &[("A", "b c"), ("B", "2")][..], 0),
            ("", &[], 0),
            ("touch /tmp/x\nexport C=3\nWEB_PASSWORD=x\n", &[("C", "3")], 1),
        ] {
            lend(&place, ids).unwrap();
            assert_ne!(inode(&place), first);
            let mut file = OpenOptions::new().append(true).open(&place).unwrap();
            file.write_all(added.as_bytes()).unwrap();
            let (found, said) = take_back(&place).unwrap();
            let found: Vec<_> =
                found.iter().map(|(n, v)| (n.to_str().unwrap(), v.to_str().unwrap())).collect();
            assert_eq!((&found[..], said.len()), (expected, told), "{added}: {said:?}");
            assert_eq!((inode(&place), fs::read_to_string(&place).unwrap()), (first, root.to_owned()));
            assert!(!kept(&place).exists());
        }
        // A second lending would take the user's file for root's.
        lend(&place, ids).unwrap();
        lend(&place, ids).unwrap_err();
        // The script replaced or removed the file.
        fs::write(&place, "D=4\n").unwrap();
        assert_eq!(take_back(&place).unwrap().0, [("D".into(), "4".into())]);
        lend(&place, ids).unwrap();
        fs::remove_file(&place).unwrap();
        assert_eq!(take_back(&place).unwrap().0, []);
        assert_eq!(inode(&place), first);
    }
}
