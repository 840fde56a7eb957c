//! The end of a run: what is left of it, here and elsewhere, ends before anybody hears that it is gone.

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

/// How long what is left of a unit's group after its main process may take to end by itself.
const GRACE: Duration = Duration::from_millis(1500);

/// How long it may take the kernel to remove what was killed.
const KILLED: Duration = Duration::from_millis(500);

/// What a run needs for its end.
pub(super) struct Ending {
    pub(super) unit: String,
    pub(super) collected: Arc<AtomicBool>,
    pub(super) finishing: Arc<AtomicBool>,
    pub(super) reaper: Reaper,
    /// What others wish of the guard.
    pub(super) wishes: mpsc::UnboundedReceiver<Clear>,
    pub(super) guards: Guards,
    pub(super) clears: Vec<Guards>,
}

impl Ending {
    /// Ends what is left in the group of `leader`, which has ended. Another run would stumble over it.
    pub(super) async fn clear(&self, leader: i32) {
        if group_is_gone(leader) {
            return;
        }
        // Also those that were told already: a signal that comes while a shell starts its child can be lost.
        signal_rest(leader, Signal::SIGTERM);
        let gone = || self.reaper.until(|| group_is_gone(leader));
        if tokio::time::timeout(GRACE, gone()).await.is_err() {
            signal_rest(leader, Signal::SIGKILL);
            // What cannot be killed cannot be waited for either.
            let _ = tokio::time::timeout(KILLED, gone()).await;
        }
    }

    /// Ends what belongs to the unit elsewhere: what others started for it and, when it ends for good, what earlier
    /// runs of it left.
    pub(super) async fn clear_around(&mut self) {
        // Nobody is told any more.
        self.wishes.close();
        let spare = !self.finishing.load(Ordering::Relaxed);
        join_all(self.clears.iter().map(|guards| guards.clear(spare))).await;
        if self.finishing.load(Ordering::Relaxed) {
            self.guards.end_jobs();
            self.guards.jobs_ended().await;
        }
    }

    /// Ends `main` and what is below it: somebody killed its guard, and a second one must not run beside it.
    pub(super) async fn clear_unguarded(&self, main: i32) {
        for pid in descendants(main).into_iter().chain([main]) {
            // It may have ended since we looked.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let gone = self.reaper.until(|| kill(Pid::from_raw(main), None) == Err(Errno::ESRCH));
        let _ = tokio::time::timeout(KILLED, gone).await;
    }
}
