//! Pseudoterminals: a pair of descriptors, of which a process gets one as its terminal and this process keeps the other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::Uid;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::Winsize;

/// The largest number of columns and of rows.
pub const MOST: u16 = 1000;

/// The mode of a terminal: its user reads and writes, and no other user writes messages there.
const MODE: u32 = 0o600;

/// Both sides.
pub struct Pty {
    /// Our side. Reads and writes do not wait. When it is closed, the kernel sends HUP to the session of the terminal.
    pub ours: OwnedFd,
    /// The terminal.
    pub theirs: OwnedFd,
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// Opens a pair for a terminal of the user `owner`; of the present user if that is `None`.
pub fn open(owner: Option<u32>, size: Size) -> io::Result<Pty> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::openat(CWD, name, flags, Mode::empty())?;
    if let Some(owner) = owner {
        // Programs such as `screen` open the terminal by its name.
        rustix::fs::fchown(&theirs, Some(rustix::fs::Uid::from_raw(owner)), None)?;
    }
    if owner.is_some() || Uid::effective().is_root() {
        rustix::fs::fchmod(&theirs, Mode::from_raw_mode(MODE))?;
    }
    resize(&ours, size)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok(Pty { ours, theirs })
}

/// Tells the terminal its size; the programs in it get WINCH.
pub fn resize(ours: impl AsFd, size: Size) -> io::Result<()> {
    let within = |number: u16| number.clamp(1, MOST);
    let size =
        Winsize { ws_row: within(size.rows), ws_col: within(size.columns), ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(ours, size)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_kept_within_bounds() {
        let pty = open(None, Size { columns: 80, rows: 24 }).unwrap();
        for (columns, rows, expected) in
            [(100, 30, (100, 30)), (0, 0, (1, 1)), (u16::MAX, u16::MAX, (MOST, MOST))]
        {
            resize(&pty.ours, Size { columns, rows }).unwrap();
            let found = rustix::termios::tcgetwinsize(&pty.theirs).unwrap();
            assert_eq!((found.ws_col, found.ws_row), expected);
        }
    }
}
