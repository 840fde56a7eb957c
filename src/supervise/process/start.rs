//! Starts one child of the daemon: `desktopd __exec` or a guard, with its orders, its output and its descriptors.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::logs::Logs;
use crate::plan::Unit;
use crate::supervise::lifecycle::Outcome;
use crate::supervise::output;
use crate::sys::is_shortage;
use crate::sys::launch::{self, Orders};
use crate::sys::limits::{Resource, inherited_open_files};
use crate::sys::process::signal_group;
use crate::sys::reaper::{Exit, Reaper, Role, Stdio3};

/// How long a child may take to read its orders before the start counts as failed.
const ORDERS_LIMIT: Duration = Duration::from_secs(5);

/// The orders for a command beside the unit, which has what it needs at its start already.
pub(super) fn helper_orders(unit: &Unit, argv: &[String]) -> Orders {
    Orders {
        argv: argv.to_vec(),
        env_files: None,
        folders: Vec::new(),
        private_tmp: None,
        files: Vec::new(),
        listen: Vec::new(),
        quiet: true,
        ..unit.launch.clone()
    }
}

/// A started child with the channels to it.
pub(super) struct Started {
    pub(super) pid: i32,
    pub(super) exit: oneshot::Receiver<Exit>,
    pub(super) control: UnixStream,
    /// To the guard, if the child is a guard.
    pub(super) guard: Option<Arc<StdUnixStream>>,
}

/// Starts a child, and gives it its orders and its descriptors.
pub(super) fn start(
    reaper: &Reaper,
    role: Role,
    mut orders: Orders,
    fds: &[OwnedFd],
    unit: &str,
    logs: &Logs,
) -> io::Result<Started> {
    let limits = &mut orders.resources.limits;
    if !limits.iter().any(|limit| limit.resource == Resource::OpenFiles) {
        limits.extend(inherited_open_files());
    }
    let (ours, theirs) = StdUnixStream::pair()?;
    let (output, writer) = io::pipe()?;
    let out: OwnedFd = writer.into();
    let err = out.try_clone()?;
    // Everything that needs descriptors is done before the spawn: a later failure would leave a child to clean up.
    let guard = if role == Role::Guard { Some(Arc::new(ours.try_clone()?)) } else { None };
    let (pid, exit) = reaper.spawn(role, Stdio3 { control: theirs.into(), out, err })?;
    let (unit, logs) = (unit.to_owned(), logs.clone());
    tokio::spawn(async move { output::read(output.into(), &unit, &logs).await });
    ours.set_write_timeout(Some(ORDERS_LIMIT))?;
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    // A child that has ended already reports the reason by its exit.
    if let Err(error) = launch::send(&ours, &orders, &borrowed)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        signal_group(pid.as_raw(), Signal::SIGKILL);
        return Err(error);
    }
    match ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours)) {
        Ok(control) => Ok(Started { pid: pid.as_raw(), exit, control, guard }),
        Err(error) => {
            // The child has its orders. A guard ends all its processes when the other end of the socket closes.
            if role == Role::Exec {
                signal_group(pid.as_raw(), Signal::SIGKILL);
            }
            Err(error)
        }
    }
}

/// A start that failed in the daemon.
pub(super) fn not_started(what: &'static str) -> impl Fn(io::Error) -> Outcome {
    move |error| no_start(format!("{what}: {error}"), error.raw_os_error().unwrap_or(0))
}

/// Tells a real error of a start from a lack of resources that may pass.
pub(super) fn no_start(why: String, errno: i32) -> Outcome {
    if is_shortage(errno) { Outcome::HeldUp(why) } else { Outcome::NotStarted(why) }
}
