//! The end of a run: its remaining processes end before its end is reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc;

use crate::supervise::guards::{Clear, Guards};
use crate::sys::process::{descendants, group_is_gone, signal_rest};
use crate::sys::reaper::Reaper;

/// How long the rest of a unit's process group may take to end after its main process.
const GRACE: Duration = Duration::from_millis(1500);

/// How long the kernel may take to remove killed processes.
const KILLED: Duration = Duration::from_millis(500);

/// The data that a run needs at its end.
pub(super) struct Ending {
    pub(super) unit: String,
    pub(super) collected: Arc<AtomicBool>,
    pub(super) finishing: Arc<AtomicBool>,
    pub(super) reaper: Reaper,
    /// Requests of other units to the guard.
    pub(super) requests: mpsc::UnboundedReceiver<Clear>,
    pub(super) guards: Guards,
    pub(super) clears: Vec<Guards>,
}

impl Ending {
    /// Ends the rest of the process group of `leader`, which has ended. The rest would disturb the next run.
    pub(super) async fn clear(&self, leader: i32) {
        if group_is_gone(leader) {
            return;
        }
        // Also to processes that got the signal before: a signal that arrives while a shell starts its child can be
        // lost.
        signal_rest(leader, Signal::SIGTERM);
        let gone = || self.reaper.until(|| group_is_gone(leader));
        if tokio::time::timeout(GRACE, gone()).await.is_err() {
            signal_rest(leader, Signal::SIGKILL);
            // A process that cannot be killed is not waited for any longer.
            let _ = tokio::time::timeout(KILLED, gone()).await;
        }
    }

    /// Ends the processes that other units started for this unit and, if it ends for good, those that its earlier runs
    /// left.
    pub(super) async fn clear_around(&mut self) {
        // No request is accepted any more.
        self.requests.close();
        let spare = !self.finishing.load(Ordering::Relaxed);
        join_all(self.clears.iter().map(|guards| guards.clear(spare))).await;
        if self.finishing.load(Ordering::Relaxed) {
            self.guards.end_jobs();
            self.guards.jobs_ended().await;
        }
    }

    /// Kills `main` and its descendants: its guard was killed, and the next run must not start beside them.
    pub(super) async fn clear_unguarded(&self, main: i32) {
        for pid in descendants(main).into_iter().chain([main]) {
            // It may have ended in the meantime.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let gone = self.reaper.until(|| kill(Pid::from_raw(main), None) == Err(Errno::ESRCH));
        let _ = tokio::time::timeout(KILLED, gone).await;
    }
}
