//! The threads that carry the front door's traffic: each has a runtime of its own, and a connection stays on the one
//! that it was given to, so that nothing on the way of a request crosses threads.
//!
//! Invariants: supervision has its own threads, and a saturated front door does not slow it; a machine on which no
//! thread can be started still has a front door, on the caller's runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crowd::Place;
use super::listen::LAST_ANSWER;

/// More than this many threads are of no use: one carries 20,000 requests a second or a gigabyte.
const MOST: usize = 8;

/// Our futures are small and nothing recurses deeply. Bytes.
const STACK: usize = 512 * 1024;

/// Threads for files that are read; they come and go.
const BLOCKING: usize = 4;

type Job = Box<dyn FnOnce(Guest, &TaskTracker) + Send>;

/// The threads.
pub(super) struct Workers {
    threads: Vec<Thread>,
    tasks: TaskTracker,
}

struct Thread {
    queue: Arc<Queue>,
    guests: Arc<AtomicUsize>,
}

/// What a thread has not begun yet. The newest goes first: when there is more than a thread can do, the oldest have to
/// go anyway, and who waited behind them would have waited for nothing.
#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    more: Notify,
}

#[derive(Default)]
struct Jobs {
    waiting: Vec<Arc<Waiting>>,
    /// No job is taken any longer.
    closed: bool,
}

/// A job, unless its connection had to go before it was begun.
struct Waiting(Mutex<Option<(Job, Guest)>>);

impl Waiting {
    fn take(&self) -> Option<(Job, Guest)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_gone(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Queue {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job, unless no job is taken any longer.
    fn add(&self, waiting: &Arc<Waiting>) -> bool {
        let mut jobs = self.jobs();
        if jobs.closed {
            return false;
        }
        if jobs.waiting.len() == jobs.waiting.capacity() {
            jobs.waiting.retain(|waiting| !waiting.is_gone());
        }
        jobs.waiting.push(Arc::clone(waiting));
        drop(jobs);
        self.more.notify_one();
        true
    }

    /// The next job; `None` when there is none and will be none.
    async fn take(&self) -> Option<(Job, Guest)> {
        loop {
            loop {
                let mut jobs = self.jobs();
                let Some(waiting) = jobs.waiting.pop() else {
                    if jobs.closed {
                        return None;
                    }
                    break;
                };
                drop(jobs);
                if let Some(job) = waiting.take() {
                    return Some(job);
                }
            }
            self.more.notified().await;
        }
    }

    /// What is left goes without having begun.
    fn close(&self) {
        let mut jobs = self.jobs();
        jobs.closed = true;
        let left = std::mem::take(&mut jobs.waiting);
        drop(jobs);
        drop(left);
        self.more.notify_one();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.queue.close();
    }
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
            let queue = Arc::<Queue>::default();
            let (stop, tasks, jobs) = (stop.clone(), tasks.clone(), Arc::clone(&queue));
            let thread = std::thread::Builder::new().name(format!("gateway-{at}")).stack_size(STACK);
            match thread.spawn(move || work(&jobs, &tasks, &stop)) {
                Ok(_) => Some(Thread { queue, guests: Arc::default() }),
                Err(error) => {
                    tracing::warn!("start a thread of the gateway: {error}; {at} of {number} work");
                    None
                }
            }
        });
        Self { threads: threads.collect(), tasks }
    }

    /// Runs what `job` makes, in a task on the thread that has the least to do. It is made there, so that sockets
    /// register with that thread's runtime. The connection's place learns which task that is.
    pub(super) fn run<W>(&self, place: &Arc<Place>, job: impl FnOnce(Guest) -> W + Send + 'static)
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let served = Arc::clone(place);
        let mut job: Job = Box::new(move |guest, tasks| {
            let task = tokio::spawn(tasks.track_future(job(guest)));
            served.served_by(task.abort_handle());
        });
        let mut threads: Vec<_> = self.threads.iter().collect();
        threads.sort_by_key(|thread| thread.guests.load(Ordering::Relaxed));
        for thread in threads {
            thread.guests.fetch_add(1, Ordering::Relaxed);
            let guest = Guest(Arc::clone(&thread.guests));
            let waiting = Arc::new(Waiting(Mutex::new(Some((job, guest)))));
            let gone = Arc::downgrade(&waiting);
            place.ended_by(move || drop(gone.upgrade().and_then(|waiting| waiting.take())));
            if thread.queue.add(&waiting) {
                return;
            }
            // Its runtime could not be made.
            match waiting.take() {
                Some((back, _)) => job = back,
                None => return,
            }
        }
        job(Guest(Arc::new(AtomicUsize::new(1))), &self.tasks);
    }
}

fn work(queue: &Queue, tasks: &TaskTracker, stop: &CancellationToken) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        // Accepted connections come over the queue; looking for them costs more than it gives under load.
        .event_interval(61)
        // What other threads want comes in between: that a connection has to go, above all.
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
            let (job, guest) = tokio::select! {
                job = queue.take() => match job {
                    Some(job) => job,
                    None => return,
                },
                () = stop.cancelled() => break,
            };
            job(guest, tasks);
            // One at a time: what has begun goes on before the next one comes.
            tokio::task::yield_now().await;
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
