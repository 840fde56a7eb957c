//! The tasks of an init process: starting processes, collecting exit statuses, handling signals; and shared system
//! helpers.
//!
//! Invariants: the only fork and the only wait of PID 1 and its guards are in [`reaper`]; they spawn only their own
//! executable ([`launch`] is the child side, [`guard`] the subreaper above a contained unit); a child gets only the
//! descriptors that are listed for it and inherits no others.

pub mod env_file;
pub mod error;
pub mod guard;
pub mod heap;
pub mod http;
mod jobs;
pub mod launch;
pub mod limits;
pub mod mounts;
pub mod nodes;
pub mod notify;
pub mod print;
pub mod process;
pub mod pty;
pub mod read;
pub mod reaper;
pub mod replace;
pub mod signals;
pub mod subcommands;
pub mod subprocess;
pub mod terminal;
pub mod version;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{fs, io};

use tokio::sync::oneshot;

/// Resets what a parent process may have passed on: the signal mask, since a blocked signal could not stop the daemon,
/// and open files, which every service would inherit. Call this before any file is opened and before the first thread
/// starts.
pub fn start_clean() {
    // A terminal must not stop (SIGTTOU, SIGTSTP) the process that supervises all others. With these signals blocked,
    // the kernel lets us write to a terminal whose foreground process group is another one.
    signals::block();
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd >= launch::FIRST_FD)
        .collect();
    for fd in open {
        // One of the descriptors was that of the directory itself, which is closed already.
        let _ = nix::unistd::close(fd);
    }
}

/// Checks that threads can be started; the error explains the usual cause in a container. glibc falls back to an older
/// system call only if the newer one is unknown, not if it is forbidden, as the seccomp profiles of old container
/// engines do.
pub fn threads_work() -> Result<(), String> {
    let started = std::thread::Builder::new().stack_size(64 * 1024).spawn(|| ());
    started.map(|thread| drop(thread.join())).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "no program here can start a thread ({error}): the container engine forbids the system call clone3; \
             a newer engine (Docker 20.10.10) allows it, and so does --security-opt seccomp=unconfined"
        ),
        _ => format!("starting a thread: {error}"),
    })
}

/// Runs `work` on a thread of its own: it may take long, and it hangs for ever on a dead disk or directory service. The
/// blocking thread pool of the runtime would panic if no thread can be started.
pub async fn run_on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, result) = oneshot::channel();
    std::thread::Builder::new().name("apart".to_owned()).spawn(move || {
        // The caller may have stopped waiting.
        let _ = sender.send(work());
    })?;
    result.await.map_err(|_| io::Error::other("an internal error of desktopd"))
}

/// Like [`run_on_thread`], with a time limit. A thread that is late keeps running, and no more work is started while
/// there are too many of them.
pub async fn run_on_thread_within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    let timed_out = |what: String| io::Error::new(io::ErrorKind::TimedOut, what);
    let Some(running) = Running::of(&RUNNING) else {
        return Err(timed_out(format!("{HANGING} earlier attempts have not come to an end")));
    };
    let counted = move || {
        let _until_the_end = running;
        work()
    };
    tokio::time::timeout(limit, run_on_thread(counted))
        .await
        .unwrap_or_else(|_| Err(timed_out(format!("no answer within {limit:?}"))))
}

/// A running thread, counted until its end, by a panic too.
struct Running(&'static AtomicUsize);

impl Running {
    /// Counts one more, unless there are too many.
    fn of(count: &'static AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let running = Self(count);
        (before < HANGING).then_some(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a look into a user's folder may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many looks may hang at the same time. A dead volume stays dead, and each plan looks again.
const HANGING: usize = 16;

/// The number of looks that have not ended.
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// Returns the result of `look`, or `None` if that takes too long: the thread that hangs on a dead volume is left
/// behind, and the caller goes on. While many threads hang, no more are started.
pub fn with_timeout<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    run_with_timeout(&LOOKS, TIMEOUT, look)
}

/// Like [`with_timeout`], with another time limit.
pub fn with_timeout_of<T: Send + 'static>(
    timeout: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    run_with_timeout(&LOOKS, timeout, look)
}

fn run_with_timeout<T: Send + 'static>(
    looks: &'static AtomicUsize,
    timeout: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let running = Running::of(looks)?;
    let (sender, seen) = mpsc::sync_channel(1);
    let looking = std::thread::Builder::new().name("look".into()).stack_size(128 * 1024).spawn(move || {
        let found = look();
        drop(running);
        // After a timeout the receiver no longer exists.
        let _ = sender.try_send(found);
    });
    looking.ok().and_then(|_| seen.recv_timeout(timeout).ok())
}

/// Locks a mutex whose data is valid even if a holder of the lock has panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an error of the system means a temporary shortage of descriptors, processes, memory or disk space.
pub fn is_shortage(errno: i32) -> bool {
    use nix::libc::{EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC};
    [EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC].contains(&errno)
}

/// Makes this process a subreaper: orphans below it become its children. PID 1 needs no such call.
pub fn become_subreaper() -> io::Result<()> {
    if nix::unistd::getpid().as_raw() == 1 {
        return Ok(());
    }
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_hanging_looks_is_limited() {
        static HERE: AtomicUsize = AtomicUsize::new(HANGING - 1);
        let (end, ended) = mpsc::channel::<()>();
        assert_eq!(run_with_timeout(&HERE, TIMEOUT, || 1), Some(1));
        assert_eq!(run_with_timeout(&HERE, TIMEOUT, move || ended.recv().is_ok()), None);
        assert_eq!(run_with_timeout(&HERE, TIMEOUT, || 1), None, "no more are begun");
        drop(end);
        while HERE.load(Ordering::Relaxed) >= HANGING {
            std::thread::yield_now();
        }
        assert_eq!(run_with_timeout(&HERE, TIMEOUT, || 1), Some(1));
    }
}
