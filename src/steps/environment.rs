//! Writes the environment of all shells: `/etc/environment`, which users may edit, and our own files that shells read.
//! The variables are those of this process; the plan collected them.
//!
//! `/etc/environment` keeps the edits of users. For each variable three values are known: that of the file, the value
//! we wrote there last, and the planned value. Only a variable whose value in the file is the one we wrote last is
//! changed.
//!
//! Files are replaced as a whole, so that a shell never reads half of a file. A file that cannot be written is
//! reported, and the rest is done: most of it works where `/etc` is read-only.

mod clock;
mod files;
mod hooks;
pub(super) mod own;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::config::Environment;
use crate::config::env::{OF_BASH, is_one_of, is_own_secret, is_unchosen};
use crate::sys::env_file::{Baseline, Raw, entries, is_name, line, lock, parse, parse_with, rewrite};
use crate::sys::error::unless_missing;
use crate::sys::read as read_file;

use files::{LONGEST, replace};

pub(super) use files::Places;

/// Writes all files. The desktop's group may read the files, except those for root only.
pub(super) fn run(places: &Places, (uid, gid): (u32, u32), zone: &str) -> Result<(), String> {
    let mut env = Environment::inherited();
    env.retain(|name, _| is_name(name) && !is_one_of(name, &[&OF_BASH]));
    let own = |name: &OsString| name.to_str().is_some_and(is_own_secret);
    let (secrets, planned): (Raw, Raw) = env.into_iter().partition(|(name, _)| own(name));
    let tell = |what: &Path, error: io::Error| eprintln!("{}: {error}", what.display());

    let machine = places.machine();
    let merged = machine_file(places, gid, &planned).unwrap_or_else(|error| {
        tell(&machine, error);
        planned
    });
    for name in merged.keys().filter(|name| own(name)) {
        let (file, name) = (machine.display(), name.display());
        eprintln!("{file}: {name} is a secret of desktopd's, and the desktop's user can read it there");
    }
    match own::make(&places.user, uid, gid) {
        // Without the file the user has no variables of its own, which is acceptable in a read-only container.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
        Err(error) => tell(&places.user, error),
        Ok(()) => {}
    }
    hooks::install(places);
    clock::set(places, zone);
    for (name, mode, variables) in
        [("environment.sh", 0o640, &merged), ("environment-root.sh", 0o600, &secrets)]
    {
        let file = places.run.join(name);
        let text: Vec<u8> = variables.iter().flat_map(|(name, value)| exported(name, value)).collect();
        replace(&file, &text, mode, Some(gid)).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// Stores a variable in `/etc/environment`, for all shells, and for services that are started from now on. `state` is
/// the daemon's own folder.
pub fn store(state: &Path, name: &OsStr, value: &OsStr) -> io::Result<()> {
    let file = Path::new("/etc/environment");
    let _lock = lock(state, FlockOperation::LockExclusive)?;
    let found = fs::metadata(file);
    let gid = found.as_ref().ok().map(std::os::unix::fs::MetadataExt::gid);
    let mode = found.map_or(0o640, |found| found.permissions().mode() & 0o777);
    let bytes = read(file)?;
    let wanted = BTreeMap::from([(name, Some(value.to_owned()))]);
    replace(file, &rewrite(&bytes, &parse(&bytes), &wanted), mode, gid)
}

/// Updates `/etc/environment`. Returns the variables that are in the file then.
fn machine_file(places: &Places, gid: u32, planned: &Raw) -> io::Result<Raw> {
    let file = places.machine();
    let lock = lock(places.written.parent().unwrap_or(Path::new("/")), FlockOperation::LockExclusive);
    let bytes = read(&file)?;
    let parsed = parse_with(&bytes, |name| planned.get(name).cloned());
    for mistake in &parsed.told {
        eprintln!("{}: {mistake}", file.display());
    }
    let mut baseline = Baseline::read(&places.written, &places.noted);
    let found: Raw = parsed.variables.iter().cloned().collect();
    // The noted values are the text of the file, before references to other variables were replaced.
    let plain: Raw = parse(&bytes).variables.into_iter().collect();
    for (name, value) in baseline.noted.iter_mut().flatten() {
        if plain.get(name) == Some(&*value)
            && let Some(found) = found.get(name)
        {
            value.clone_from(found);
        }
    }
    let wanted = merge(&found, &baseline, planned);
    let text = rewrite(&bytes, &parsed, &wanted);
    let mut merged = found.clone();
    for (name, value) in wanted {
        match value {
            Some(value) => merged.insert(name.to_owned(), value),
            None => merged.remove(name),
        };
    }
    let head: &[u8] = if bytes.is_empty() { HEAD.as_bytes() } else { b"" };
    let done = lock.and_then(|_lock| {
        replace(&file, &[head, &text].concat(), 0o640, Some(gid))?;
        replace(&places.written, &entries(planned), 0o600, None)
    });
    if let Err(error) = done {
        eprintln!("{}: {error}; shells have it from elsewhere", file.display());
    }
    Ok(merged)
}

/// The changes to a file with the variables `found`, now that `planned` applies. `None` removes the variable.
fn merge<'a>(found: &Raw, baseline: &'a Baseline, planned: &'a Raw) -> BTreeMap<&'a OsStr, Option<OsString>> {
    let written = baseline.written.as_ref();
    let takes = |(name, value): &(&OsString, &OsString)| match found.get(*name) {
        // The user removed the variable; it is not added again unless its value has changed.
        None if written.is_some_and(|written| written.get(*name) != Some(*value)) => true,
        // A script that appends its whole environment also appends the image's own DISPLAY; that is no edit.
        Some(there) if is_unchosen(name, there) => true,
        there => !baseline.is_edit(name, there, || true),
    };
    let set = planned.iter().filter(takes).map(|(name, value)| (name.as_os_str(), Some(value.clone())));
    let gone = written
        .into_iter()
        .flatten()
        .filter(|(name, value)| !planned.contains_key(*name) && found.get(*name) == Some(*value));
    set.chain(gone.map(|(name, _)| (name.as_os_str(), None))).collect()
}

const HEAD: &str = "# The environment of all shells. What you change here stays: shells see it at once, services when\n\
    # they are restarted.\n";

fn exported(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [b"export ", &line(name, value)[..]].concat()
}

/// The content of a file that may be missing. Only regular files are read.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    read_file::bytes(file, LONGEST).or_else(unless_missing)
}

#[cfg(test)]
mod tests;
