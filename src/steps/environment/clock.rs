//! The machine's time zone, for programs that do not read `TZ`.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};

use super::files::{Places, replace};
use crate::sys::error::unless_missing;
use crate::sys::read;

/// Sets the machine's time zone to `zone`. An unknown zone is reported, and the machine's time zone stays
/// unchanged.
pub(super) fn set(places: &Places, zone: &str) {
    let name = zone.strip_prefix(':').unwrap_or(zone);
    let file = places.zones.join(name);
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || !file.is_file() {
        // A zone such as `CET-1CEST` needs no file; programs read it from TZ.
        if !name.contains(|c: char| c.is_ascii_digit()) {
            eprintln!(
                "TZ: \"{zone}\" is not a time zone; one is called Europe/Berlin, for example, and without one it is UTC"
            );
        }
        return;
    }
    let told = |what: &Path, result: io::Result<()>| {
        if let Err(error) = result {
            eprintln!("{}: {error}; programs have the time zone from TZ", what.display());
        }
    };
    let link = places.etc.join("localtime");
    // The same zone may have several names, so the contents are compared.
    if !read::bytes(&link, read::BY_HAND)
        .is_ok_and(|found| read::bytes(&file, read::BY_HAND).is_ok_and(|zone| found == zone))
    {
        told(&link, replace_link(&link, &file));
    }
    let text = places.etc.join("timezone");
    let content = format!("{name}\n");
    if read::text(&text, read::BY_HAND).ok().as_deref() != Some(&content) {
        told(&text, replace(&text, content.as_bytes(), 0o644, None));
    }
}

pub(super) fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    let new = link.with_extension("new");
    fs::remove_file(&new).or_else(unless_missing)?;
    symlink(target, &new)?;
    fs::rename(&new, link)
}
