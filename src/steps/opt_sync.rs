//! Folders of the container that live on the volume, so that what people install there is kept: those of `/opt` that
//! `OPT_SYNC` names, and Python environments. The older images' places and marks: their volumes are taken over. Where
//! anything goes wrong the container's own copy stays in use. Nothing of the desktop waits for it.

mod item;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::workspace::lock::Lock;
use super::workspace::volume::{Asked, Volume, be_root};
use super::workspace_files::sweep;
use item::{ASIDE, Item, Stand};

/// There while something moves; people's scripts look for it.
const BUSY: &str = "run/workspace_sync";

/// In the workspace: who moves, and what a copy is called until it is whole.
const LOCK: &str = ".desktopd-sync.lock";
const UNFINISHED: &str = ".desktopd-sync";

/// What of `/opt` is not people's to move: what the image is made of, and what root runs.
const OURS: [&str; 6] = ["ai-dock", "desktopd", "instance-tools", "selkies", "storage", "workspace-internal"];

/// Where Python environments are, and where they go.
const ENVIRONMENTS: [&str; 2] = ["venv", "opt/environments/python"];
const ENVIRONMENTS_THERE: &str = "environments/python";

/// What is to move.
pub(super) struct Sync<'a> {
    /// Where the container's files are.
    pub root: &'a Path,
    /// Names of folders in `/opt`, separated by colons.
    pub folders: &'a str,
    /// Whether Python environments are among them.
    pub environments: bool,
    /// How long another container may work on the volume.
    pub patience: Duration,
}

/// A file that is there for as long as this is.
struct Busy(PathBuf);

impl Busy {
    fn new(file: PathBuf) -> Self {
        // Scripts that look for it go on too early; nothing else needs it.
        if let Err(error) = File::create(&file) {
            eprintln!("{}: {error}", file.display());
        }
        Self(file)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Sync<'_> {
    /// Moves what is not on the volume yet, and uses what is. The error says what stayed where it is, and why.
    pub fn run(&self, asked: Asked<'_>) -> Result<(), String> {
        // Whoever was killed left it.
        let _ = fs::remove_file(self.root.join(BUSY));
        if self.folders.is_empty()
            && !(self.environments && ENVIRONMENTS.iter().any(|at| self.root.join(at).is_dir()))
        {
            return Ok(());
        }
        let volume = Volume::of(asked)?;
        let Some(kind) = &volume.kind else { return Ok(()) };
        let mut stay = Vec::new();
        let items = self.items(&volume.path, &mut stay);
        let mut stands = Vec::new();
        for item in items {
            match item.stand(&volume.path) {
                Ok(stand) => {
                    if stand == Stand::Done {
                        item.remark();
                    }
                    stands.push((item, stand));
                }
                Err(why) => stay.push(why),
            }
        }
        let _busy =
            stands.iter().any(|(_, stand)| *stand != Stand::Done).then(|| Busy::new(self.root.join(BUSY)));
        if stands.iter().any(|(_, stand)| *stand == Stand::Here)
            && let Err(why) = self.copy_all(&volume, kind, &stands, &mut stay)
        {
            stay.push(why);
        }
        be_root();
        for (item, _) in &stands {
            match item.stand(&volume.path) {
                Ok(Stand::There) => stay.extend(item.link().err()),
                Ok(Stand::Done) => item.tidy(),
                // Said already.
                Ok(Stand::Here) | Err(_) => {}
            }
        }
        if stay.is_empty() { Ok(()) } else { Err(stay.join("; ")) }
    }

    /// One container at a time copies; what another one copied meanwhile is there.
    fn copy_all(
        &self,
        volume: &Volume,
        kind: &str,
        stands: &[(Item, Stand)],
        stay: &mut Vec<String>,
    ) -> Result<(), String> {
        // No gigabytes are copied for a link that cannot be made.
        let place = self.root.join("opt");
        rustix::fs::access(&place, rustix::fs::Access::WRITE_OK)
            .map_err(|error| format!("{}: {error}: nothing can move from there", place.display()))?;
        let access = volume.try_out()?;
        let lock = Lock::take(&volume.path.join(LOCK), kind, self.patience)?;
        let names: Vec<OsString> =
            stands.iter().filter_map(|(item, _)| Some(item.target.file_name()?.to_owned())).collect();
        for folder in [volume.path.clone(), volume.path.join(ENVIRONMENTS_THERE)] {
            sweep(&folder, UNFINISHED, &names);
        }
        // rclone cannot read what is in a renamed folder until it has sent it away, and a link needs it at once.
        let renames = !kind.starts_with("fuse");
        for (item, _) in stands {
            if item.stand(&volume.path) == Ok(Stand::Here) {
                stay.extend(item.copy(access, &lock, renames).err());
            }
        }
        Ok(())
    }

    /// Everything that belongs on the volume, each place there once.
    fn items(&self, workspace: &Path, stay: &mut Vec<String>) -> Vec<Item> {
        let mut items: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        if self.environments {
            for folder in ENVIRONMENTS.map(|folder| self.root.join(folder)) {
                for name in environments(&folder) {
                    let (source, target) =
                        (folder.join(&name), workspace.join(ENVIRONMENTS_THERE).join(&name));
                    match items.get(&target) {
                        Some(first) => stay.push(format!(
                            "{} stays where it is: {} has its place on the volume, {}",
                            source.display(),
                            first.display(),
                            target.display()
                        )),
                        None => drop(items.insert(target, source)),
                    }
                }
            }
        }
        for name in self.folders.split(':').map(str::trim).filter(|name| !name.is_empty()) {
            if OURS.contains(&name) {
                stay.push(format!("OPT_SYNC: /opt/{name} belongs to the image and stays where it is"));
            } else if [".", ".."].contains(&name) || name.contains('/') {
                stay.push(format!("OPT_SYNC: \"{name}\" is not the name of a folder in /opt"));
            } else {
                items.insert(workspace.join(name), self.root.join("opt").join(name));
            }
        }
        // The inner ones first, where one holds another.
        let items = items.into_iter().rev();
        items.map(|(target, source)| Item { source, target }).collect()
    }
}

/// The names of the environments in a folder, also of one that is being replaced by a link.
fn environments(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let moved = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(ASIDE));
            match moved {
                Some(moved) => Some(moved.into()),
                None => entry.path().join("pyvenv.cfg").is_file().then_some(name),
            }
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
