//! The task that collects the signs of lost GPUs: events of `/dev`, glances when the machine is used, errors of NVML.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::losses::Sign;
use crate::facts::gpu::ask::Questions;
use crate::facts::gpu::glance::{Seen, Watched};
use crate::facts::gpu::xids::{Heard, Xids};
use crate::observe::looks::LookReader;
use crate::sys;
use crate::sys::nodes::NodeWatch;
use crate::sys::reaper::Reaper;

/// How long a glance may take: a look into `/sys` waits for a kernel that removes a device.
const LIMIT: Duration = Duration::from_secs(2);

/// How often a child that ended is started again for the same GPU, at the next use of the machine.
const ATTEMPTS: u32 = 3;

/// How many signs may wait.
const ROOM: usize = 16;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    pub(super) gpus: Vec<Watched>,
    /// The PCI address of the GPU of NVIDIA's that draws the desktop.
    pub(super) draws: Option<String>,
    /// The surroundings for NVML's child.
    pub(super) questions: Questions,
}

/// Starts the task. It ends with the sender of the targets.
pub(super) fn spawn(reaper: Reaper, looks: LookReader) -> (watch::Sender<Targets>, mpsc::Receiver<Sign>) {
    let ((sender, targets), (signs, receiver)) = (watch::channel(Targets::default()), mpsc::channel(ROOM));
    let watcher = Watcher {
        reaper,
        looks,
        targets,
        signs,
        watched: BTreeSet::new(),
        nodes: None,
        draws: None,
        xids: None,
        attempts: 0,
    };
    tokio::spawn(watcher.run());
    (sender, receiver)
}

struct Watcher {
    reaper: Reaper,
    looks: LookReader,
    targets: watch::Receiver<Targets>,
    signs: mpsc::Sender<Sign>,
    /// The nodes that `nodes` watches.
    watched: BTreeSet<PathBuf>,
    nodes: Option<NodeWatch>,
    /// The address of the GPU whose errors are waited for.
    draws: Option<String>,
    xids: Option<Xids>,
    /// How often NVML's child was started for this GPU.
    attempts: u32,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let has_gpus = !self.watched.is_empty();
            tokio::select! {
                changed = self.targets.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.aim();
                    self.glance().await;
                }
                _ = NodeWatch::changed_in(&mut self.nodes) => self.glance().await,
                () = self.looks.next(), if has_gpus => {
                    self.listen();
                    self.glance().await;
                }
                heard = Xids::next_of(&mut self.xids) => self.heard(heard).await,
            }
        }
    }

    /// Watches other GPUs from now on.
    fn aim(&mut self) {
        let Targets { gpus, draws, .. } = self.targets.borrow_and_update().clone();
        let nodes = nodes(&gpus);
        if nodes != self.watched {
            // Without a GPU there is nothing to watch.
            let watch = (!nodes.is_empty()).then(|| NodeWatch::new(nodes.clone()));
            self.nodes = watch.and_then(|watch| {
                watch
                    .inspect_err(|error| tracing::warn!("a GPU that vanishes may go unnoticed: {error}"))
                    .ok()
            });
            self.watched = nodes;
        }
        if draws != self.draws {
            (self.draws, self.xids, self.attempts) = (draws, None, 0);
            self.listen();
        }
    }

    /// Has NVML's child wait for errors, unless one does or too many have ended.
    fn listen(&mut self) {
        if let (Some(address), None, ..ATTEMPTS) = (&self.draws, &self.xids, self.attempts) {
            self.attempts += 1;
            let questions = self.targets.borrow().questions.clone();
            self.xids = Some(Xids::watch(self.reaper.clone(), questions, address.clone()));
        }
    }

    async fn glance(&mut self) {
        let gpus = self.targets.borrow().gpus.clone();
        let looked = sys::run_on_thread_within(LIMIT, move || {
            let seen = Seen::look(&gpus);
            gpus.into_iter().zip(seen).collect()
        });
        match looked.await {
            Ok(seen) => self.tell(Sign::Seen(seen)).await,
            Err(error) => tracing::debug!("looking at the GPUs: {error}"),
        }
    }

    async fn heard(&mut self, heard: Heard) {
        let Some(address) = self.draws.clone() else { return };
        match heard {
            Heard::Xid(number) => self.tell(Sign::Xid(address, number)).await,
            Heard::Ended(reason) => {
                tracing::debug!("errors of the GPU {address} may go unnoticed: {reason}");
                self.xids = None;
                self.tell(Sign::Silent(address, reason)).await;
            }
        }
    }

    async fn tell(&self, sign: Sign) {
        // Without a receiver the daemon is ending.
        let _ = self.signs.send(sign).await;
    }
}

/// The device nodes of these GPUs.
fn nodes(gpus: &[Watched]) -> BTreeSet<PathBuf> {
    gpus.iter().flat_map(|gpu| &gpu.nodes).map(PathBuf::from).collect()
}
