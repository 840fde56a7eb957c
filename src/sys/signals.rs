//! Signals as one stream of meanings.

use std::{fs, io};

use nix::libc;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal to this process means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A child ended (or many did: signals of one kind merge).
    Child,
    /// Stop everything and end. Carries the signal's name for the log.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
}

/// All signals that we take.
///
/// The kernel would end us by those that mean nothing to us, beside PID 1 always and as PID 1 while our first thread has
/// them blocked because it starts another one: so they are taken, and nothing is done about them. What a terminal would stop us by is blocked ([`super::start_clean`]). The signals of
/// faults (SEGV, ABRT and their like) keep their effect: whoever goes on after one goes on forever.
pub struct Signals {
    child: Stream,
    terminate: Stream,
    interrupt: Stream,
    quit: Stream,
    halt: Stream,
    hangup: Stream,
    /// Those without a meaning, and those that our parent ignored. They have no effect here, but a service gets their
    /// defaults back: exec resets what is handled, and keeps what is ignored.
    _without_effect: Vec<Stream>,
}

impl Signals {
    /// Takes over the signals. To be called once, inside the runtime, before the first child is started.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            // Images whose STOPSIGNAL it is, and Ctrl-\ of `docker run -it`: nobody wants a core of an init.
            quit: signal(SignalKind::quit())?,
            // systemd's "halt", which podman and some clouds send to an init.
            halt: signal(SignalKind::from_raw(libc::SIGRTMIN() + 3))?,
            hangup: signal(SignalKind::hangup())?,
            _without_effect: ignored()
                .chain(meaningless())
                .filter_map(|number| signal(SignalKind::from_raw(number)).ok())
                .collect(),
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.child.recv() => Signal::Child,
            _ = self.terminate.recv() => Signal::Stop("TERM"),
            _ = self.interrupt.recv() => Signal::Stop("INT"),
            _ = self.quit.recv() => Signal::Stop("QUIT"),
            _ = self.halt.recv() => Signal::Stop("RTMIN+3"),
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

/// The signals that end a process by default and mean nothing to this one.
fn meaningless() -> impl Iterator<Item = i32> {
    let named = [
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGSTKFLT,
        // Those of limits: what went beyond the limit fails with an error, and that is told.
        libc::SIGXCPU,
        libc::SIGXFSZ,
    ];
    let halt = libc::SIGRTMIN() + 3;
    named.into_iter().chain((libc::SIGRTMIN()..=libc::SIGRTMAX()).filter(move |number| *number != halt))
}

/// The signals that this process ignores. That of broken pipes, which our own runtime ignores, is put right by whoever
/// starts a process.
fn ignored() -> impl Iterator<Item = i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(move |number| mask & (1 << (number - 1)) != 0 && *number != libc::SIGPIPE)
}
