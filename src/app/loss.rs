//! GPUs that are lost while the daemon runs: noticed at the next use, shown everywhere, and asked about.
//!
//! A container loses a GPU in several ways, and no single sign shows all of them:
//!
//! | what happens | sign |
//! | --- | --- |
//! | the host removes a device node | the kernel's events of `/dev` (`sys/nodes.rs`) |
//! | `systemctl daemon-reload` on the host: the device rules no longer allow the nodes | a glance (`facts/gpu/glance.rs`) |
//! | the host unloads the driver, removes the device, or changes the mode of a node | a glance |
//! | an error of an NVIDIA GPU (Xid), or a GPU that has fallen off the bus | an event of NVML (`facts/gpu/xids.rs`) |
//! | anything else | the X server or the desktop ends (`fallback.rs`) |
//!
//! The first and the fourth sign are events. Nothing tells a container that its device rules changed, so there is a
//! glance when the machine is used or looked at (`observe/looks.rs`), at most once in five seconds and never at rest. A
//! glance costs some calls of the kernel and opens nothing.
//!
//! ```text
//! looks, events of /dev, NVML's child -> watcher.rs -> losses.rs (pure: what is lost) -> status, portal, log, events
//!                                                         |
//!                                                         v
//!                            the drivers are asked again, in the background -> plan -> reload.rs
//! ```
//!
//! Drivers are asked again because only drawing shows whether a GPU works. A GPU that draws a pixel is not lost, whatever
//! it reported before. Programs that had the GPU open when the rules changed go on, so a desktop that works stays where
//! it is; `desktopd restart x-server` moves it. One desktop is moved at once: that of Xorg on a GPU that NVML calls lost,
//! because its picture is frozen. What a lost GPU makes fail is not remembered for the next start: the remedy is a
//! restart.

mod losses;
mod watcher;
mod words;

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::facts::gpu::ask::{PATIENT, Questions, ask};
use crate::facts::gpu::{Answers, Gpus};
use crate::observe::Looks;
use crate::sys::reaper::Reaper;

pub(super) use losses::News;
use losses::{Losses, Sign};
use watcher::Targets;

/// How long after an answer the drivers are asked again, while a GPU is lost that only its driver knows to be lost, and
/// the machine is used: a GPU that was reset works again.
const AGAIN: Duration = Duration::from_secs(30);

/// Watches the GPUs.
pub(super) struct Loss {
    losses: Losses,
    reaper: Reaper,
    targets: watch::Sender<Targets>,
    signs: mpsc::Receiver<Sign>,
    /// The drivers' next answers.
    answers: Option<JoinHandle<Answers>>,
    /// When the drivers were asked last.
    asked: Option<Instant>,
}

/// What was noticed.
#[derive(Debug)]
pub(super) enum Noticed {
    /// What is lost may have changed.
    News(News),
    /// The drivers have answered again.
    Answers(Box<Answers>),
}

impl Loss {
    /// Watches nothing yet. Must be called within a runtime.
    pub(super) fn new(reaper: Reaper, looks: &Looks) -> Self {
        let (targets, signs) = watcher::spawn(reaper.clone(), looks.reader());
        Self { losses: Losses::default(), reaper, targets, signs, answers: None, asked: None }
    }

    /// Watches these GPUs as well. `draws` is the PCI address of the GPU of NVIDIA's that draws the desktop.
    pub(super) fn watch(&mut self, gpus: &Gpus, draws: Option<String>, questions: &Questions) {
        self.losses.know(gpus);
        let questions = questions.clone();
        let targets = Targets { gpus: self.losses.watched(), draws, questions };
        self.targets.send_if_modified(|known| {
            let is_new = (&known.gpus, &known.draws) != (&targets.gpus, &targets.draws);
            *known = targets;
            is_new
        });
    }

    /// Waits until something was noticed. Cancel-safe.
    pub(super) async fn next(&mut self) -> Noticed {
        tokio::select! {
            Some(sign) = self.signs.recv() => {
                let mut news = self.losses.take(sign);
                news.ask |= self.losses.is_of_driver() && self.asked.is_none_or(|at| at.elapsed() > AGAIN);
                Noticed::News(news)
            }
            answers = joined(&mut self.answers) => {
                self.answers = None;
                Noticed::Answers(Box::new(answers))
            }
        }
    }

    /// Has the drivers asked in the background, with much time. A question that runs already is not repeated.
    pub(super) fn ask(&mut self, questions: &Questions) {
        if self.answers.is_none() {
            let (reaper, questions) = (self.reaper.clone(), questions.clone());
            self.answers = Some(tokio::spawn(async move { ask(&reaper, &questions, PATIENT).await }));
            self.asked = Some(Instant::now());
        }
    }

    /// Judges by what the drivers have answered.
    pub(super) fn answered(&mut self, gpus: &Gpus, answers: &Answers) -> News {
        self.losses.answered(gpus, answers)
    }

    /// What is lost, one sentence a GPU.
    pub(super) fn sentences(&self) -> Vec<String> {
        self.losses.sentences()
    }

    /// Why the GPU at this address does not draw any more and will not again, if that is sure.
    pub(super) fn dead(&self, address: &str) -> Option<String> {
        self.losses.dead(address)
    }
}

/// The answers, once there are some. A question that failed has none.
async fn joined(answers: &mut Option<JoinHandle<Answers>>) -> Answers {
    match answers {
        Some(task) => task.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}
