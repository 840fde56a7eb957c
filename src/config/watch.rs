//! Notices that somebody changed the configuration, or other files that are read again when they change.
//!
//! The kernel tells (inotify), nothing is polled. Editors write a file in several steps, so a change counts when it
//! has been quiet for a moment.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long nothing must happen for a change to be whole.
const QUIET: Duration = Duration::from_millis(300);

/// A watch over a few folders and files.
pub struct Watch {
    /// What is watched, as far as it is there.
    places: Vec<PathBuf>,
    changes: mpsc::Receiver<()>,
    /// When the change that is going on counts as over.
    over: Option<Instant>,
    /// It is needed until the program ends, and its destructor panics where its thread could not be started.
    watcher: ManuallyDrop<RecommendedWatcher>,
}

impl Watch {
    /// Watches the configuration in `dir` and its `services`. The error says why changes will not be noticed.
    pub fn new(dir: &Path) -> Result<Self, String> {
        Self::over(vec![dir.to_owned(), dir.join("services")], is_ours)
    }

    /// Watches `places` for changes of files for which `matters` holds. The error says why they will not be noticed.
    pub fn over(
        places: Vec<PathBuf>,
        matters: impl Fn(&Path) -> bool + Send + 'static,
    ) -> Result<Self, String> {
        // One place is enough: a second change before the first was read is the same news.
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

    /// Watches what is there now: folders and files come and go.
    pub fn look(&mut self) -> Result<(), String> {
        for place in self.places.iter().filter(|place| place.exists()) {
            // It panics where its thread could not be started.
            let watched = catch_unwind(AssertUnwindSafe(|| {
                self.watcher.watch(place, RecursiveMode::NonRecursive).map_err(|error| error.to_string())
            }));
            watched
                .unwrap_or_else(|_| Err("no thread for it could be started".to_owned()))
                .map_err(|error| format!("{}: {error}", place.display()))?;
        }
        Ok(())
    }

    /// Waits for a change to be over. May be dropped and called again: a change that began is not forgotten.
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
}

/// Editors' own files are nobody's configuration; a folder may be `services` itself.
fn is_ours(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_none_or(|ending| ending == "toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_noticed_once_and_what_is_not_ours_is_not() {
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
        // Whoever waits is called away again and again.
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
