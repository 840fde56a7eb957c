//! The worker threads of the gateway: each has its own runtime, and a connection stays on the thread that it was given
//! to, so that the handling of a request never moves between threads.
//!
//! Invariants: supervision has its own threads, and a saturated gateway does not slow it; on a machine on which no
//! thread can be started, the gateway works on the caller's runtime.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listen::LAST_ANSWER;
use crate::gateway::limits::ConnectionSlot;

/// More than this many threads are of no use: one carries 20,000 requests a second or a gigabyte.
const MOST: usize = 8;

/// Our futures are small and nothing recurses deeply. Bytes.
const STACK: usize = 512 * 1024;

/// Threads for reading files; they are started and ended as needed.
const BLOCKING: usize = 4;

type Job = Box<dyn FnOnce(WorkerSlot, &TaskTracker) + Send>;

/// The worker threads.
pub(crate) struct Workers {
    threads: Vec<Thread>,
    tasks: TaskTracker,
}

struct Thread {
    queue: Arc<Queue>,
    /// Each connection on the thread holds a clone: their number is the measure of its load.
    connections: WorkerSlot,
}

/// One connection on a thread; held as long as the connection.
pub(crate) type WorkerSlot = Arc<()>;

/// The connections that a thread has not begun to serve; `None` when no job is taken any longer. The newest goes first:
/// when there are more than a thread can serve, the oldest ones are closed anyway, and connections that waited behind
/// them would have waited in vain.
struct Queue {
    jobs: Mutex<Option<Vec<Arc<Waiting>>>>,
    more: Notify,
}

/// A job, unless its connection was closed before the job began.
struct Waiting(Mutex<Option<(Job, WorkerSlot)>>);

impl Waiting {
    fn take(&self) -> Option<(Job, WorkerSlot)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_gone(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Queue {
    fn new() -> Self {
        Self { jobs: Mutex::new(Some(Vec::new())), more: Notify::new() }
    }

    fn jobs(&self) -> MutexGuard<'_, Option<Vec<Arc<Waiting>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job, unless no job is taken any longer.
    fn add(&self, waiting: &Arc<Waiting>) -> bool {
        let mut jobs = self.jobs();
        let Some(all) = jobs.as_mut() else { return false };
        if all.len() == all.capacity() {
            all.retain(|waiting| !waiting.is_gone());
        }
        all.push(Arc::clone(waiting));
        drop(jobs);
        self.more.notify_one();
        true
    }

    /// The next job; `None` when there is none and will be none.
    async fn take(&self) -> Option<(Job, WorkerSlot)> {
        loop {
            let next = self.jobs().as_mut()?.pop();
            match next {
                None => self.more.notified().await,
                Some(waiting) => {
                    if let Some(job) = waiting.take() {
                        return Some(job);
                    }
                }
            }
        }
    }

    /// Drops the jobs that have not begun, and accepts no more.
    fn close(&self) {
        let left = self.jobs().take();
        drop(left);
        self.more.notify_one();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Workers {
    /// Starts this number of threads, or one for each processor, up to a limit. They end a short time after `stop`, or
    /// when this value is dropped.
    pub(crate) fn start(threads: Option<usize>, tasks: TaskTracker, stop: &CancellationToken) -> Self {
        let number = threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from).min(MOST));
        let threads = (0..number).map_while(|at| {
            let queue = Arc::new(Queue::new());
            let (stop, tasks, jobs) = (stop.clone(), tasks.clone(), Arc::clone(&queue));
            let thread = std::thread::Builder::new().name(format!("gateway-{at}")).stack_size(STACK);
            match thread.spawn(move || work(&jobs, &tasks, &stop)) {
                Ok(_) => Some(Thread { queue, connections: Arc::default() }),
                Err(error) => {
                    tracing::warn!("start a thread of the gateway: {error}; {at} of {number} work");
                    None
                }
            }
        });
        Self { threads: threads.collect(), tasks }
    }

    /// Runs the future of `job` in a task on the thread with the fewest connections. The future is created on that
    /// thread, so that sockets register with its runtime. The connection slot gets the handle of that task.
    pub(crate) fn run<W>(
        &self,
        slot: &Arc<ConnectionSlot>,
        job: impl FnOnce(WorkerSlot) -> W + Send + 'static,
    ) where
        W: Future<Output = ()> + Send + 'static,
    {
        let served = Arc::clone(slot);
        let mut job: Job = Box::new(move |worker, tasks| {
            let task = tokio::spawn(tasks.track_future(job(worker)));
            served.served_by(task.abort_handle());
        });
        let mut threads: Vec<_> = self.threads.iter().collect();
        threads.sort_by_cached_key(|thread| Arc::strong_count(&thread.connections));
        for thread in threads {
            let worker = Arc::clone(&thread.connections);
            let waiting = Arc::new(Waiting(Mutex::new(Some((job, worker)))));
            let gone = Arc::downgrade(&waiting);
            slot.ended_by(move || drop(gone.upgrade().and_then(|waiting| waiting.take())));
            if thread.queue.add(&waiting) {
                return;
            }
            // Its runtime could not be made.
            match waiting.take() {
                Some((back, _)) => job = back,
                None => return,
            }
        }
        job(WorkerSlot::default(), &self.tasks);
    }
}

fn work(queue: &Queue, tasks: &TaskTracker, stop: &CancellationToken) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        // Accepted connections come through the queue; polling the event loop more often costs more than it gains under
        // load.
        .event_interval(61)
        // Work from other threads is handled in between, above all the request to close a connection.
        .global_queue_interval(4)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            queue.close();
            return tracing::warn!("start a runtime of the gateway: {error}");
        }
    };
    runtime.block_on(async {
        loop {
            let (job, worker) = tokio::select! {
                job = queue.take() => match job {
                    Some(job) => job,
                    None => return,
                },
                () = stop.cancelled() => break,
            };
            job(worker, tasks);
            // One at a time: connections that have begun continue before the next one starts.
            tokio::task::yield_now().await;
        }
        // Requests in progress get the same time as in the whole gateway.
        queue.close();
        let _ = tokio::time::timeout(LAST_ANSWER, async {
            tasks.close();
            tasks.wait().await;
        })
        .await;
    });
}
