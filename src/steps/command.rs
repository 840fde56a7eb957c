//! Runs programs for a step. A step is a process of its own in which no other code waits for children, so the standard
//! library's process functions are right here, and only here.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
pub(super) use std::process::Command;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(3);

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
pub(super) fn run(command: &mut Command, limit: Option<Duration>) -> Result<(), String> {
    let child = command.spawn().map_err(|error| error.to_string())?;
    result(child, limit, || format!("it took longer than {:?} and was ended", limit.unwrap_or_default()))
}

/// Runs the program to its end and passes each line of its output to `each`, as long as `each` returns true. Lines end
/// with a line feed or, where a program overwrites its progress line, with a carriage return. A program that prints
/// nothing for `silence` is ended.
pub(super) fn lines(
    command: &mut Command,
    silence: Duration,
    mut each: impl FnMut(&str) -> bool,
) -> Result<(), String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let read = child.stdout.take().map_or(Ok(()), |output| follow(output, silence, &mut each));
    if let Err(why) = read {
        end(&mut child);
        return Err(why);
    }
    result(child, Some(silence), || format!("it closed its output and did not end within {silence:?}"))
}

/// Passes the lines of `output` to `each` until its end.
fn follow(
    mut output: ChildStdout,
    silence: Duration,
    each: &mut impl FnMut(&str) -> bool,
) -> Result<(), String> {
    let limit = Timespec::try_from(silence).map_err(|error| error.to_string())?;
    let (mut line, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&limit)) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.to_string()),
            Ok(0) => return Err(format!("it printed nothing for {silence:?} and was ended")),
            Ok(_) => {}
        }
        let length = output.read(&mut chunk).map_err(|error| error.to_string())?;
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
        if length == 0 {
            return Ok(());
        }
    }
}

/// The result of the program; `late` gives the error text if the program did not end within `limit`.
fn result(mut child: Child, limit: Option<Duration>, late: impl Fn() -> String) -> Result<(), String> {
    let status = match finished(&child, limit) {
        Ok(true) => child.wait(),
        Ok(false) => {
            end(&mut child);
            return Err(late());
        }
        Err(error) => {
            end(&mut child);
            Err(error)
        }
    };
    let status = status.map_err(|error| error.to_string())?;
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

/// Such a program while it runs. If dropped before the program has ended, the program and its process group are ended,
/// with SIGTERM first.
pub(super) struct Running {
    child: Child,
    ended: AsyncFd<OwnedFd>,
    here: bool,
}

impl Running {
    /// Starts the program; must be called within a runtime.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        #[expect(
            deprecated,
            reason = "sound here: no other code owns the descriptor, and it is open until it is dropped"
        )]
        let watch = |end| AsyncFd::new(end);
        let ended = pid(&child)
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?))
            .and_then(watch)
            .inspect_err(|_| end(&mut child))?;
        Ok(Self { child, ended, here: true })
    }

    /// Waits for the end of the program.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let _ = self.ended.readable().await?;
        self.here = false;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.here {
            end(&mut self.child);
        }
    }
}

/// Runs work that may take long, within a runtime. On SIGTERM the work is dropped, so that its clean-up code runs.
pub(super) fn until_told<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let result = runtime.block_on(async {
        let mut told = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        tokio::select! {
            result = work => result,
            _ = told.recv() => Err("it was stopped before it had finished".to_owned()),
        }
    });
    // A thread that resolves a host name may take long.
    runtime.shutdown_background();
    result
}

/// Whether the program has ended within `limit`.
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

/// Ends the program and its process group, with SIGTERM first.
fn end(child: &mut Child) {
    let Ok(group) = pid(child) else { return };
    // A process that has already ended cannot get a signal; that is no error.
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
