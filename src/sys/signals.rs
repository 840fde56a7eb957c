//! Signals as one stream of meanings.

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
    /// A child ended (or many did: signals of one kind merge).
    Child,
    /// Stop everything and end. Carries the signal's name for the log.
    Stop(&'static str),
    /// Read the configuration again.
    Reload,
}

/// All signals, read from a descriptor: no handler ever runs. The handlers of many signals at once would lie on top of
/// each other on the small stack that each thread has for them, and the kernel ends whoever has no room left there.
/// Nor does the kernel end us by one that means nothing here: it stays blocked until it is read and dropped.
///
/// The signals of faults (SEGV, ABRT and their like) keep their effect: whoever goes on after one goes on forever. As
/// PID 1 they are blocked too, because there they come from somebody else or end us anyway.
pub struct Signals {
    descriptor: AsyncFd<SignalFd>,
    /// Those that our parent ignored. They have no effect here, but a service gets their defaults back: exec resets what
    /// is handled, and keeps what is ignored.
    _without_effect: Vec<Stream>,
}

impl Signals {
    /// Takes over the signals. To be called once, inside the runtime, before the first child is started and after
    /// `block`.
    pub fn new() -> io::Result<Self> {
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        #[expect(
            deprecated,
            reason = "sound here: the descriptor is nobody else's, and open until it is dropped"
        )]
        let descriptor = AsyncFd::new(SignalFd::with_flags(&blocked(), flags)?)?;
        let without_effect = ignored().filter_map(|number| signal(SignalKind::from_raw(number)).ok());
        Ok(Self { descriptor, _without_effect: without_effect.collect() })
    }

    /// The next one that means something.
    pub async fn next(&mut self) -> Signal {
        loop {
            let Ok(mut ready) = self.descriptor.readable_mut().await else {
                // There is no runtime any more, and nobody who waits.
                return std::future::pending().await;
            };
            match ready.get_inner_mut().read_signal() {
                Ok(Some(info)) => {
                    if let Some(signal) = meaning(info.ssi_signo.cast_signed()) {
                        return signal;
                    }
                }
                // A failed read says nothing about the next one, and there are no other reasons to fail.
                Ok(None) | Err(_) => ready.clear_ready(),
            }
        }
    }
}

/// Blocks all signals that [`Signals`] reads, for this thread and those that it starts. Without it they have their
/// usual effects.
pub(super) fn block() {
    // It has no reason to fail; if it does, signals are as they were.
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
        libc::SIGCHLD => Signal::Child,
        libc::SIGTERM => Signal::Stop("TERM"),
        libc::SIGINT => Signal::Stop("INT"),
        // Images whose STOPSIGNAL it is, and Ctrl-\ of `docker run -it`: nobody wants a core of an init.
        libc::SIGQUIT => Signal::Stop("QUIT"),
        libc::SIGHUP => Signal::Reload,
        // systemd's "halt", which podman and some clouds send to an init.
        _ if number == libc::SIGRTMIN() + 3 => Signal::Stop("RTMIN+3"),
        _ => return None,
    })
}

/// The signals that this process ignores. That of broken pipes, which our own runtime ignores, is put right by whoever
/// starts a process.
fn ignored() -> impl Iterator<Item = i32> {
    let status = read::kernel_text("/proc/self/status");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(move |number| mask & (1 << (number - 1)) != 0 && *number != libc::SIGPIPE)
}
