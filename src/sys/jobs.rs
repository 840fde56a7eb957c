//! A restart of a desktop spares the jobs of its user: programs that were started in a terminal and then detached from
//! it (`tmux`, `nohup`, `setsid`, `disown`). A job is a process below the guard, outside of the unit's session, whose
//! environment was not inherited from the unit: it has a `TERM` that the unit does not have, or no variable of the unit
//! at all; all processes below a job belong to the job.
//!
//! Parents, groups and terminals do not distinguish a job from a helper that put itself in the background (a
//! kioworker): both have a session of their own, no terminal, and the guard as parent. But a terminal emulator gives
//! each program a `TERM`, and services get none: the planner removes the daemon's own. No variable is left when a
//! program wrote its title over its environment, or was started with an empty one; no helper of a desktop does that.
//!
//! A process whose environment cannot be read (an `ssh-agent` forbids it) is not a job. A shell in a terminal window
//! also counts as a job. It loses its terminal when the emulator ends, gets HUP, and passes HUP on to programs that
//! were not detached, as if the window had been closed. A program with a window ends with the X server, detached or
//! not.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use super::process::{Stat, below};
use super::read;

/// The largest environment that is read. Bytes.
const MAX_ENVIRONMENT: u64 = 8 << 20;

/// The facts about a unit that distinguish its own processes from jobs.
pub(super) struct Own {
    /// The unit's main process, which leads its session.
    pub(super) main: i32,
    /// The environment that the unit was started with.
    pub(super) env: BTreeMap<OsString, OsString>,
}

impl Own {
    /// The jobs among the processes below `root`, and all processes below these jobs. `environment` is [`environment`],
    /// except in tests.
    pub(super) fn jobs(
        &self,
        root: i32,
        all: &BTreeMap<i32, Stat>,
        environment: impl Fn(i32) -> Option<Vec<u8>>,
    ) -> BTreeSet<i32> {
        let mut jobs = BTreeSet::new();
        for pid in below(root, all) {
            let stat = &all[&pid];
            let left = pid != self.main && stat.session != self.main && !stat.is_zombie();
            // Processes below a known job are in the set already.
            if left && !jobs.contains(&pid) && environment(pid).is_some_and(|env| self.is_foreign(&env)) {
                jobs.insert(pid);
                jobs.extend(below(pid, all));
            }
        }
        jobs
    }

    /// Whether this environment was not inherited from the unit.
    fn is_foreign(&self, environment: &[u8]) -> bool {
        let value = |name: &[u8]| {
            let mut entries = environment.split(|byte| *byte == 0);
            entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
        };
        let given = self.env.get(OsStr::new("TERM")).map(|value| value.as_bytes());
        match value(b"TERM") {
            Some(term) => given != Some(term),
            None => !self.env.keys().any(|name| value(name.as_bytes()).is_some()),
        }
    }
}

/// The environment that a process was started with, if it can be read.
///
/// To read the environment of another user's process, root needs a capability that containers seldom have. A process
/// that has that user's identity for file access does not need the capability.
pub(super) fn environment(pid: i32) -> Option<Vec<u8>> {
    let owner = fs::metadata(format!("/proc/{pid}")).ok()?;
    let _identity = FileIdentity::assume(Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    let file = format!("/proc/{pid}/environ");
    let bytes = read::beginning(Path::new(&file), MAX_ENVIRONMENT).ok()?;
    // A process that is exiting has released its memory, so its environment looks empty.
    let has_memory = || {
        let statm = read::kernel(format!("/proc/{pid}/statm"));
        !statm.is_empty() && !statm.starts_with(b"0 ")
    };
    (!bytes.is_empty() || has_memory()).then_some(bytes)
}

/// Another user's identity for file access, until the value is dropped. Where that is not allowed, nothing changes.
struct FileIdentity {
    uid: Uid,
    gid: Gid,
}

impl FileIdentity {
    fn assume(uid: Uid, gid: Gid) -> Self {
        // The group first: after the change of the user, the process may not change the group any more.
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
        Own { main: 10, env: env.iter().map(|(name, value)| (name.into(), value.into())).collect() }
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
            // Processes with TERM. The first one is in the session of the unit: part of the desktop in spite of TERM.
            20 | 21 | 22 | 31 | 40 => Some(b"HOME=/h\0TERM=xterm\0".to_vec()),
            // A process without TERM below a job.
            32 => Some(b"HOME=/h\0".to_vec()),
            // A helper.
            30 => Some(b"HOME=/h\0LANG=C\0TERMINAL=x\0".to_vec()),
            // A process that wrote its title over its environment.
            33 => Some(b"worker: idle\0\0\0".to_vec()),
            34 => Some(Vec::new()),
            _ => None,
        };
        let jobs = own(&[("HOME", "/h")]).jobs(1, &all, environment);
        assert_eq!(jobs, BTreeSet::from([21, 22, 31, 32, 33]));
    }

    #[test]
    fn same_term_as_the_unit_is_no_sign_of_a_job() {
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
