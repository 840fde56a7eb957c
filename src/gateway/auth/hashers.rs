//! The hash pool: a few threads that only hash passwords, so that guesses cannot take all processors. They are started
//! with the gateway: if the container later reaches its limit of processes, its owner can still log in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::counters::Counts;

/// How many run at once.
pub(super) const THREADS: usize = 2;

/// The nice value of the threads: about a tenth of the processor time of a normal thread, when both want all of it.
const NICE: i32 = 10;

/// bcrypt needs a few KiB. Bytes.
const STACK: usize = 128 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped.
pub(super) struct Hashers {
    jobs: mpsc::Sender<Job>,
    counts: Arc<Counts>,
}

impl Hashers {
    /// Starts this number of threads, or as many of them as the system allows.
    pub(super) fn new(threads: usize, counts: Arc<Counts>) -> Self {
        let (jobs, next) = mpsc::channel::<Job>();
        let next = Arc::new(Mutex::new(next));
        for _ in 0..threads {
            let jobs = Arc::clone(&next);
            let work = move || {
                // On few processors, a flood of wrong passwords would take time from the streams, which then stutter,
                // while a slightly slower login is not noticed. On Linux the nice value applies to this thread only. If
                // it cannot be set, all threads have the same priority.
                let _ = rustix::process::nice(NICE);
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok(job) = next() {
                    // If the job panics, its sender is dropped, and the waiting caller gets no result.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            };
            let started = thread::Builder::new().name("hash".to_owned()).stack_size(STACK).spawn(work);
            if let Err(error) = started {
                tracing::warn!("starting a thread for passwords: {error}");
            }
        }
        Self { jobs, counts }
    }

    /// Runs `work` on one of the threads. `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.counts.add(|counts| counts.hashes += 1);
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // The caller may have disconnected.
            let _ = done.send(work());
        });
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            // No thread could be started. Hashing here slows all clients down, but logins still work.
            job();
        }
        result.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_hash_threads_have_a_higher_nice_value() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let hashers = Hashers::new(1, Arc::default());
        assert_eq!(hashers.run(own).await, Some((before + NICE).min(19)));
        assert_eq!(own(), before);
    }

    #[tokio::test]
    async fn work_runs_after_a_panic_and_without_threads() {
        for threads in [0, 1, 2] {
            let hashers = Hashers::new(threads, Arc::default());
            if threads > 0 {
                assert_eq!(hashers.run(|| -> u8 { panic!("on purpose") }).await, None);
            }
            let together = futures_util::future::join_all((0..5).map(|n| hashers.run(move || n * n)));
            assert_eq!(together.await, [Some(0), Some(1), Some(4), Some(9), Some(16)], "{threads} threads");
        }
    }
}
