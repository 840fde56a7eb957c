//! The space of the file systems: that of the container, and that of the workspace if it is another one.
//!
//! `statvfs` on a dead network volume does not return, so each file system is asked on a thread of its own. While it does
//! not answer, the last figures are marked.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

use super::aside::Aside;
use super::sample::Disk;

/// How long the first answer is waited for.
const MOMENT: Duration = Duration::from_millis(100);

/// The age at which figures are marked: several questions had no answer.
const STALE: Duration = Duration::from_millis(3500);

/// What a file system answers.
#[derive(Clone, Copy, Debug)]
struct Space {
    device: u64,
    used: u64,
    total: u64,
    available: u64,
}

/// The file systems.
pub(super) struct Disks(Vec<(PathBuf, Aside<Option<Space>>)>);

impl Disks {
    /// That of `/` and that of the workspace, if there is one.
    pub(super) fn new(workspace: Option<&Path>) -> Self {
        let folders = [Some(Path::new("/")), workspace.filter(|folder| *folder != Path::new("/"))];
        Self(folders.into_iter().flatten().map(|folder| (folder.to_owned(), Aside::default())).collect())
    }

    /// Asks again, and returns the last answers.
    pub(super) fn read(&self, now: Instant) -> Vec<Disk> {
        for (folder, aside) in &self.0 {
            let folder = folder.clone();
            aside.ask(move || space(&folder));
        }
        let mut disks = Vec::new();
        let mut first = None;
        for (folder, aside) in &self.0 {
            let Some((Some(space), age)) = aside.last(now, MOMENT) else { continue };
            if first == Some(space.device) {
                continue;
            }
            first.get_or_insert(space.device);
            disks.push(Disk {
                path: folder.display().to_string(),
                used_bytes: space.used,
                total_bytes: space.total,
                available_bytes: space.available,
                stale: age > STALE,
            });
        }
        disks
    }
}

/// The space at a folder, or at the nearest one above that exists.
fn space(folder: &Path) -> Option<Space> {
    let folder = folder.ancestors().find(|folder| folder.exists())?;
    let place = statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(place.fragment_size());
    Some(Space {
        device: folder.metadata().ok()?.dev(),
        used: bytes(place.blocks().saturating_sub(place.blocks_free())),
        total: bytes(place.blocks()),
        available: bytes(place.blocks_available()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_on_the_same_file_system_is_not_shown_twice() {
        let now = Instant::now();
        let paths = |workspace: Option<&str>| {
            let disks = Disks::new(workspace.map(Path::new)).read(now);
            disks.into_iter().map(|disk| disk.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(None), ["/"]);
        assert_eq!(paths(Some("/")), ["/"]);
        assert_eq!(paths(Some("/no/such/folder")), ["/"]);
        // A file system of another kind, which every machine has.
        assert_eq!(paths(Some("/dev/shm")), ["/", "/dev/shm"]);
        let disk = Disks::new(None).read(now).remove(0);
        assert!(
            disk.used_bytes > 0 && disk.used_bytes + disk.available_bytes <= disk.total_bytes && !disk.stale
        );
    }

    #[test]
    fn old_figures_are_marked() {
        let disks = Disks::new(None);
        disks.read(Instant::now());
        let later = Instant::now() + STALE * 2;
        assert!(disks.read(later)[0].stale);
    }
}
