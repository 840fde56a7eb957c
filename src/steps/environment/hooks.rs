//! Adds the lines by which shells read our files. Our image has them already; in other images they are added here.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::clock::replace_link;
use super::files::{Places, replace};
use crate::sys::read;

/// The first line of the file that bash reads: the lines that follow in it apply only to interactive shells.
const LINE: &str = "[ -r /etc/profile.d/desktopd.sh ] && . /etc/profile.d/desktopd.sh";

/// Makes login shells and bash read the script.
pub(super) fn install(places: &Places) {
    let told = |what: &Path, result: io::Result<()>| {
        if let Err(error) = result {
            eprintln!("{}: {error}; shells do not see the desktop's environment", what.display());
        }
    };
    let link = places.etc.join("profile.d/desktopd.sh");
    if !link.exists() {
        let made = fs::create_dir_all(places.etc.join("profile.d"));
        told(&link, made.and_then(|()| replace_link(&link, &places.script)));
    }
    let file = places.etc.join("bash.bashrc");
    match read::bytes(&file, read::BY_HAND) {
        Ok(text) if !contains(&text, LINE) => {
            let mode = fs::metadata(&file).map_or(0o644, |found| found.permissions().mode() & 0o777);
            told(&file, replace(&file, &[LINE.as_bytes(), b"\n\n", &text].concat(), mode, None));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            told(&file, replace(&file, format!("{LINE}\n").as_bytes(), 0o644, None));
        }
        Ok(_) => {}
        Err(error) => told(&file, Err(error)),
    }
}

fn contains(text: &[u8], line: &str) -> bool {
    text.split(|byte| *byte == b'\n').any(|found| found == line.as_bytes())
}
