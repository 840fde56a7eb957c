//! Moves folders of the container to the volume, so that software that users install there is kept: the folders of
//! `/opt` that `OPT_SYNC` names, and Python environments. Paths and markers are those of the older images, so that
//! their volumes work here. If anything fails, the container's own copy stays in use. No service of the desktop waits
//! for this step.

mod item;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::config::service::step::OptSync;
use crate::sys::read;

use super::report::tell;
use super::workspace::leftover::sweep;
use super::workspace::lock::Lock;
use super::workspace::volume::{Volume, be_root};
use item::{ASIDE, Item, MoveState, UNFINISHED};

/// Exists while folders are moved; users' scripts look for it.
const BUSY: &str = "run/workspace_sync";

/// In the workspace: the lock file of the moving container.
const LOCK: &str = ".desktopd-sync.lock";

/// In the workspace, for a moment: tells whether the volume takes symbolic links.
const PROBE: &str = ".desktopd-link";

/// Folders of `/opt` that cannot be moved: parts of the image, and programs that root runs.
const OURS: [&str; 6] = ["ai-dock", "desktopd", "instance-tools", "selkies", "storage", "workspace-internal"];

/// Where Python environments are in the container, and on the volume.
const ENVIRONMENTS: [&str; 2] = ["venv", "opt/environments/python"];
const ENVIRONMENTS_THERE: &str = "environments/python";

/// The folders to move.
pub(super) struct Sync<'a> {
    /// The root folder of the container's files.
    pub root: &'a Path,
    /// What to move.
    pub step: OptSync,
}

impl Sync<'_> {
    /// Moves the folders that are not on the volume yet, and links to those that are. The error lists what was not
    /// moved, and why.
    pub fn run(&self) -> Result<(), String> {
        // A run that was killed left this file behind.
        let busy = self.root.join(BUSY);
        let _ = fs::remove_file(&busy);
        if self.step.folders.is_empty()
            && !(self.step.environments && ENVIRONMENTS.iter().any(|at| self.root.join(at).is_dir()))
        {
            return Ok(());
        }
        let volume = Volume::of(&self.step.workspace)?;
        let Some(kind) = &volume.kind else { return Ok(()) };
        let mut stay = Vec::new();
        let mut states = Vec::new();
        for item in self.items(&volume.path, &mut stay) {
            match item.state(&volume.path) {
                Ok(state) => states.push((item, state)),
                Err(why) => stay.push(why),
            }
        }
        for (item, _) in states.iter().filter(|(_, state)| *state == MoveState::Done) {
            item.remark();
        }
        let most = states.iter().map(|(_, state)| *state).max().unwrap_or(MoveState::Done);
        if most > MoveState::Done {
            // On failure, scripts that look for the file continue too early; no other program needs it.
            tell(busy.display(), File::create(&busy).map(drop));
        }
        if most == MoveState::ToCopy
            && let Err(why) = self.copy_all(&volume, kind, &states, &mut stay)
        {
            stay.push(why);
        }
        be_root();
        for (item, _) in &states {
            match item.state(&volume.path) {
                Ok(MoveState::ToLink) => stay.extend(item.link().err()),
                Ok(MoveState::Done) => item.tidy(),
                // Reported already.
                Ok(MoveState::ToCopy) | Err(_) => {}
            }
        }
        let _ = fs::remove_file(&busy);
        if stay.is_empty() { Ok(()) } else { Err(stay.join("; ")) }
    }

    /// Copies folders, one container at a time; folders that another container copied meanwhile are skipped.
    fn copy_all(
        &self,
        volume: &Volume,
        kind: &str,
        states: &[(Item, MoveState)],
        stay: &mut Vec<String>,
    ) -> Result<(), String> {
        // Do not copy gigabytes if the link cannot be made afterwards.
        let place = self.root.join("opt");
        rustix::fs::access(&place, rustix::fs::Access::WRITE_OK)
            .map_err(|error| format!("{}: {error}: nothing can move from there", place.display()))?;
        let access = volume.try_out()?;
        let lock = Lock::take(&volume.path.join(LOCK), kind, self.step.wait)?;
        let names: Vec<OsString> =
            states.iter().filter_map(|(item, _)| Some(item.target.file_name()?.to_owned())).collect();
        for folder in [volume.path.clone(), volume.path.join(ENVIRONMENTS_THERE)] {
            sweep(&folder, UNFINISHED, &names);
        }
        // With rclone, files in a renamed folder cannot be read until they are uploaded, but the link needs them at
        // once.
        let renames = !kind.starts_with("fuse");
        let environments = volume.path.join(ENVIRONMENTS_THERE);
        let takes_links = can_link(&volume.path);
        for (item, _) in states {
            if item.state(&volume.path) != Ok(MoveState::ToCopy) {
                continue;
            }
            // The image has an environment, so this is no mistake of anyone's.
            if !takes_links && item.target.starts_with(&environments) {
                let (source, volume) = (item.source.display(), volume.path.display());
                println!(
                    "{source} stays where it is: {volume} takes no symbolic links, and an environment has some"
                );
                continue;
            }
            stay.extend(item.copy(access, &lock, renames).err());
        }
        Ok(())
    }

    /// All folders that belong on the volume, each target once.
    fn items(&self, workspace: &Path, stay: &mut Vec<String>) -> Vec<Item> {
        let mut items: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        if self.step.environments {
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
        for name in self.step.folders.split(':').map(str::trim).filter(|name| !name.is_empty()) {
            if OURS.contains(&name) {
                stay.push(format!("OPT_SYNC: /opt/{name} belongs to the image and stays where it is"));
            } else if [".", ".."].contains(&name) || name.contains('/') {
                stay.push(format!("OPT_SYNC: \"{name}\" is not the name of a folder in /opt"));
            } else {
                items.insert(workspace.join(name), self.root.join("opt").join(name));
            }
        }
        // Nested folders: the inner one first.
        let items = items.into_iter().rev();
        items.map(|(target, source)| Item { source, target }).collect()
    }
}

/// Whether a symbolic link can be made in a folder.
fn can_link(folder: &Path) -> bool {
    let link = folder.join(PROBE);
    let _ = fs::remove_file(&link);
    let made = symlink("nowhere", &link).is_ok();
    let _ = fs::remove_file(&link);
    made
}

/// The names of the environments in a folder, including one that is being replaced by a link.
fn environments(folder: &Path) -> BTreeSet<OsString> {
    let names = read::names(folder).into_iter().filter_map(|name| {
        let moved = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(ASIDE));
        match moved {
            Some(moved) => Some(moved.into()),
            None => folder.join(&name).join("pyvenv.cfg").is_file().then_some(name),
        }
    });
    names.collect()
}

#[cfg(test)]
mod tests;
