//! Notices that somebody changed the configuration.
//!
//! The kernel tells (inotify), nothing is polled. Editors write a file in several steps, so a change counts when it
//! has been quiet for a moment.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// How long nothing must happen for a change to be whole.
const QUIET: Duration = Duration::from_millis(300);

/// What changes a file or the list of files; a look at them does not.
const CHANGES: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MOVE_SELF);

/// A watch over one folder and its `services`. It needs no thread: one that could not be started must not be in the way
/// of a reload.
pub struct Watch {
    dir: PathBuf,
    /// What the kernel tells; read like a pipe, which it is not.
    events: pipe::Receiver,
    /// When the change that is going on counts as over.
    over: Option<Instant>,
}

impl Watch {
    /// Watches `dir`; must be called within a runtime. The error says why changes will not be noticed.
    pub fn new(dir: &Path) -> Result<Self, String> {
        let made = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(io::Error::from);
        let events = made.and_then(|fd| pipe::Receiver::from_file_unchecked(fd.into()));
        let events = events.map_err(|error| format!("{}: {error}", dir.display()))?;
        let watch = Self { dir: dir.to_owned(), events, over: None };
        watch.look()?;
        Ok(watch)
    }

    /// Watches the folders that are there now: they come and go.
    pub fn look(&self) -> Result<(), String> {
        let folders: [PathBuf; 2] = [self.dir.clone(), self.dir.join("services")];
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            inotify::add_watch(&self.events, folder, CHANGES)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(())
    }

    /// Waits until something happens to our files.
    async fn next(&mut self) -> io::Result<()> {
        let mut space = [0; 4096];
        loop {
            let length = self.events.read(&mut space).await?;
            let mut ours = is_about_ours(&space[..length]);
            // The runtime takes less than a full buffer for the end, and these come in whole pieces only.
            while let Ok(length @ 1..) = rustix::io::read(&self.events, &mut space) {
                ours |= is_about_ours(&space[..length]);
            }
            if ours {
                return Ok(());
            }
        }
    }

    /// Waits for a change to be over. May be dropped and called again: a change that began is not forgotten.
    pub async fn changed(&mut self) {
        loop {
            let over = self.over;
            let quiet = async move {
                match over {
                    Some(over) => tokio::time::sleep_until(over).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = self.next() => match change {
                    Ok(()) => self.over = Some(Instant::now() + QUIET),
                    Err(_) => return std::future::pending().await,
                },
                () = quiet => {
                    self.over = None;
                    return;
                }
            }
        }
    }
}

/// Whether any of these events, as the kernel writes them, is about our files: watch, mask, cookie, length of the name,
/// name.
fn is_about_ours(mut events: &[u8]) -> bool {
    let field =
        |head: &[u8; 16], at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    while let Some((head, rest)) = events.split_first_chunk::<16>() {
        let (name, others) = rest.split_at((field(head, 12) as usize).min(rest.len()));
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let told = !ReadFlags::from_bits_retain(field(head, 4)).contains(ReadFlags::IGNORED);
        // Without a name it is the folder itself, or more than the kernel could keep.
        if told && is_ours(Path::new(OsStr::from_bytes(name))) {
            return true;
        }
        events = others;
    }
    false
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
