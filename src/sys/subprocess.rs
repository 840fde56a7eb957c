//! A child process for one question: this program again, in an internal subcommand that answers in lines, or with one
//! file.
//!
//! The library of a driver can hang, crash, or print without end, and a thread of PID 1 that hangs in a library cannot
//! be ended. So the child has a time limit, and its output has a size limit. Whatever happens, the child's process group
//! gets KILL at the end. A process that hangs in the kernel ends later, so the end of a late child is not awaited.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::io::retry_on_intr;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::launch::{self, Orders, Report, Resources};
use super::limits::{Limit, Resource, inherited_open_files};
use super::process::{signal_group, signal_rest};
use super::reaper::{Exit, Reaper, Role, Stdio3};
use super::terminal;

/// The most that a child may print, on standard output and on standard error each. Bytes.
const MOST: usize = 1 << 20;

/// The size of a pipe. Bytes.
const PIPE: usize = 64 << 10;

/// How much of the end of standard error is kept. Bytes.
const LAST_WORDS: usize = 512;

/// The mask for files that the child creates: none are for other users.
const UMASK: u32 = 0o077;

/// No core dump: a crash is an answer here.
pub const NO_CORE: Limit = Limit { resource: Resource::Core, soft: 0, hard: 0 };

/// A question to a child process.
pub struct Question<'a> {
    /// The internal subcommand and its arguments.
    pub words: &'a [&'a str],
    /// The child's whole environment.
    pub env: &'a BTreeMap<OsString, OsString>,
    /// When the child is ended.
    pub deadline: Instant,
}

/// Why an answer is not complete, and what the child printed on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// What happened.
    pub cause: Cause,
    /// The end of standard error in one line, safe for a terminal; it may be empty.
    pub last_words: String,
}

/// What ended an answer early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The child could not be started.
    NotStarted(String),
    /// The child ended.
    Ended(Exit),
    /// The deadline passed.
    Late,
    /// The child printed too much.
    TooMuch,
}

impl Unanswered {
    /// The reason in words. `library` is what the child has to do with, `limit` the time that the child had.
    pub fn reason(&self, library: &str, limit: Duration) -> String {
        let cause = match &self.cause {
            Cause::NotStarted(error) => format!("{library} was not asked: starting a process: {error}"),
            Cause::Ended(Exit::Signal(signal)) => format!("{library} crashed (signal {})", name(*signal)),
            Cause::Ended(exit) => format!("{library} ended its process with {exit} and gave no answer"),
            Cause::Late => format!("{library} timed out after {} s", limit.as_secs_f32()),
            Cause::TooMuch => format!("{library} printed more than {} MiB", MOST >> 20),
        };
        if self.last_words.is_empty() { cause } else { format!("{cause}; it printed: {}", self.last_words) }
    }
}

fn name(signal: i32) -> String {
    let known = Signal::try_from(signal).map(|signal| signal.as_str().trim_start_matches("SIG"));
    known.map_or_else(|_| signal.to_string(), str::to_owned)
}

/// Asks a child process. `each` gets each line of the answer, and says after which line the answer is complete.
pub async fn ask(
    reaper: &Reaper,
    question: &Question<'_>,
    mut each: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<(), Unanswered> {
    let mut child = Child::start(reaper, &orders(question)).map_err(|error| not_started(&error))?;
    let heard = child.listen(question.deadline, &mut each).await;
    heard.map_err(|cause| Unanswered { cause, last_words: in_one_line(&child.said) })
}

/// Runs a child process, and returns all that it prints on standard output if it ends with success. `most` is the
/// largest size of that, in bytes.
pub async fn output(
    reaper: &Reaper,
    orders: &Orders,
    deadline: Instant,
    most: usize,
) -> Result<Vec<u8>, Unanswered> {
    let mut child = Child::start(reaper, orders).map_err(|error| not_started(&error))?;
    let gathered = child.gather(deadline, most).await;
    gathered.map_err(|cause| Unanswered { cause, last_words: in_one_line(&child.said) })
}

fn not_started(error: &io::Error) -> Unanswered {
    Unanswered { cause: Cause::NotStarted(error.to_string()), last_words: String::new() }
}

/// The orders for the child. Without core dumps: a crash is an answer here.
fn orders(question: &Question<'_>) -> Orders {
    Orders {
        argv: ["/proc/self/exe"].iter().chain(question.words).map(|word| (*word).to_owned()).collect(),
        env: question.env.clone(),
        cwd: PathBuf::from("/"),
        resources: Resources {
            umask: UMASK,
            limits: inherited_open_files().into_iter().chain([NO_CORE]).collect(),
            ..Resources::default()
        },
        quiet: true,
        ..Orders::default()
    }
}

/// A child while it answers. When dropped, its process group gets KILL.
struct Child {
    pid: i32,
    exit: oneshot::Receiver<Exit>,
    /// Whether the child was collected: its number may be reused, that of its group cannot.
    collected: bool,
    /// The socket on which a failed launch is reported.
    control: UnixStream,
    out: pipe::Receiver,
    err: pipe::Receiver,
    lines: Lines,
    /// The end of standard error, and how many bytes all of it had.
    said: Vec<u8>,
    said_in_all: usize,
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.collected || self.exit.try_recv().is_ok() {
            signal_rest(self.pid, Signal::SIGKILL);
        } else {
            signal_group(self.pid, Signal::SIGKILL);
        }
    }
}

impl Child {
    fn start(reaper: &Reaper, orders: &Orders) -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let ((out, out_writer), (err, err_writer)) = (io::pipe()?, io::pipe()?);
        let out = pipe::Receiver::from_owned_fd(OwnedFd::from(out))?;
        let err = pipe::Receiver::from_owned_fd(OwnedFd::from(err))?;
        control.set_nonblocking(true)?;
        let stdio = Stdio3 { control: theirs.into(), out: out_writer.into(), err: err_writer.into() };
        let (pid, exit) = reaper.spawn(Role::Exec, stdio)?;
        let (pid, lines, said) = (pid.as_raw(), Lines::default(), Vec::new());
        let child = Self { pid, exit, collected: false, control, out, err, lines, said, said_in_all: 0 };
        // The orders are smaller than the socket's buffer. A child that has ended already reports that by its exit.
        match launch::send(&child.control, orders, &[]) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(child),
        }
    }

    /// Passes lines on until the answer is complete.
    async fn listen(
        &mut self,
        deadline: Instant,
        each: &mut impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), Cause> {
        let (mut of_out, mut of_err) = (vec![0; 4096], vec![0; 512]);
        let (mut out_open, mut err_open) = (true, true);
        loop {
            tokio::select! {
                // The deadline first: a child that prints without a pause must not keep it from being seen.
                biased;
                () = sleep_until(deadline) => return Err(Cause::Late),
                read = self.out.read(&mut of_out), if out_open => {
                    let length = read.unwrap_or(0);
                    out_open = length > 0;
                    if self.lines.take(&of_out[..length], each)?.is_break() {
                        return Ok(());
                    }
                }
                read = self.err.read(&mut of_err), if err_open => {
                    let length = read.unwrap_or(0);
                    err_open = length > 0;
                    self.keep(&of_err[..length]);
                    if self.said_in_all > MOST {
                        return Err(Cause::TooMuch);
                    }
                }
                exit = &mut self.exit => {
                    self.collected = true;
                    return self.last(exit.unwrap_or(Exit::Code(0)), each);
                }
            }
        }
    }

    /// Reads standard output to its end, and waits for the exit.
    async fn gather(&mut self, deadline: Instant, most: usize) -> Result<Vec<u8>, Cause> {
        let (mut all, mut of_err) = (Vec::new(), vec![0; 512]);
        let (mut out_open, mut err_open, mut exit) = (true, true, None);
        loop {
            if let (false, Some(exit)) = (out_open, exit) {
                let Exit::Code(0) = exit else {
                    let failure = self.launch_failure().map_or(Cause::Ended(exit), Cause::NotStarted);
                    return Err(failure);
                };
                return Ok(all);
            }
            // A whole pipe at once.
            all.reserve(if out_open { PIPE } else { 0 });
            tokio::select! {
                biased;
                () = sleep_until(deadline) => return Err(Cause::Late),
                read = self.out.read_buf(&mut all), if out_open => {
                    out_open = read.unwrap_or(0) > 0;
                    if all.len() > most {
                        return Err(Cause::TooMuch);
                    }
                }
                read = self.err.read(&mut of_err), if err_open => {
                    let length = read.unwrap_or(0);
                    err_open = length > 0;
                    self.keep(&of_err[..length]);
                    if self.said_in_all > MOST {
                        return Err(Cause::TooMuch);
                    }
                }
                ended = &mut self.exit, if exit.is_none() => {
                    self.collected = true;
                    exit = Some(ended.unwrap_or(Exit::Code(0)));
                }
            }
        }
    }

    /// Takes what an ended child has left in the pipes. A process of its group may keep them open.
    fn last(&mut self, exit: Exit, each: &mut impl FnMut(&str) -> ControlFlow<()>) -> Result<(), Cause> {
        let mut chunk = vec![0; 4096];
        while let Ok(length @ 1..) = retry_on_intr(|| rustix::io::read(&self.out, &mut chunk[..])) {
            if self.lines.take(&chunk[..length], each)?.is_break() {
                return Ok(());
            }
        }
        // As much as a pipe holds: another process may write without end.
        for _ in 0..16 {
            match retry_on_intr(|| rustix::io::read(&self.err, &mut chunk[..])) {
                Ok(length @ 1..) => self.keep(&chunk[..length]),
                _ => break,
            }
        }
        Err(self.launch_failure().map_or(Cause::Ended(exit), Cause::NotStarted))
    }

    /// The report of a launch that failed.
    fn launch_failure(&mut self) -> Option<String> {
        let mut buffer = vec![0; 4096];
        let length = self.control.read(&mut buffer).ok()?;
        buffer.truncate(length);
        match launch::unframe(&mut buffer).ok()?? {
            Report::Failed { operation, errno } => Some(Report::describe(&operation, errno)),
            _ => None,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.said_in_all += bytes.len();
        self.said.extend_from_slice(bytes);
        let more = self.said.len().saturating_sub(LAST_WORDS);
        self.said.drain(..more);
    }
}

/// Puts lines together.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    /// All bytes so far.
    total: usize,
}

impl Lines {
    fn take(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Cause> {
        self.total += bytes.len();
        if self.total > MOST {
            return Err(Cause::TooMuch);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if self.begun.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.begun);
                if each(String::from_utf8_lossy(&line).trim_end()).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The lines of `bytes` in one line that is safe for a terminal.
fn in_one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    terminal::safe_line(&lines.join("; ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_up_to_the_last_one_and_up_to_the_limit() {
        let mut heard = Vec::new();
        let mut each = |line: &str| {
            heard.push(line.to_owned());
            if line == "end" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"a\nb", &mut each), Ok(ControlFlow::Continue(())));
        assert_eq!(lines.take(b"c\n\nend\nmore\n", &mut each), Ok(ControlFlow::Break(())));
        assert_eq!(heard, ["a", "bc", "", "end"]);
        let mut lines = Lines::default();
        assert_eq!(
            lines.take(&vec![b'x'; MOST + 1], &mut |_| ControlFlow::Continue(())),
            Err(Cause::TooMuch)
        );
    }

    #[test]
    fn reasons_name_the_library_the_cause_and_the_last_words() {
        let limit = Duration::from_secs(2);
        for (cause, said, expected) in [
            (Cause::Ended(Exit::Signal(11)), "", "NVML crashed (signal SEGV)"),
            (
                Cause::Ended(Exit::Code(3)),
                "a\n\n \u{1b}[2Jb\n",
                "NVML ended its process with exit code 3 and gave no answer; it printed: a; \\x1b[2Jb",
            ),
            (Cause::Late, "", "NVML timed out after 2 s"),
            (Cause::TooMuch, "", "NVML printed more than 1 MiB"),
            (Cause::NotStarted("no".to_owned()), "", "NVML was not asked: starting a process: no"),
        ] {
            let unanswered = Unanswered { cause, last_words: in_one_line(said.as_bytes()) };
            assert_eq!(unanswered.reason("NVML", limit), expected);
        }
    }
}
