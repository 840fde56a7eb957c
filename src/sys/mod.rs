//! What only an init may do: start processes, collect every exit status, take signals.
//!
//! Invariants: the one fork and the one wait of this program are in [`reaper`]; what we spawn is always ourselves
//! ([`launch`] is the child side, [`guard`] the subreaper that stays above a contained unit); descriptors reach a
//! child only by name, never by inheritance.

pub mod env_file;
pub mod guard;
pub mod heap;
mod jobs;
pub mod launch;
pub mod limits;
pub mod notify;
pub mod print;
pub mod process;
pub mod read;
pub mod reaper;
pub mod replace;
pub mod sides;
pub mod signals;
pub mod terminal;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, io};

use tokio::sync::oneshot;

/// Leaves behind what a careless parent may have handed down: blocked signals, which could not end us, and open files,
/// which every service would have too. To be called before anything is opened and before the first thread.
pub fn start_clean() {
    // Above all a terminal must not stop whoever looks after everything else; and when its signals are blocked, the
    // kernel lets us write to one that is another's at the moment.
    signals::block();
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd >= launch::FIRST_FD)
        .collect();
    for fd in open {
        // One of them was the folder itself, which is closed already.
        let _ = nix::unistd::close(fd);
    }
}

/// Whether threads can be started, and if not, why that is so in a container: glibc falls back to an older call only
/// where the newer one is unknown, not where it is forbidden, as by the profiles of old container engines.
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

/// Runs `work` on a thread of its own: it may take long, and on a dead disk or directory service it hangs for ever. The
/// runtime's threads for such work would panic where no thread can be had.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, result) = oneshot::channel();
    std::thread::Builder::new().name("apart".to_owned()).spawn(move || {
        // Whoever waited may have gone.
        let _ = sender.send(work());
    })?;
    result.await.map_err(|_| io::Error::other("an internal error of desktopd"))
}

/// The same with a limit on the time. A thread that is late goes on by itself; while `late` of them do, no more work is
/// begun.
pub async fn apart_within<T: Send + 'static>(
    limit: Duration,
    late: &'static AtomicUsize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let timed_out = |what: String| io::Error::new(io::ErrorKind::TimedOut, what);
    if late.fetch_add(1, Ordering::Relaxed) >= HANGING {
        late.fetch_sub(1, Ordering::Relaxed);
        return Err(timed_out(format!("{HANGING} earlier attempts have not come to an end")));
    }
    let counted = move || {
        let _ending = Counted(late);
        work()
    };
    tokio::time::timeout(limit, apart(counted))
        .await
        .unwrap_or_else(|_| Err(timed_out(format!("no answer within {limit:?}"))))
}

/// One of a number of threads, until it ends, by a panic too.
struct Counted(&'static AtomicUsize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a look at somebody's folder may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many looks may hang at once. A dead volume stays dead, and each plan looks again.
const HANGING: usize = 16;

/// The looks that have not come to an end.
static LOOKS: AtomicUsize = AtomicUsize::new(0);

/// What `look` sees, unless that takes too long: a thread that hangs in a dead volume stays behind, and we go on. When
/// many hang, no more are begun.
pub fn patiently<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    patiently_of(&LOOKS, PATIENCE, look)
}

/// The same with another limit.
pub fn patiently_within<T: Send + 'static>(
    patience: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    patiently_of(&LOOKS, patience, look)
}

fn patiently_of<T: Send + 'static>(
    looks: &'static AtomicUsize,
    patience: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if looks.fetch_add(1, Ordering::Relaxed) >= HANGING {
        looks.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    let (sender, seen) = mpsc::sync_channel(1);
    let looking = std::thread::Builder::new().name("look".into()).stack_size(128 * 1024).spawn(move || {
        let found = look();
        looks.fetch_sub(1, Ordering::Relaxed);
        // Nobody listens any more when it took too long.
        let _ = sender.try_send(found);
    });
    if looking.is_err() {
        looks.fetch_sub(1, Ordering::Relaxed);
    }
    looking.ok().and_then(|_| seen.recv_timeout(patience).ok())
}

/// Whether an error of the system says that something has run out that others may give back: descriptors, processes,
/// memory, space.
pub fn is_shortage(errno: i32) -> bool {
    use nix::libc::{EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC};
    [EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC].contains(&errno)
}

/// Makes this process the one that orphans below it are given to. PID 1 is that already.
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
    fn looks_that_hang_do_not_pile_up() {
        static HERE: AtomicUsize = AtomicUsize::new(HANGING - 1);
        let (end, ended) = mpsc::channel::<()>();
        assert_eq!(patiently_of(&HERE, PATIENCE, || 1), Some(1));
        assert_eq!(patiently_of(&HERE, PATIENCE, move || ended.recv().is_ok()), None);
        assert_eq!(patiently_of(&HERE, PATIENCE, || 1), None, "no more are begun");
        drop(end);
        while HERE.load(Ordering::Relaxed) >= HANGING {
            std::thread::yield_now();
        }
        assert_eq!(patiently_of(&HERE, PATIENCE, || 1), Some(1));
    }
}
