//! The guards of one unit, as others have to do with them: the one above the run of today, which can be told to clear
//! what the unit started beside itself, and those of earlier runs, which stayed with jobs that a person detached.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::sys::guard::GuardCommand;
use crate::sys::launch;

/// How long a guard may take for what it is told here: its own patience, then the kernel's, and that of a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Shared by the driver and by all runs that have to do with the unit. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Guards(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// To whoever listens to the run of today.
    run: Option<mpsc::UnboundedSender<Clear>>,
    left: Vec<Left>,
}

/// A guard that stayed with jobs.
struct Left {
    socket: Arc<UnixStream>,
    /// Whether it was told that the jobs end, too.
    told: bool,
    /// Closed when the guard has ended.
    here: watch::Receiver<()>,
}

/// The wish that what a unit started beside its main process ends.
pub(super) struct Clear {
    pub(super) spare: bool,
    /// Dropped when it is done, or when there is nothing to do it to.
    pub(super) done: oneshot::Sender<()>,
}

impl Guards {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins; what is wished of its guard comes here.
    pub(super) fn begin(&self) -> mpsc::UnboundedReceiver<Clear> {
        let (sender, wishes) = mpsc::unbounded_channel();
        self.lock().run = Some(sender);
        wishes
    }

    /// A run is over but for jobs, with which its guard stays as long as the returned sender is kept.
    pub(super) fn keep(&self, socket: Arc<UnixStream>) -> watch::Sender<()> {
        let (ended, here) = watch::channel(());
        let mut inner = self.lock();
        inner.left.retain(|left| left.here.has_changed().is_ok());
        inner.left.push(Left { socket, told: false, here });
        ended
    }

    /// Ends what earlier runs left.
    pub(super) fn end_jobs(&self) {
        for left in self.lock().left.iter_mut().filter(|left| !left.told) {
            left.told = true;
            // A guard that does not listen any more has ended.
            let _ = launch::send(&*left.socket, &GuardCommand::Finish, &[]);
        }
    }

    /// Waits until what earlier runs left has ended, or does not end.
    pub(super) async fn jobs_ended(&self) {
        let left: Vec<_> = self.lock().left.iter().map(|left| left.here.clone()).collect();
        let all = async {
            for mut here in left {
                while here.changed().await.is_ok() {}
            }
        };
        let _ = tokio::time::timeout(LIMIT, all).await;
    }

    /// Ends what the unit started beside its main process, and returns when that is gone or does not end.
    pub(super) async fn clear(&self, spare: bool) {
        let (done, cleared) = oneshot::channel();
        if let Some(run) = &self.lock().run {
            // Nobody listens when it has ended.
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
