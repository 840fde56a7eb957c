//! Watches device nodes: the host may take a GPU away from a running container.
//!
//! The kernel reports entries that are made and removed in the nodes' folders, and nothing else: programs write to
//! `/dev/null` all the time, and nothing must wake up because of that.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// Bytes of events that are read at once.
const BUFFER: usize = 4096;

/// A watch of nodes that exist.
pub struct NodeWatch {
    nodes: BTreeSet<PathBuf>,
    events: AsyncFd<OwnedFd>,
    /// The nodes that were missing at the last look.
    missing: Vec<PathBuf>,
}

impl NodeWatch {
    /// Watches `nodes`.
    pub fn new(nodes: BTreeSet<PathBuf>) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let change = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        let folders: BTreeSet<&Path> = nodes.iter().filter_map(|node| node.parent()).collect();
        for folder in folders {
            inotify::add_watch(&events, folder, change | WatchFlags::ONLYDIR)?;
        }
        #[expect(
            deprecated,
            reason = "sound here: no other code owns the descriptor, and it is open until it is dropped"
        )]
        let events = AsyncFd::new(events)?;
        Ok(Self { nodes, events, missing: Vec::new() })
    }

    /// Waits until a node has vanished or has come back, and returns the missing ones. Cancel-safe.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            let Ok(mut ready) = self.events.readable().await else {
                return std::future::pending().await;
            };
            let mut buffer = [MaybeUninit::uninit(); BUFFER];
            let mut reader = inotify::Reader::new(self.events.get_ref(), &mut buffer);
            while reader.next().is_ok() {}
            ready.clear_ready();
            let missing: Vec<PathBuf> =
                self.nodes.iter().filter(|node| node.symlink_metadata().is_err()).cloned().collect();
            if missing != self.missing {
                self.missing.clone_from(&missing);
                return missing;
            }
        }
    }

    /// The same for a watch that may not exist; without it, no change is ever seen.
    pub async fn changed_in(watch: &mut Option<Self>) -> Vec<PathBuf> {
        match watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_node_that_vanishes_or_comes_back_is_reported_and_writes_are_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dri")).unwrap();
        let nodes = ["nvidia0", "dri/card0"].map(|name| dir.path().join(name));
        for node in &nodes {
            fs::write(node, "").unwrap();
        }
        let mut watch = NodeWatch::new(nodes.iter().cloned().collect()).unwrap();
        let soon = Duration::from_millis(200);
        fs::write(&nodes[0], "x").unwrap();
        fs::write(dir.path().join("other"), "").unwrap();
        assert!(tokio::time::timeout(soon, watch.changed()).await.is_err());
        fs::remove_file(&nodes[1]).unwrap();
        assert_eq!(watch.changed().await, [nodes[1].clone()]);
        fs::rename(&nodes[0], dir.path().join("away")).unwrap();
        assert_eq!(watch.changed().await, [nodes[1].clone(), nodes[0].clone()]);
        fs::write(&nodes[1], "").unwrap();
        assert_eq!(watch.changed().await, [nodes[0].clone()]);
    }
}
