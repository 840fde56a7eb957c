//! Which processes below a guard are a person's own jobs: what was started from a terminal and then detached from it.
//!
//! A desktop that is restarted must be gone before it comes back, but a build in `tmux`, or a training that was
//! started with `nohup`, `setsid` or `disown`, is not part of it. Parents, groups and terminals do not tell them
//! apart: a detached job and a helper that put itself in the background (a kioworker) look the same there, both with a
//! session of their own, no terminal, and the guard as their parent. What differs is what they were born with:
//!
//! - A terminal emulator gives what it starts `TERM` and a session of its own. Services get no `TERM` (the planner
//!   leaves the daemon's own out), so neither does the desktop, nor what it or its message bus starts. A unit that has
//!   one all the same shares it with its helpers; only another value tells something then.
//! - Some programs write their title over their environment, or are started with an empty one. Of what the unit was
//!   given nothing is left in it then, which no helper of a desktop does; in doubt, and in a session of its own, it is
//!   somebody's work.
//! - What is below a job belongs to it, whatever it looks like (`sudo make` in a pane of tmux).
//!
//! Whose environment cannot be read (an `ssh-agent`, which forbids it) is no job. A shell in a terminal's window is
//! spared as well, but loses its terminal and gets HUP with the emulator, and passes that on to what was not detached:
//! all is as if its window had been closed. A program with a window ends with the X server, detached or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use super::launch::Bytes;
use super::process::{Stat, below};
use super::read;

/// No environment is larger. Bytes.
const MAX_ENVIRONMENT: u64 = 8 << 20;

/// What is known of a unit, to tell its own processes from jobs.
pub(super) struct Own {
    /// The unit's main process, which leads its session.
    pub(super) main: i32,
    /// The environment that the unit was started with.
    pub(super) env: Vec<(Bytes, Bytes)>,
}

impl Own {
    /// The jobs among the processes below `root`, and all that is below them.
    pub(super) fn jobs(&self, root: i32, all: &BTreeMap<i32, Stat>) -> BTreeSet<i32> {
        self.jobs_by(root, all, environment)
    }

    fn jobs_by(
        &self,
        root: i32,
        all: &BTreeMap<i32, Stat>,
        environment: impl Fn(i32) -> Option<Vec<u8>>,
    ) -> BTreeSet<i32> {
        let mut jobs = BTreeSet::new();
        for pid in below(root, all) {
            let stat = &all[&pid];
            let left = pid != self.main && stat.session != self.main && !stat.is_zombie();
            // What is below a job known already needs no look.
            if left && !jobs.contains(&pid) && environment(pid).is_some_and(|env| self.is_foreign(&env)) {
                jobs.insert(pid);
                jobs.extend(below(pid, all));
            }
        }
        jobs
    }

    /// Whether a process with this environment has it from elsewhere than from the unit.
    fn is_foreign(&self, environment: &[u8]) -> bool {
        let value = |name: &[u8]| {
            let mut entries = environment.split(|byte| *byte == 0);
            entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
        };
        let given = self.env.iter().find(|(name, _)| name == b"TERM").map(|(_, value)| value.as_slice());
        match value(b"TERM") {
            Some(term) => given != Some(term),
            None => !self.env.iter().any(|(name, _)| value(name).is_some()),
        }
    }
}

/// The environment that a process was started with, if it can be read.
///
/// Root needs a capability for another user's, which containers seldom have; a process whose identity towards files
/// is that user's does not.
fn environment(pid: i32) -> Option<Vec<u8>> {
    let owner = fs::metadata(format!("/proc/{pid}")).ok()?;
    let _identity = FileIdentity::assume(Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    let file = format!("/proc/{pid}/environ");
    let bytes = read::beginning(Path::new(&file), MAX_ENVIRONMENT).ok()?;
    // Whoever is just ending has lost its memory and looks as if it had been given nothing.
    let has_memory = || {
        let statm = read::kernel(format!("/proc/{pid}/statm"));
        !statm.is_empty() && !statm.starts_with(b"0 ")
    };
    (!bytes.is_empty() || has_memory()).then_some(bytes)
}

/// Another user's identity towards files, until it is dropped. Where that is not allowed, nothing changes.
struct FileIdentity {
    uid: Uid,
    gid: Gid,
}

impl FileIdentity {
    fn assume(uid: Uid, gid: Gid) -> Self {
        // The group first: it takes the right that the user's change takes away.
        let gid = setfsgid(gid);
        Self { uid: setfsuid(uid), gid }
    }
}

impl Drop for FileIdentity {
    fn drop(&mut self) {
        setfsuid(self.uid);
        setfsgid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(env: &[(&str, &str)]) -> Own {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Own { main: 10, env: env.iter().map(|(name, value)| (bytes(name), bytes(value))).collect() }
    }

    fn stat(parent: i32, session: i32) -> Stat {
        Stat { state: 'S', parent, session }
    }

    #[test]
    fn jobs_have_their_own_session_and_an_environment_from_elsewhere() {
        // 1 is the guard, 10 the unit; 20 a terminal and 21 its shell with a job, 30 to 33 were left to the guard.
        let mut all = BTreeMap::from([
            (10, stat(1, 10)),
            (20, stat(10, 10)),
            (21, stat(20, 21)),
            (22, stat(21, 21)),
            (30, stat(1, 29)),
            (31, stat(1, 31)),
            (32, stat(31, 32)),
            (33, stat(1, 33)),
            (40, stat(5, 40)),
        ]);
        all.insert(34, Stat { state: 'Z', parent: 1, session: 34 });
        let environment = |pid: i32| match pid {
            // A program with a window, started from the terminal: part of the desktop's own session in spite of TERM.
            20 | 21 | 22 | 31 | 40 => Some(b"HOME=/h\0TERM=xterm\0".to_vec()),
            // A pane whose shell was given nothing.
            32 => Some(b"HOME=/h\0".to_vec()),
            // A helper.
            30 => Some(b"HOME=/h\0LANG=C\0TERMINAL=x\0".to_vec()),
            // A title over the environment.
            33 => Some(b"worker: idle\0\0\0".to_vec()),
            34 => Some(Vec::new()),
            _ => None,
        };
        let jobs = own(&[("HOME", "/h")]).jobs_by(1, &all, environment);
        assert_eq!(jobs, BTreeSet::from([21, 22, 31, 32, 33]));
    }

    #[test]
    fn what_a_unit_was_given_says_nothing_of_what_it_starts() {
        let own = own(&[("HOME", "/h"), ("TERM", "dumb")]);
        assert!(!own.is_foreign(b"HOME=/h\0TERM=dumb\0"));
        assert!(own.is_foreign(b"HOME=/h\0TERM=xterm\0"));
        assert!(own.is_foreign(b""));
    }

    #[test]
    fn an_environment_is_read_and_the_identity_given_back() {
        let own = std::process::id().cast_signed();
        let read = environment(own).expect("one's own environment");
        assert!(read.windows(5).any(|five| five == b"PATH="), "{}", String::from_utf8_lossy(&read));
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let ids = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        for name in ["Uid:", "Gid:"] {
            let ids = ids(name);
            assert_eq!(ids[1], ids[3], "the effective one and that for files: {ids:?}");
        }
        assert_eq!(environment(-1), None);
    }
}
