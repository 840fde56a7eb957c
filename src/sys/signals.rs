//! Receives signals as one stream of [`Signal`]s; SIGCHLD goes to the reaper.

use std::io;

use nix::libc;
use nix::sys::signal::{SigSet, Signal as Known};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::read;

/// What a signal to this process means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Stop everything and end. Carries the signal's name for the log.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
}

/// All signals, read from a `signalfd`: no signal handler ever runs. With many signals at once, the frames of nested
/// handlers would overflow the small signal stack of a thread, and the kernel would kill the process. A signal without
/// a meaning here does not end the process either: it stays blocked until it is read and dropped.
///
/// The signals of faults (SEGV, ABRT and similar ones) keep their effect: if they were ignored, the faulting
/// instruction would run again for ever. In PID 1 they are blocked too, because there they come from another process or
/// end this one anyway.
pub struct Signals {
    descriptor: AsyncFd<SignalFd>,
    /// Handlers for the signals that our parent ignored. They have no effect here, but a service gets the default
    /// actions back: exec resets handled signals and keeps ignored ones.
    _without_effect: Vec<Stream>,
}

impl Signals {
    /// Takes over all signals but SIGCHLD. To be called once, inside the runtime, before the first child is started and
    /// after `block`.
    pub fn new() -> io::Result<Self> {
        let mut signals = blocked();
        signals.remove(Known::SIGCHLD);
        let without_effect = ignored().filter_map(|number| signal(SignalKind::from_raw(number)).ok());
        Ok(Self { descriptor: descriptor(&signals)?, _without_effect: without_effect.collect() })
    }

    /// Waits for the next signal that has a meaning here.
    pub async fn next(&mut self) -> Signal {
        loop {
            if let Some(signal) = meaning(next(&mut self.descriptor).await) {
                return signal;
            }
        }
    }
}

/// Reads SIGCHLD: a child ended (or many did: signals of one kind merge). To be called once, inside the runtime; in a
/// program with several threads after `block`.
pub(super) fn children() -> io::Result<AsyncFd<SignalFd>> {
    let signal = SigSet::from(Known::SIGCHLD);
    // Commands do not call `block`. A signal that is not blocked is dropped before it can be read.
    signal.thread_block()?;
    descriptor(&signal)
}

fn descriptor(signals: &SigSet) -> io::Result<AsyncFd<SignalFd>> {
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    #[expect(
        deprecated,
        reason = "sound here: no other code owns the descriptor, and it is open until it is dropped"
    )]
    AsyncFd::new(SignalFd::with_flags(signals, flags)?)
}

/// Waits for the next signal, and returns its number.
pub(super) async fn next(descriptor: &mut AsyncFd<SignalFd>) -> i32 {
    loop {
        let Ok(mut ready) = descriptor.readable_mut().await else {
            // The runtime has ended, and no task waits any more.
            return std::future::pending().await;
        };
        match ready.get_inner_mut().read_signal() {
            Ok(Some(info)) => return info.ssi_signo.cast_signed(),
            // A failed read says nothing about the next read, so it counts as "no signal yet".
            Ok(None) | Err(_) => ready.clear_ready(),
        }
    }
}

/// Blocks all signals that [`Signals`] and [`children`] read, for this thread and the threads that it starts. Without
/// this call the signals have their default actions.
pub(super) fn block() {
    // The call has no reason to fail; if it does, the signal mask is unchanged.
    let _ = blocked().thread_set_mask();
}

fn blocked() -> SigSet {
    let mut signals = SigSet::all();
    if std::process::id() != 1 {
        let faults = [
            Known::SIGSEGV,
            Known::SIGBUS,
            Known::SIGFPE,
            Known::SIGILL,
            Known::SIGTRAP,
            Known::SIGABRT,
            Known::SIGSYS,
        ];
        for fault in faults {
            signals.remove(fault);
        }
    }
    signals
}

fn meaning(number: i32) -> Option<Signal> {
    Some(match number {
        libc::SIGTERM => Signal::Stop("TERM"),
        libc::SIGINT => Signal::Stop("INT"),
        // The STOPSIGNAL of some images, and Ctrl-\ of `docker run -it`: a core dump of an init is of no use.
        libc::SIGQUIT => Signal::Stop("QUIT"),
        libc::SIGHUP => Signal::Reload,
        // systemd's "halt", which podman and some clouds send to an init.
        _ if number == libc::SIGRTMIN() + 3 => Signal::Stop("RTMIN+3"),
        _ => return None,
    })
}

/// The signals that this process ignores, except SIGPIPE, which our own runtime ignores: the code that starts a process
/// resets it.
fn ignored() -> impl Iterator<Item = i32> {
    let status = read::kernel_text("/proc/self/status");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(move |number| mask & (1 << (number - 1)) != 0 && *number != libc::SIGPIPE)
}
