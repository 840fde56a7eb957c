//! Socket activation: listening sockets that a service gets at its start (systemd's protocol, `sd_listen_fds(3)`). The
//! process that becomes the service creates them as the service's user; from then on the kernel queues connections of
//! clients.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;

use nix::sys::stat::{Mode, umask};
use rustix::fs::{AtFlags, FileType, OFlags};

use super::descriptors::place;
use super::failure::{Failure, at};
use super::files::private_folder;
use super::orders::{FIRST_FD, Listener, Orders};

/// Creates the sockets at the descriptor numbers of the protocol. Returns the variables that announce them.
pub(super) fn listen(orders: &Orders) -> Result<Vec<(&'static str, String)>, Failure> {
    if orders.listen.is_empty() {
        return Ok(Vec::new());
    }
    let mut sockets = Vec::with_capacity(orders.listen.len());
    for listener in &orders.listen {
        let operation = format!("listening on {}", listener.path.display());
        sockets.push(OwnedFd::from(at(&operation, bind(listener))?));
    }
    umask(Mode::from_bits_truncate(orders.resources.umask));
    let targets: Vec<i32> = (FIRST_FD..).take(sockets.len()).collect();
    place(sockets, &targets)?;
    let number = orders.listen.len().to_string();
    Ok(vec![("LISTEN_FDS", number), ("LISTEN_PID", std::process::id().to_string())])
}

/// Removes the sockets of earlier starts. This happens before the process becomes the service's user, who may not remove
/// the socket of another user's service in a folder such as `/tmp/.X11-unix`: Xorg runs as root, and Xvfb after it does
/// not. What cannot be removed here is reported by the bind that follows.
pub(super) fn remove_earlier(orders: &Orders) {
    for listener in &orders.listen {
        let (Some(folder), Some(name)) = (listener.path.parent(), listener.path.file_name()) else {
            continue;
        };
        // The user of the desktop must not be able to lead root to another folder.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(folder) = rustix::fs::open(folder, flags, rustix::fs::Mode::empty()) else { continue };
        let found = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
        if found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Socket) {
            let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
        }
    }
}

fn bind(listener: &Listener) -> io::Result<UnixListener> {
    if let Some(folder) = listener.path.parent() {
        private_folder(folder)?;
    }
    // A socket of an earlier start, which has no listener any more. Any other kind of file was not made by desktopd and
    // stays.
    let stale = fs::symlink_metadata(&listener.path).is_ok_and(|found| found.file_type().is_socket());
    if stale {
        fs::remove_file(&listener.path)?;
    }
    umask(Mode::from_bits_truncate(0o777 & !listener.mode));
    UnixListener::bind(&listener.path)
}
