//! The errors that a GPU of NVIDIA's reports (Xid), as events: a child process waits for them in NVML.
//!
//! The kernel's log has these errors too, but a container can rarely read the log. NVML has no list of past errors, so
//! the child has to wait all the time; it sleeps in the kernel meanwhile. The child costs the memory of a process with
//! NVML, so it runs only while such a GPU draws the desktop.

use std::future::pending;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::answer;
use super::ask::{PATIENT, Questions};
use super::line::Line;
use crate::sys::reaper::Reaper;
use crate::sys::subcommands;
use crate::sys::subprocess::{self, Question};

/// The child has no time limit of its own once it waits. As long as no clock reaches.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How many errors may wait to be read. A GPU can report thousands, which say nothing new.
const MOST: usize = 64;

/// The library in reasons.
const LIBRARY: &str = "NVML's library";

/// What the child says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An error with this number.
    Xid(u64),
    /// No errors are waited for any more, for this reason. Nothing follows.
    Ended(String),
}

/// Waits for the errors of one GPU. When dropped, the child ends.
pub struct Xids {
    heard: mpsc::Receiver<Heard>,
    task: AbortHandle,
}

impl Drop for Xids {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Xids {
    /// Waits for the errors of the GPU at this PCI address. The questions have the surroundings for the child.
    pub fn watch(reaper: Reaper, questions: Questions, address: String) -> Self {
        let (sender, heard) = mpsc::channel(MOST);
        // The child ends with the thread that starts it, and the runtime's threads live as long as the runtime.
        let task = tokio::spawn(async move {
            let reason = listen(&reaper, &questions, &address, &sender).await;
            // The receiver may have been dropped.
            let _ = sender.send(Heard::Ended(reason)).await;
        });
        Self { heard, task: task.abort_handle() }
    }

    /// What the child says next. Cancel-safe.
    pub async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => pending().await,
        }
    }

    /// The same for a watch that may not exist.
    pub async fn next_of(xids: &mut Option<Self>) -> Heard {
        match xids {
            Some(xids) => xids.next().await,
            None => pending().await,
        }
    }
}

/// Passes errors on until the child ends. Returns why it has ended.
async fn listen(
    reaper: &Reaper,
    questions: &Questions,
    address: &str,
    sender: &mpsc::Sender<Heard>,
) -> String {
    let words = [subcommands::PROBE, answer::XIDS, address];
    let question = Question { words: &words, env: questions.env(), deadline: Instant::now() + FOR_EVER };
    let (waits, mut failed) = (AtomicBool::new(false), None);
    let asked = subprocess::ask(reaper, &question, |line| match serde_json::from_str(line) {
        Ok(Line::Watching) => {
            waits.store(true, Ordering::Relaxed);
            ControlFlow::Continue(())
        }
        Ok(Line::Xid(number)) => {
            // With a full channel, an error more says nothing new.
            let _ = sender.try_send(Heard::Xid(number));
            ControlFlow::Continue(())
        }
        Ok(Line::Failed(reason)) => {
            failed = Some(reason);
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    let late = async {
        sleep(PATIENT).await;
        if waits.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = asked => ended,
        () = late => return format!("{LIBRARY} timed out after {} s", PATIENT.as_secs()),
    };
    match ended {
        Ok(()) => failed.unwrap_or_else(|| "no reason was given".to_owned()),
        Err(unanswered) => unanswered.reason(LIBRARY, FOR_EVER),
    }
}
