//! Watches the configuration, and other files that are read again when they change.
//!
//! The kernel reports changes (inotify); nothing is polled. Editors write a file in several steps, so a change counts
//! as complete after a short time without further events.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long no event must come for a change to be complete.
const QUIET: Duration = Duration::from_millis(300);

/// A watch over a few folders and files.
pub struct Watch {
    /// The watched paths; some may not exist.
    places: Vec<PathBuf>,
    changes: mpsc::Receiver<()>,
    /// When the current change counts as complete.
    over: Option<Instant>,
    /// Needed until the program ends, and its destructor panics if its thread could not be started.
    watcher: ManuallyDrop<RecommendedWatcher>,
}

impl Watch {
    /// Watches the configuration in `dir` and its `services`. The error says why changes will not be noticed.
    pub fn new(dir: &Path) -> Result<Self, String> {
        Self::over(vec![dir.to_owned(), dir.join("services")], is_ours)
    }

    /// Watches `places` for changes of files for which `matters` returns true. The error says why changes will not be
    /// noticed.
    pub fn over(
        places: Vec<PathBuf>,
        matters: impl Fn(&Path) -> bool + Send + 'static,
    ) -> Result<Self, String> {
        // A capacity of one is enough: a second event before the first was read adds no information.
        let (sender, changes) = mpsc::channel(1);
        let heard = move |event: notify::Result<notify::Event>| {
            let matters = event.is_ok_and(|event| {
                !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| matters(path))
            });
            if matters {
                let _ = sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(heard).map_err(|error| {
            let first = places.first().map(|place| place.display().to_string()).unwrap_or_default();
            format!("{first}: {error}")
        })?;
        let watcher = ManuallyDrop::new(watcher);
        let mut watch = Self { places, changes, over: None, watcher };
        watch.look()?;
        Ok(watch)
    }

    /// Watches the paths that exist now: folders and files may be created and removed.
    pub fn look(&mut self) -> Result<(), String> {
        for place in self.places.iter().filter(|place| place.exists()) {
            // `watch` panics if the watcher's thread could not be started.
            let watched = catch_unwind(AssertUnwindSafe(|| {
                self.watcher.watch(place, RecursiveMode::NonRecursive).map_err(|error| error.to_string())
            }));
            watched
                .unwrap_or_else(|_| Err("no thread for it could be started".to_owned()))
                .map_err(|error| format!("{}: {error}", place.display()))?;
        }
        Ok(())
    }

    /// Waits until a change is complete. The future may be dropped and called again: a change that has begun is not
    /// lost.
    pub async fn changed(&mut self) {
        loop {
            let quiet = async {
                match self.over {
                    Some(over) => tokio::time::sleep_until(over).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = self.changes.recv() => match change {
                    Some(()) => self.over = Some(Instant::now() + QUIET),
                    None => return std::future::pending().await,
                },
                () = quiet => {
                    self.over = None;
                    return;
                }
            }
        }
    }

    /// The same for a watch that may not work here; without it, no change is ever seen.
    pub async fn changed_in(watch: &mut Option<Self>) {
        match watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether a path is part of the configuration. Editors' own files are not; a folder may be `services` itself.
fn is_ours(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_none_or(|ending| ending == "toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn change_is_reported_once_and_other_files_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let services = dir.path().join("services");
        std::fs::create_dir(&services).unwrap();
        let mut watch = Watch::new(dir.path()).unwrap();
        let soon = Duration::from_secs(1);
        std::fs::write(services.join(".x.toml.swp"), "").unwrap();
        std::fs::write(services.join("x.toml~"), "").unwrap();
        assert!(tokio::time::timeout(soon, watch.changed()).await.is_err());
        for n in 0..5 {
            std::fs::write(services.join("x.toml"), n.to_string()).unwrap();
        }
        // The waiting future is dropped again and again.
        let mut looks = 0;
        while tokio::time::timeout(QUIET / 10, watch.changed()).await.is_err() {
            looks += 1;
            assert!(looks < 50, "the change was forgotten");
        }
        assert!(tokio::time::timeout(soon, watch.changed()).await.is_err());
        std::fs::remove_file(services.join("x.toml")).unwrap();
        tokio::time::timeout(soon, watch.changed()).await.expect("a removal");
    }
}
