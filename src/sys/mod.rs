//! What only an init may do: start processes, collect every exit status, take signals.
//!
//! Invariants: the one fork and the one wait of this program are in [`reaper`]; what we spawn is always ourselves
//! ([`launch`] is the child side, [`guard`] the subreaper that stays above a contained unit); descriptors reach a
//! child only by name, never by inheritance.

pub mod guard;
pub mod launch;
pub mod process;
pub mod reaper;
pub mod signals;

use std::io;

/// Makes this process the one that orphans below it are given to. PID 1 is that already.
pub fn become_subreaper() -> io::Result<()> {
    if nix::unistd::getpid().as_raw() == 1 {
        return Ok(());
    }
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}
