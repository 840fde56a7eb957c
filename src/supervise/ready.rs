//! Readiness: each kind of `ready` as a future that ends when the unit is ready.
//!
//! Where the kernel or a bus reports the event, the future waits for it. Where it cannot be waited for (a port, a
//! socket that does not exist yet), short retries start at 5 ms and back off. The last attempt and its result are
//! reported as well, for the case that the unit never gets ready.

mod listener;
pub(super) mod probe;
mod reporter;
mod x11;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::config::service::{Probe, Ready};
use crate::logs::Line;
use crate::steps;
use crate::sys::subcommands;

use listener::Listener;
use probe::HelperStarter;

pub(super) use reporter::Reporter;

/// The first pause between two attempts; each following pause is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How long one attempt may take. A command may run as long as the whole wait.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Waits for readiness. It is set up before the process starts, so that no message of the process is missed.
pub(super) struct Watch {
    way: Way,
    start_helper: HelperStarter,
}

enum Way {
    Started,
    Notify(Listener),
    /// With the descriptor's number in the unit's process.
    Descriptor(pipe::Receiver, i32),
    Probe(Probe),
    File(PathBuf),
    Log {
        pattern: Regex,
        lines: broadcast::Receiver<Line>,
    },
    Delay(Duration),
    DBus {
        name: String,
        bus: String,
    },
}

impl Watch {
    /// Sets up the watch. The returned descriptor, if any, goes to the process as `number`; `start_helper` starts a
    /// helper process beside the unit.
    pub(super) fn new(
        ready: &Ready,
        notify: &Path,
        follow: impl FnOnce() -> broadcast::Receiver<Line>,
        start_helper: HelperStarter,
        number: i32,
    ) -> io::Result<(Self, Option<OwnedFd>)> {
        let mut theirs = None;
        let way = match ready {
            Ready::Started => Way::Started,
            Ready::Notify => Way::Notify(Listener::bind(notify)?),
            Ready::Descriptor => {
                let (reader, writer) = io::pipe()?;
                theirs = Some(writer.into());
                Way::Descriptor(pipe::Receiver::from_owned_fd(reader.into())?, number)
            }
            Ready::Probe(probe) => Way::Probe(probe.clone()),
            Ready::File(path) => Way::File(path.into()),
            Ready::Log(pattern) => {
                let pattern = Regex::new(pattern).map_err(io::Error::other)?;
                Way::Log { pattern, lines: follow() }
            }
            Ready::Delay(time) => Way::Delay(*time),
            Ready::DBus { name, bus } => Way::DBus { name: name.clone(), bus: bus.clone() },
        };
        Ok((Self { way, start_helper }, theirs))
    }

    /// Listens to the unit, whose main process is `main`, and reports when it is ready. Ends when no more can be
    /// learned.
    pub(super) async fn listen(self, main: i32, mut reporter: Reporter) {
        let Self { way, start_helper } = self;
        let heard = match way {
            Way::Started => true,
            Way::Notify(listener) => return listener.listen(main, &mut reporter).await,
            Way::Descriptor(pipe, number) => line(pipe, number, &mut reporter).await,
            Way::Probe(probe) => {
                if let Probe::Exec(_) = probe {
                    reporter.probe_failed(format!("{probe}: it has not ended"));
                }
                retry(&mut reporter, || attempt(&probe, &start_helper)).await
            }
            Way::File(path) => {
                let missing = || Err(format!("{}: there is no such file", path.display()));
                let look = || std::future::ready(if path.exists() { Ok(()) } else { missing() });
                retry(&mut reporter, look).await
            }
            Way::Log { pattern, lines } => {
                reporter.probe_failed(format!("no line of its output matched \"{pattern}\""));
                says(&pattern, lines).await
            }
            Way::Delay(time) => {
                reporter.probe_failed(format!("it counts as ready only after {time:?}"));
                tokio::time::sleep(time).await;
                true
            }
            Way::DBus { name, bus } => {
                reporter.probe_failed(format!("{name} has no owner on {bus}"));
                let argv = ["/proc/self/exe", subcommands::STEP, steps::AWAIT_BUS_NAME, &bus, &name]
                    .map(str::to_owned);
                let ask = || {
                    let asking = probe::exec(start_helper(&argv));
                    async { asking.await.map_err(|why| format!("{bus}: asking for {name}: {why}")) }
                };
                retry(&mut reporter, ask).await
            }
        };
        if heard {
            reporter.ready();
        }
    }
}

/// One attempt, with its time limit.
async fn attempt(probe: &Probe, start_helper: &HelperStarter) -> Result<(), String> {
    let attempt = probe::attempt(probe, start_helper);
    let result = match probe {
        Probe::Exec(_) => attempt.await,
        _ => tokio::time::timeout(ATTEMPT, attempt)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {ATTEMPT:?}"))),
    };
    result.map_err(|why| format!("{probe}: {why}"))
}

/// Repeats the attempt until it succeeds.
async fn retry<F, T>(reporter: &mut Reporter, mut attempt: F) -> bool
where
    F: FnMut() -> T,
    T: Future<Output = Result<(), String>>,
{
    let mut pause = FIRST_PAUSE;
    while let Err(why) = attempt().await {
        reporter.probe_failed(why);
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
    true
}

/// Waits for a line that matches. False if no more lines can come.
async fn says(pattern: &Regex, mut lines: broadcast::Receiver<Line>) -> bool {
    loop {
        match lines.recv().await {
            Ok(line) if pattern.is_match(&line.text) => return true,
            // In a flood of output, the line may be among the missed ones; a later line may match.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return false,
        }
    }
}

/// Waits for a newline. False if none can come any more.
async fn line(mut pipe: pipe::Receiver, number: i32, reporter: &mut Reporter) -> bool {
    reporter.probe_failed(format!("no newline came on descriptor {number}"));
    let mut bytes = [0; 256];
    loop {
        match pipe.read(&mut bytes).await {
            Ok(n) if n > 0 && bytes[..n].contains(&b'\n') => return true,
            Ok(n) if n > 0 => {}
            // The rest is reported by the exit of the process or by the deadline.
            _ => {
                reporter.probe_failed(format!("descriptor {number} was closed without a newline"));
                return false;
            }
        }
    }
}
