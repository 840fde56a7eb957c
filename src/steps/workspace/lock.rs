//! Makes sure that only one container at a time works on a shared volume. `flock` is used where the file system's locks
//! reach all machines: they end with their holder, also when its machine dies. Where locks are missing, or may be known
//! to one machine only (FUSE, 9p, CIFS, NFS before 4), a lease file is used as well.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::lease::{self, Lease, Seen};
use super::room;

/// How often a waiting container reports that it waits.
const NEWS: Duration = Duration::from_secs(5);

/// How often a lease is checked: there is no notification of its end.
const LOOK: Duration = Duration::from_secs(1);

/// At most so many characters of the holder's name are shown.
const NAMED: usize = 120;

/// File systems whose locks may be known to one machine only.
const OWN_LOCKS: [&str; 6] = ["fuse", "9p", "cifs", "smb", "virtiofs", "nfs"];

/// The lock; held until it is dropped.
#[derive(Debug)]
pub(in crate::steps) struct Lock {
    _flock: Option<File>,
    lease: Option<Lease>,
}

impl Lock {
    /// Waits until no other process holds `file`, at most for `patience`; `kind` is the type of its file system. The
    /// error is a sentence.
    pub fn take(file: &Path, kind: &str, patience: Duration) -> Result<Self, String> {
        let wait = Wait { file: file.to_owned(), until: Instant::now() + patience, patience };
        let flock = match wait.flock() {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error.to_string()),
            flock => flock.map_err(|error| format!("{}: {error}", file.display()))?,
        };
        let wants_lease = flock.is_none() || reaches_one_machine(kind);
        let lease = wants_lease.then(|| wait.lease()).transpose().map_err(|error| error.to_string())?;
        Ok(Self { _flock: flock, lease })
    }

    /// Whether the lock is still held: a lease is lost if its holder pauses for too long.
    pub fn held(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::held)
    }
}

fn reaches_one_machine(kind: &str) -> bool {
    kind != "nfs4" && OWN_LOCKS.iter().any(|own| kind.starts_with(own))
}

struct Wait {
    file: PathBuf,
    until: Instant,
    patience: Duration,
}

impl Wait {
    /// `None` if the file system has no locks.
    fn flock(&self) -> io::Result<Option<File>> {
        let mut file = room::open(&self.file, OpenOptions::new().read(true).append(true).create(true))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => self.wait_for(&file)?,
            Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Only a message for those who wait; if there is no space to write it, the lock is valid all the same.
        let _ = file.set_len(0).and_then(|()| file.write_all(who().as_bytes()));
        Ok(Some(file))
    }

    /// Waits in a thread, because `flock` has no time limit. After the limit the thread stays behind; if it gets the
    /// lock later, it releases the lock at once.
    fn wait_for(&self, file: &File) -> io::Result<()> {
        let waiting = file.try_clone()?;
        let (sender, locked) = mpsc::sync_channel(1);
        thread::Builder::new().name("lock".into()).spawn(move || {
            let _ = sender.try_send(waiting.lock());
        })?;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            self.tell(&room::text(&self.file).unwrap_or_default(), left)?;
            match locked.recv_timeout(NEWS.min(left)) {
                Ok(result) => return result,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    fn lease(&self) -> io::Result<Lease> {
        let file = self.file.with_extension("lease");
        let mut seen = Seen::default();
        let mut told: Option<Instant> = None;
        loop {
            if let Some(lease) = Lease::attempt(&file, &who(), &mut seen, lease::DEAD)? {
                return Ok(lease);
            }
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() || told.is_none_or(|told| told.elapsed() >= NEWS) {
                self.tell(&lease::holder(&file), left)?;
                told = Some(Instant::now());
            }
            thread::sleep(LOOK.min(left));
        }
    }

    fn tell(&self, holder: &str, left: Duration) -> io::Result<()> {
        // Any user who can write to the volume can write this text.
        let holder: String = holder.trim().chars().filter(|c| !c.is_control()).take(NAMED).collect();
        let holder = if holder.is_empty() { "another container" } else { &holder };
        let file = self.file.display();
        if left.is_zero() {
            let why = format!(
                "{holder} still works on this volume after {:?} of waiting ({file}); stop it, then restart this \
                 step",
                self.patience
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        println!(
            "waiting for {holder}, which works on this volume ({file}); for {} s more, then this container goes on \
             without it. If the other container hangs, stop it",
            left.as_secs().max(1)
        );
        Ok(())
    }
}

/// This container's name, and the current time.
fn who() -> String {
    let name = crate::facts::host().unwrap_or_else(|| "a container".to_owned());
    let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
    format!("container {name} (since {now})")
}

fn has_no_locks(error: &io::Error) -> bool {
    let none = [nix::libc::ENOLCK, nix::libc::EOPNOTSUPP, nix::libc::ENOSYS, nix::libc::EINVAL];
    error.raw_os_error().is_some_and(|code| none.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lock_files_that_are_links_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (file, theirs) = (dir.path().join(".lock"), dir.path().join("theirs"));
        fs::write(&theirs, "text").unwrap();
        for link in [std::os::unix::fs::symlink, fs::hard_link] as [fn(_, _) -> io::Result<()>; 2] {
            link(theirs.clone(), file.clone()).unwrap();
            let told = Lock::take(&file, "ext4", Duration::ZERO).unwrap_err();
            assert!(told.contains("remove it"), "{told}");
            assert_eq!(fs::read_to_string(&theirs).unwrap(), "text");
            fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn only_one_holder_at_a_time_and_waiting_has_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".lock");
        for kind in ["ext4", "fuse.rclone"] {
            let first = Lock::take(&file, kind, Duration::ZERO).unwrap();
            assert!(first.held());
            let start = Instant::now();
            let told = Lock::take(&file, kind, Duration::from_millis(100)).unwrap_err();
            assert!(told.contains("since") && told.contains("stop it"), "{told}");
            assert!(start.elapsed() < Duration::from_secs(3));
            let waiting = thread::spawn({
                let (file, kind) = (file.clone(), kind.to_owned());
                move || Lock::take(&file, &kind, Duration::from_secs(20)).map(drop)
            });
            drop(first);
            waiting.join().unwrap().unwrap();
        }
    }

    #[test]
    fn name_of_a_holder_is_shown_as_one_short_line() {
        let wait = Wait { file: ".lock".into(), until: Instant::now(), patience: Duration::ZERO };
        let told = wait.tell(&format!("me\n\x1b[2J{}", "x".repeat(9999)), Duration::ZERO).unwrap_err();
        let told = told.to_string();
        assert!(told.starts_with("me[2Jxxx") && told.len() < 300, "{told}");
    }

    #[test]
    fn some_file_systems_have_locks_that_reach_one_machine_only() {
        for (kind, alone) in
            [("ext4", false), ("nfs4", false), ("nfs", true), ("fuse.rclone", true), ("9p", true)]
        {
            assert_eq!(reaches_one_machine(kind), alone, "{kind}");
        }
    }
}
