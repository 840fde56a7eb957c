//! Programs that a step has its work done by. A step is a process of its own in which nobody else waits for children,
//! so the standard library's way is right here, and only here.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How long what was told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// A program to run, in a process group of its own and with nothing to read.
pub(super) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// A program to run as somebody else, with nothing of this step's environment: it may have secrets.
pub(super) fn program_of(uid: u32, gid: u32, name: impl AsRef<OsStr>) -> Command {
    let mut command = program(name);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs it to its end, or for as long as `limit` allows. The error completes "NAME: …".
pub(super) fn run(command: &mut Command, limit: Option<Duration>) -> Result<(), String> {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let status = match finished(&child, limit) {
        Ok(true) => child.wait(),
        Ok(false) => {
            end(&mut child);
            return Err(format!("it took longer than {:?} and was ended", limit.unwrap_or_default()));
        }
        Err(error) => {
            end(&mut child);
            Err(error)
        }
    };
    let status = status.map_err(|error| error.to_string())?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("it ended with code {code}")),
        (_, signal) => Err(format!("signal {} ended it", signal.unwrap_or_default())),
    }
}

/// Whether it has ended within `limit`.
fn finished(child: &Child, limit: Option<Duration>) -> io::Result<bool> {
    let Some(limit) = limit else { return Ok(true) };
    let ended = pidfd_open(pid(child)?, PidfdFlags::empty())?;
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    loop {
        match poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result? > 0),
        }
    }
}

/// Ends it and its group, gently at first.
fn end(child: &mut Child) {
    let Ok(group) = pid(child) else { return };
    // Whoever has ended meanwhile cannot be told.
    let _ = kill_process_group(group, Signal::TERM);
    if !finished(child, Some(GRACE)).unwrap_or(false) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn pid(child: &Child) -> io::Result<Pid> {
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process without a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_well_or_says_how_it_ended() {
        let shell = |text: &str| {
            let mut command = program("/bin/sh");
            command.args(["-c", text]);
            command
        };
        let limit = Some(Duration::from_millis(200));
        for (text, limit, expected) in [
            ("exit 0", None, Ok(())),
            ("exit 3", None, Err("code 3")),
            ("kill -9 $$", None, Err("signal 9")),
            ("exit 0", Some(Duration::from_secs(20)), Ok(())),
            ("sleep 60 & sleep 60", limit, Err("longer than 200ms")),
        ] {
            match (run(&mut shell(text), limit), expected) {
                (Ok(()), Ok(())) => {}
                (Err(told), Err(expected)) => assert!(told.contains(expected), "{text}: {told}"),
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
        assert!(run(&mut program("/no/such/program"), None).is_err());
    }
}
