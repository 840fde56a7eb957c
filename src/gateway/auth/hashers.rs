//! Threads that only hash, a few, so that guessing cannot take all processors. They are there from the start: where a
//! container has no process left to give, its owner must still get in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::counters::Counts;
use super::network::Network;
use super::queue::{Asker, Pass, Queue};

/// How many run at once.
pub(super) const THREADS: usize = 2;

/// How much they give way to others: about a tenth of the time of a thread that does not, when both want all.
const NICE: i32 = 10;

/// bcrypt needs a few KiB. Bytes.
const STACK: usize = 128 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads; they end when this is dropped.
pub(super) struct Hashers {
    jobs: mpsc::Sender<Job>,
    queue: Queue,
    counts: Arc<Counts>,
}

impl Hashers {
    /// Starts that many threads, or as many of them as can be had.
    pub(super) fn new(threads: usize, counts: Arc<Counts>) -> Self {
        let (jobs, next) = mpsc::channel::<Job>();
        let next = Arc::new(Mutex::new(next));
        for _ in 0..threads {
            let jobs = Arc::clone(&next);
            let work = move || {
                // Where there are few processors a flood of wrong passwords would take them from the streams, which
                // stutter, while nobody sees a login take a little longer. In Linux it is this thread's alone; where it
                // cannot be had, all are equal.
                let _ = rustix::process::nice(NICE);
                let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok(job) = next() {
                    // Whoever waits for it hears that nothing comes.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            };
            let started = thread::Builder::new().name("hash".to_owned()).stack_size(STACK).spawn(work);
            if let Err(error) = started {
                tracing::warn!("starting a thread for passwords: {error}");
            }
        }
        Self { jobs, queue: Queue::new(threads.max(1)), counts }
    }

    /// Waits until a thread is free for whoever asks; if none will be soon: the time after which to come back. To be
    /// held while [`Self::run`] works.
    pub(super) async fn enter(&self, asker: Asker) -> Result<Pass, Duration> {
        self.queue.enter(asker).await
    }

    /// The right password came from there, which goes first from now on.
    pub(super) fn learn(&self, from: Network) {
        self.queue.learn(from);
    }

    /// Does `work` on one of the threads. `None` when it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.counts.hashes.up();
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Whoever wanted to know may have gone.
            let _ = done.send(work());
        });
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            // Not one thread could be had: slow for everybody is better than closed.
            job();
        }
        result.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_give_way_and_nobody_else_does() {
        let own = || rustix::process::getpriority_process(None).unwrap();
        let before = own();
        let hashers = Hashers::new(1, Arc::default());
        assert_eq!(hashers.run(own).await, Some((before + NICE).min(19)));
        assert_eq!(own(), before);
    }

    #[tokio::test]
    async fn work_is_done_whatever_became_of_the_work_before() {
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
