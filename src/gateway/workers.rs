//! The threads that carry the front door's traffic: each has a runtime of its own, and a connection stays on the one
//! that it was given to, so that nothing on the way of a request crosses threads.
//!
//! Invariants: supervision has its own threads, and a saturated front door does not slow it; a machine on which no
//! thread can be started still has a front door, on the caller's runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listen::LAST_ANSWER;

/// More than this many threads are of no use: one carries 20,000 requests a second or a gigabyte.
const MOST: usize = 8;

/// Our futures are small and nothing recurses deeply. Bytes.
const STACK: usize = 512 * 1024;

/// Threads for files that are read; they come and go.
const BLOCKING: usize = 4;

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
type Job = Box<dyn FnOnce(Guest) -> Work + Send>;

/// The threads.
pub(super) struct Workers {
    threads: Vec<Thread>,
    tasks: TaskTracker,
}

struct Thread {
    jobs: UnboundedSender<(Job, Guest)>,
    guests: Arc<AtomicUsize>,
}

/// One connection's place on a thread. It tells how much there is to do, so it lasts as long as the connection.
pub(super) struct Guest(Arc<AtomicUsize>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// So many threads, or as many as there are processors, within reason. They end a short time after `stop`, or with
    /// this.
    pub(super) fn start(threads: Option<usize>, tasks: TaskTracker, stop: &CancellationToken) -> Self {
        let number = threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from).min(MOST));
        let threads = (0..number).map_while(|at| {
            let (jobs, queue) = unbounded_channel();
            let (stop, tasks) = (stop.clone(), tasks.clone());
            let thread = std::thread::Builder::new().name(format!("gateway-{at}")).stack_size(STACK);
            match thread.spawn(move || work(queue, &tasks, &stop)) {
                Ok(_) => Some(Thread { jobs, guests: Arc::default() }),
                Err(error) => {
                    tracing::warn!("start a thread of the gateway: {error}; {at} of {number} work");
                    None
                }
            }
        });
        Self { threads: threads.collect(), tasks }
    }

    /// Runs what `job` makes on the thread that has the least to do. It is made there, so that sockets register with
    /// that thread's runtime.
    pub(super) fn run<W>(&self, job: impl FnOnce(Guest) -> W + Send + 'static)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let mut job: Job = Box::new(move |guest| Box::pin(job(guest)));
        let mut threads: Vec<_> = self.threads.iter().collect();
        threads.sort_by_key(|thread| thread.guests.load(Ordering::Relaxed));
        for thread in threads {
            thread.guests.fetch_add(1, Ordering::Relaxed);
            let guest = Guest(Arc::clone(&thread.guests));
            match thread.jobs.send((job, guest)) {
                Ok(()) => return,
                // Its runtime could not be made.
                Err(unsent) => job = unsent.0.0,
            }
        }
        self.tasks.spawn(job(Guest(Arc::new(AtomicUsize::new(1)))));
    }
}

fn work(mut queue: UnboundedReceiver<(Job, Guest)>, tasks: &TaskTracker, stop: &CancellationToken) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        // Accepted connections come over the queue; looking for them costs more than it gives under load.
        .event_interval(61)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::warn!("start a runtime of the gateway: {error}"),
    };
    runtime.block_on(async {
        loop {
            let (job, guest) = tokio::select! {
                job = queue.recv() => match job {
                    Some(job) => job,
                    None => return,
                },
                () = stop.cancelled() => break,
            };
            tokio::spawn(tasks.track_future(async move { job(guest).await }));
        }
        // What is under way gets the time that the whole gateway gives it.
        queue.close();
        let _ = tokio::time::timeout(LAST_ANSWER, async {
            tasks.close();
            tasks.wait().await;
        })
        .await;
    });
}
