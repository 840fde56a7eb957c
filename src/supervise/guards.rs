//! The guards of one unit, as other units use them: the guard of the current run, which can be asked to end the
//! processes that the unit started beside its main process, and the guards of earlier runs, which stayed for jobs that
//! a user detached.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::sys::guard::GuardCommand;
use crate::sys::launch;

/// How long a guard may take for a request: its own grace period, the kernel's time to end processes, and a margin for
/// a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Shared by the driver and by all runs that use the unit's guards. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Guards(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// To the task that handles the current run.
    run: Option<mpsc::UnboundedSender<Clear>>,
    left: Vec<Left>,
}

/// A guard that stayed because of detached jobs.
struct Left {
    socket: Arc<UnixStream>,
    /// Whether the guard was asked to end the jobs, too.
    told: bool,
    /// Closed when the guard has ended.
    here: watch::Receiver<()>,
}

/// A request to end the processes that a unit started beside its main process.
pub(super) struct Clear {
    pub(super) spare: bool,
    /// Dropped when this is done, or when there is nothing to end.
    pub(super) done: oneshot::Sender<()>,
}

impl Guards {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run; requests to its guard arrive on the returned channel.
    pub(super) fn begin(&self) -> mpsc::UnboundedReceiver<Clear> {
        let (sender, requests) = mpsc::unbounded_channel();
        self.lock().run = Some(sender);
        requests
    }

    /// A run has ended except for jobs; its guard stays with them until the returned sender is dropped.
    pub(super) fn keep(&self, socket: Arc<UnixStream>) -> watch::Sender<()> {
        let (ended, here) = watch::channel(());
        let mut inner = self.lock();
        inner.left.retain(|left| left.here.has_changed().is_ok());
        inner.left.push(Left { socket, told: false, here });
        ended
    }

    /// Ends the jobs that earlier runs left.
    pub(super) fn end_jobs(&self) {
        for left in self.lock().left.iter_mut().filter(|left| !left.told) {
            left.told = true;
            // If the guard does not receive any more, it has ended.
            let _ = launch::send(&*left.socket, &GuardCommand::Finish, &[]);
        }
    }

    /// Waits until the jobs of earlier runs have ended, at most for the limit.
    pub(super) async fn jobs_ended(&self) {
        let left: Vec<_> = self.lock().left.iter().map(|left| left.here.clone()).collect();
        let all = async {
            for mut here in left {
                while here.changed().await.is_ok() {}
            }
        };
        let _ = tokio::time::timeout(LIMIT, all).await;
    }

    /// Ends the processes that the unit started beside its main process. Returns when they have ended, or after the
    /// limit.
    pub(super) async fn clear(&self, spare: bool) {
        let (done, cleared) = oneshot::channel();
        if let Some(run) = &self.lock().run {
            // If the run has ended, the channel has no receiver.
            let _ = run.send(Clear { spare, done });
        } else {
            drop(done);
        }
        if !spare {
            self.end_jobs();
            self.jobs_ended().await;
        }
        let _ = tokio::time::timeout(LIMIT, cleared).await;
    }
}
