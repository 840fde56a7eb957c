//! The descriptors of a service: each gets the number that the service expects.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, fcntl};

use super::failure::{Failure, at};

/// Our own descriptors are moved to this number and above, while the service's descriptors are placed below. Low enough
/// for a low limit of open files.
pub(super) const OWN_FDS: i32 = 40;

/// Moves the received descriptors to the numbers that the service expects, and keeps them open across exec.
pub(super) fn place(received: Vec<OwnedFd>, targets: &[i32]) -> Result<(), Failure> {
    if received.len() != targets.len() {
        let error = io::Error::other("the number of descriptors differs from that in the orders");
        return Err(("receiving descriptors".to_owned(), error));
    }
    // Descriptors arrive at the lowest free numbers, which may be the targets of others: move all of them away first.
    let mut away = Vec::with_capacity(received.len());
    for fd in received {
        away.push(at("moving a descriptor", rustix::io::fcntl_dupfd_cloexec(&fd, OWN_FDS))?);
    }
    for (fd, &target) in away.iter().zip(targets) {
        let operation = format!("placing descriptor {target}");
        let placed = at(&operation, fcntl(fd, FcntlArg::F_DUPFD(target)))?;
        if placed != target {
            return Err((operation, io::Error::other(format!("it is taken, {placed} was free"))));
        }
    }
    Ok(())
}
