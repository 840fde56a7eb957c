//! A lock for file systems whose own locks do not reach the other machines that mount them: a file with its holder's
//! name and a counter that increases while the holder lives. A waiter removes the file when the counter has not changed
//! for a long time by the waiter's own clock, so the clocks of two machines are never compared.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::room;

/// How often the holder counts, and after which time without a change it is considered dead. Some network file systems
/// show what other machines wrote only after a few seconds.
const BEAT: Duration = Duration::from_secs(3);
pub(super) const DEAD: Duration = Duration::from_secs(30);

/// A lease that this process holds until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    file: PathBuf,
    nonce: String,
    lost: Arc<AtomicBool>,
    // Dropping this ends the thread that counts.
    _end: Sender<()>,
}

/// What a waiter has seen of the holder.
#[derive(Debug, Default)]
pub(super) struct Seen {
    text: String,
    since: Option<Instant>,
}

impl Lease {
    /// Takes the lease if it is free. Removes it if its counter has not changed for `dead`. `None` while it is held.
    pub fn attempt(file: &Path, who: &str, seen: &mut Seen, dead: Duration) -> io::Result<Option<Self>> {
        let nonce = format!("{:016x}", rand::random::<u64>());
        match OpenOptions::new().write(true).create_new(true).open(file) {
            Ok(mut made) => {
                made.write_all(line(&nonce, 0, who).as_bytes())?;
                return Self::hold(file, nonce, who).map(Some);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let text = room::text(file).unwrap_or_default();
        match seen.since {
            Some(since) if seen.text == text => {
                if since.elapsed() >= dead {
                    take_away(file, &text, &nonce)?;
                    *seen = Seen::default();
                }
            }
            _ => *seen = Seen { text, since: Some(Instant::now()) },
        }
        Ok(None)
    }

    fn hold(file: &Path, nonce: String, who: &str) -> io::Result<Self> {
        let (end, ended) = mpsc::channel();
        let lost = Arc::new(AtomicBool::new(false));
        let (place, mine, who, gone) = (file.to_owned(), nonce.clone(), who.to_owned(), Arc::clone(&lost));
        thread::Builder::new().name("lease".into()).spawn(move || {
            let mut count = 0_u64;
            while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                count += 1;
                let held = room::text(&place).is_ok_and(|text| text.starts_with(&mine));
                // A failed write is made up for by the next one.
                if held {
                    let file = room::open(&place, OpenOptions::new().write(true).truncate(true));
                    let _ = file.and_then(|mut file| file.write_all(line(&mine, count, &who).as_bytes()));
                } else {
                    gone.store(true, Ordering::Relaxed);
                }
            }
        })?;
        Ok(Self { file: file.to_owned(), nonce, lost, _end: end })
    }

    /// Whether this process still holds the lease; another process takes it away from a holder that stopped counting.
    pub fn held(&self) -> bool {
        !self.lost.load(Ordering::Relaxed)
            && room::text(&self.file).is_ok_and(|text| text.starts_with(&self.nonce))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.held() {
            // If it cannot be removed, it expires like that of a dead holder.
            let _ = fs::remove_file(&self.file);
        }
    }
}

/// The name of the holder, if it can be read.
pub(super) fn holder(file: &Path) -> String {
    let text = room::text(file).unwrap_or_default();
    text.trim_end().splitn(3, ' ').nth(2).unwrap_or_default().to_owned()
}

fn line(nonce: &str, count: u64, who: &str) -> String {
    format!("{nonce} {count} {who}\n")
}

/// Removes the lease whose text is `text`, but not another lease that replaced it meanwhile.
fn take_away(file: &Path, text: &str, nonce: &str) -> io::Result<()> {
    let aside = file.with_extension(nonce);
    match fs::rename(file, &aside) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    if room::text(&aside).unwrap_or_default() != text {
        // The holder lives after all, or this is another lease: it is put back, unless a new one exists already.
        let _ = fs::hard_link(&aside, file);
    }
    fs::remove_file(&aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_one_holder_and_a_dead_holders_lease_expires() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock.lease");
        let (mut seen, short) = (Seen::default(), Duration::from_millis(50));
        let first = Lease::attempt(&file, "first since noon", &mut seen, short).unwrap().unwrap();
        assert_eq!(holder(&file), "first since noon");
        assert!(Lease::attempt(&file, "second", &mut seen, short).unwrap().is_none());
        drop(first);
        assert!(!file.exists());
        fs::write(&file, line("00", 7, "dead since long")).unwrap();
        let start = Instant::now();
        let second = loop {
            if let Some(lease) = Lease::attempt(&file, "second", &mut seen, short).unwrap() {
                break lease;
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(start.elapsed() >= short && second.held());
        // Another holder took the lease: it must not be removed here.
        fs::write(&file, line("11", 0, "third")).unwrap();
        assert!(!second.held());
        drop(second);
        assert_eq!(holder(&file), "third");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lease_whose_counter_changed_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lock.lease");
        fs::write(&file, line("00", 8, "alive")).unwrap();
        take_away(&file, &line("00", 7, "alive"), "nonce").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), line("00", 8, "alive"));
        take_away(&file, &line("00", 8, "alive"), "nonce").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        take_away(&file, "", "nonce").unwrap();
    }
}
