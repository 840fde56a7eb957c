//! The folder with the driver's libraries, and the loader's configuration for it.
//!
//! New libraries are unpacked in a folder of their own. The file with the version is removed first and written last, so
//! a step that is killed leaves nothing that counts as a driver.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::facts::gpu::brought::{FOLDER, LIBRARIES, VERSION};
use crate::steps::command;
use crate::sys::error::unless_missing;
use crate::sys::read;
use crate::sys::replace::replace;

use super::unpack::in_words;

/// Names the folders to the loader, after those of NVIDIA's container toolkit: what the host gives comes first.
const CONFIGURATION: &str = "etc/ld.so.conf.d/zz-nvidia-drivers.conf";

/// The folders of libraries.
const FOLDERS: [&str; 2] = [LIBRARIES, "lib32"];

/// Where new libraries are unpacked.
const UNFINISHED: &str = "unfinished";

/// The program that makes the loader's list. `PATH` of a user may not have its folder.
const LDCONFIG: &str = "/sbin/ldconfig";

/// How long `ldconfig` may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The driver's folder on the machine below `root`.
pub(super) struct Installed<'a> {
    pub(super) root: &'a Path,
}

impl Installed<'_> {
    fn folder(&self) -> PathBuf {
        self.root.join(FOLDER.trim_start_matches('/'))
    }

    /// The version of the libraries that are there.
    pub(super) fn version(&self) -> Option<String> {
        let text = read::text(&self.folder().join(VERSION), read::BY_HAND).ok()?;
        Some(text.trim().to_owned())
    }

    /// Whether a library or a module of Xorg's is there.
    pub(super) fn has(&self, name: &str) -> bool {
        let libraries = self.folder().join(LIBRARIES);
        let modules = libraries.join("xorg/modules");
        [libraries, modules.join("drivers"), modules.join("extensions")]
            .iter()
            .any(|folder| folder.join(name).is_file())
    }

    /// An empty folder for new libraries. Old ones are removed: the loader would find them, and what the loader finds is
    /// not unpacked.
    pub(super) fn begin(&self) -> Result<PathBuf, String> {
        let unfinished = self.folder().join(UNFINISHED);
        self.remove()
            .and_then(|()| fs::remove_dir_all(&unfinished).or_else(unless_missing))
            .and_then(|()| fs::create_dir_all(&unfinished))
            .map_err(|error| format!("{}: {}", unfinished.display(), in_words(&error, FOLDER)))?;
        Ok(unfinished)
    }

    /// Removes what an unpacking that failed has left.
    pub(super) fn abandon(&self) {
        let _ = fs::remove_dir_all(self.folder().join(UNFINISHED));
    }

    /// Removes the libraries: they are of another driver.
    pub(super) fn remove(&self) -> io::Result<()> {
        let folder = self.folder();
        fs::remove_file(folder.join(VERSION)).or_else(unless_missing)?;
        FOLDERS.iter().try_for_each(|name| fs::remove_dir_all(folder.join(name)).or_else(unless_missing))
    }

    /// Puts what was unpacked in its place, and makes it known to the loader.
    pub(super) fn finish(&self, version: &str) -> Result<(), String> {
        let folder = self.folder();
        let told = |error: io::Error| format!("{}: {}", folder.display(), in_words(&error, FOLDER));
        self.remove().map_err(told)?;
        let mut named = Vec::new();
        for name in FOLDERS {
            match fs::rename(folder.join(UNFINISHED).join(name), folder.join(name)) {
                Ok(()) => named.push(format!("{FOLDER}/{name}\n")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(told(error)),
            }
        }
        self.abandon();
        self.configure(&named.concat())?;
        replace(&folder.join(VERSION), format!("{version}\n").as_bytes(), 0o644).map_err(told)
    }

    /// Names the folders to the loader. `ldconfig` also makes the links from the names that programs ask for.
    fn configure(&self, folders: &str) -> Result<(), String> {
        let file = self.root.join(CONFIGURATION);
        let written = file.parent().map_or(Ok(()), fs::create_dir_all);
        written
            .and_then(|()| replace(&file, folders.as_bytes(), 0o644))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let mut ldconfig = command::program(LDCONFIG);
        if self.root != Path::new("/") {
            // Another root: only the links.
            let folders = FOLDERS.map(|name| self.folder().join(name));
            ldconfig.arg("-n").args(folders.iter().filter(|folder| folder.is_dir()));
        }
        command::run(&mut ldconfig, PATIENCE).map_err(|error| format!("{LDCONFIG}: {error}"))
    }

    /// Names the folders again where the configuration has lost them, in a container that has `/opt` from a volume, for
    /// example. Returns whether that was so.
    pub(super) fn ensure_configured(&self) -> Result<bool, String> {
        let there = FOLDERS.iter().filter(|name| self.folder().join(name).is_dir());
        let folders = there.map(|name| format!("{FOLDER}/{name}\n")).collect::<Vec<_>>().concat();
        match read::text(&self.root.join(CONFIGURATION), read::BY_HAND) {
            Ok(text) if text == folders => Ok(false),
            _ => self.configure(&folders).map(|()| true),
        }
    }
}
