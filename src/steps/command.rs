//! Runs programs for a step. A step is a process of its own in which no other code waits for children, so the standard
//! library's process functions are right here, and only here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
pub(super) use std::process::Command;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Timespec = Timespec { tv_sec: 3, tv_nsec: 0 };

/// A program to run, in a process group of its own and with nothing to read.
pub(super) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// A program that runs as another user, with an empty environment: the step's environment may have secrets.
pub(super) fn program_of(uid: u32, gid: u32, name: impl AsRef<OsStr>) -> Command {
    let mut command = program(name);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs the program to its end, or until `limit`. The error text follows "NAME: …".
pub(super) fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    block_on(async {
        let mut running = Running::start(command)?;
        let late = |_| format!("it took longer than {limit:?} and was ended");
        outcome(timeout(limit, running.ended()).await.map_err(late)??)
    })
}

/// Runs the program to its end and passes each line of its output to `each`, as long as `each` returns true. Lines end
/// with a line feed or, where a program overwrites its progress line, with a carriage return. A program that prints
/// nothing for `silence` is ended.
pub(super) fn lines(
    command: &mut Command,
    silence: Duration,
    mut each: impl FnMut(&str) -> bool,
) -> Result<(), String> {
    block_on(async {
        let mut running = Running::start(command.stdout(Stdio::piped()))?;
        let output = running.child.stdout.take().ok_or("it has no output")?;
        let mut output = pipe::Receiver::from_owned_fd(output.into()).map_err(text)?;
        let (mut line, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            let silent = |_| format!("it printed nothing for {silence:?} and was ended");
            let length = timeout(silence, output.read(&mut chunk)).await.map_err(silent)?.map_err(text)?;
            if length == 0 {
                break;
            }
            for byte in &chunk[..length] {
                if !b"\r\n".contains(byte) {
                    line.push(*byte);
                } else if !line.is_empty() {
                    if !each(&String::from_utf8_lossy(&line)) {
                        return Err("it was ended".to_owned());
                    }
                    line.clear();
                }
            }
        }
        let late = |_| format!("it closed its output and did not end within {silence:?}");
        outcome(timeout(silence, running.ended()).await.map_err(late)??)
    })
}

fn outcome(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(told(status)) }
}

/// How the program ended, in words.
pub(super) fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with code {code}"),
        (_, signal) => format!("signal {} ended it", signal.unwrap_or_default()),
    }
}

/// The exit code as a shell shows it.
pub(super) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// A program of the user, in a session of its own: processes that it leaves in the background on purpose count as jobs
/// and stay (the module `sys::jobs`). Services have no TERM; this program gets one.
pub(super) fn in_new_session(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/usr/bin/setsid");
    command.arg(name).stdin(Stdio::null()).env("TERM", "dumb");
    command
}

/// A program while it runs. If dropped before the program has ended, the program and its process group are ended, with
/// SIGTERM first.
pub(super) struct Running {
    child: Child,
    group: Pid,
    ended: AsyncFd<OwnedFd>,
    here: bool,
}

impl Running {
    /// Starts the program; must be called within a runtime.
    pub(super) fn start(command: &mut Command) -> Result<Self, String> {
        let mut child = command.spawn().map_err(text)?;
        let group = Pid::from_raw(child.id().cast_signed()).ok_or("a process without a number")?;
        #[expect(
            deprecated,
            reason = "sound here: no other code owns the descriptor, and it is open until it is dropped"
        )]
        let watch = |end| AsyncFd::new(end);
        match pidfd_open(group, PidfdFlags::empty()).map_err(Into::into).and_then(watch) {
            Ok(ended) => Ok(Self { child, group, ended, here: true }),
            Err(error) => {
                let _ = child.kill().and_then(|()| child.wait());
                Err(text(error))
            }
        }
    }

    /// Waits for the end of the program.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, String> {
        let _ = self.ended.readable().await.map_err(text)?;
        self.here = false;
        self.child.wait().map_err(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.here {
            return;
        }
        // A process that has already ended cannot get a signal; that is no error.
        let _ = kill_process_group(self.group, Signal::TERM);
        let mut end = [PollFd::new(self.ended.get_ref(), PollFlags::IN)];
        if !retry_on_intr(|| poll(&mut end, Some(&GRACE))).is_ok_and(|ended| ended > 0) {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The output of a program that reads a file, such as `xz`. If dropped before the program has ended, the program is
/// ended.
pub(super) struct Filtered {
    child: Child,
    output: ChildStdout,
}

impl Filtered {
    /// Starts the program, which reads `file` from its present position.
    pub(super) fn start(command: &mut Command, file: File) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::from(file)).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        Ok(Self { child, output })
    }
}

impl Read for Filtered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.output.read(into)?;
        if length == 0 && !into.is_empty() {
            outcome(self.child.wait()?).map_err(io::Error::other)?;
        }
        Ok(length)
    }
}

impl Drop for Filtered {
    fn drop(&mut self) {
        // Has no effect on a process that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs work within a runtime.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(text)?;
    let result = runtime.block_on(work);
    // A thread that resolves a host name may take long.
    runtime.shutdown_background();
    result
}

/// Like [`block_on`], for work that may take long. On SIGTERM the work is dropped, so that its clean-up code runs.
pub(super) fn until_told<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    block_on(async {
        let mut told = signal(SignalKind::terminate()).map_err(text)?;
        tokio::select! {
            result = work => result,
            _ = told.recv() => Err("it was stopped before it had finished".to_owned()),
        }
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: std::io::Error) -> String {
    error.to_string()
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
        let (short, long) = (Duration::from_millis(200), Duration::from_secs(20));
        for (text, limit, expected) in [
            ("exit 0", long, Ok(())),
            ("exit 3", long, Err("code 3")),
            ("kill -9 $$", long, Err("signal 9")),
            ("sleep 60 & sleep 60", short, Err("longer than 200ms")),
        ] {
            match (run(&mut shell(text), limit), expected) {
                (Ok(()), Ok(())) => {}
                (Err(told), Err(expected)) => assert!(told.contains(expected), "{text}: {told}"),
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
        assert!(run(&mut program("/no/such/program"), long).is_err());
    }

    #[test]
    fn lines_are_shown_as_they_come() {
        let heard = |text: &str, last: &str| {
            let mut said = Vec::new();
            let mut shell = program("/bin/sh");
            let result = lines(shell.args(["-c", text]), Duration::from_millis(300), |line| {
                said.push(line.to_owned());
                line != last
            });
            (said.join("|"), result.map_err(|why| why.split(' ').nth(1).unwrap_or_default().to_owned()))
        };
        let failed = |why: &str| Err(why.to_owned());
        for (text, said, result) in [
            (r"printf '1%%\r2%%\r\n3%%\n\n'", "1%|2%|3%", Ok(())),
            (r"echo 1; exit 3", "1", failed("ended")),
            (r"echo 1; sleep 60; echo 2", "1", failed("printed")),
            (r"echo 1; exec >&-; sleep 60", "1", failed("closed")),
            (r"echo 1; echo last; sleep 60", "1|last", failed("was")),
        ] {
            assert_eq!(heard(text, "last"), (said.to_owned(), result), "{text}");
        }
    }
}
