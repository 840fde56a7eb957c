//! The child side of a launch: `desktopd __exec` reads its orders from the socket on its standard input, sets up the
//! process as the orders say, and executes the service's program.
//!
//! The setup runs in a new, single-threaded process and not between fork and exec, where almost nothing is allowed. The
//! parent learns the result from the same socket: exec closes it, or an error is sent through it first.
//!
//! Message format in both directions: JSON in one line.

mod descriptors;
mod environment;
mod failure;
mod files;
mod listen;
mod orders;
mod privileges;

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::setsid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::sys::env_file::Raw;

use descriptors::{OWN_FDS, place};
use failure::{Failure, at};

pub use environment::written_by;
pub use orders::{EnvFiles, FIRST_FD, Identity, Listener, NewFile, Orders, Resources};

/// The beginning of the description of a failed exec.
pub const EXEC: &str = "exec ";

/// The most descriptors in one message.
const MAX_FDS: usize = 32;

/// The largest message. Orders are small: a longer line means that the other end is not desktopd. Bytes.
const MAX_MESSAGE: usize = 8 << 20;

/// A report that the child or the guard sends back through the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The service could not be started.
    Failed {
        /// The operation that failed.
        operation: String,
        /// The system's error number, 0 if there is none.
        errno: i32,
    },
    /// A guard started the service as this process.
    Started {
        /// Its id.
        pid: i32,
    },
    /// The service under a guard ended; the guard stays until no process of the unit is left.
    Exited {
        /// How.
        exit: super::reaper::Exit,
    },
    /// Only jobs that a user detached are left of the unit under a guard; the guard stays with them.
    Left {
        /// The number of processes of these jobs.
        jobs: usize,
    },
    /// The processes that a guard had to clear have ended, or cannot be ended.
    Cleared,
}

impl Report {
    /// The text for a failed start: the operation and the system's description of the error.
    pub fn describe(operation: &str, errno: i32) -> String {
        match errno {
            0 => operation.to_owned(),
            errno => format!("{operation}: {}", nix::errno::Errno::from_raw(errno).desc()),
        }
    }
}

/// Sends `message`; `fds` are attached to its first bytes.
pub fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(b'\n');
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one service"));
    }
    let mut sent = sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    while sent < bytes.len() {
        sent += rustix::net::send(&socket, &bytes[sent..], SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Removes one whole message from the front of `buffer` and decodes it, if there is one.
pub fn unframe<T: for<'a> Deserialize<'a>>(buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        if buffer.len() > MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a message of desktopd"));
        }
        return Ok(None);
    };
    let message = serde_json::from_slice(&buffer[..end])?;
    buffer.drain(..=end);
    Ok(Some(message))
}

/// Receives the orders and the descriptors that came with them, and the beginning of what was sent after them.
pub(super) fn receive_orders(socket: &UnixStream) -> io::Result<(Orders, Vec<OwnedFd>, Vec<u8>)> {
    let mut buffer = vec![0; 64 * 1024];
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let first = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    buffer.truncate(first.bytes);
    let mut rest = vec![0; 64 * 1024];
    loop {
        if let Some(orders) = unframe(&mut buffer)? {
            return Ok((orders, fds, buffer));
        }
        match (&*socket).read(&mut rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => buffer.extend_from_slice(&rest[..n]),
        }
    }
}

/// A copy of standard input, at a number that no descriptor of the service uses, and closed by exec.
pub(super) fn take_control() -> io::Result<UnixStream> {
    Ok(rustix::io::fcntl_dupfd_cloexec(io::stdin(), OWN_FDS)?.into())
}

/// `desktopd __exec`. Returns only if the service could not be started; the value is the exit code.
pub fn exec() -> i32 {
    let socket = match take_control() {
        Ok(socket) => socket,
        Err(error) => {
            crate::sys::print::error(&format!(
                "desktopd: `__exec` is an internal command: no control socket on standard input ({error})"
            ));
            return 70;
        }
    };
    let Err((operation, error)) = become_service(&socket);
    let report = Report::Failed { operation, errno: error.raw_os_error().unwrap_or(0) };
    // The parent may have ended; no other process can take the report.
    let _ = send(&socket, &report, &[]);
    127
}

fn become_service(socket: &UnixStream) -> Result<std::convert::Infallible, Failure> {
    let (orders, received, _) = at("receiving orders", receive_orders(socket))?;
    // A session of its own: its process group can be signalled as a whole, and it has no controlling terminal.
    at("setsid", setsid())?;
    // A guard blocks signals, and the container engine may block some. A service must receive all its signals.
    at("unblocking signals", SigSet::empty().thread_set_mask())?;
    // Descriptors come first: a low limit of open files must not be in their way.
    place(received, &orders.fds)?;
    if orders.terminal {
        at("redirecting standard input", rustix::stdio::dup2_stdin(io::stdout()))?;
        at("taking the controlling terminal", rustix::process::ioctl_tiocsctty(io::stdin()))?;
    } else {
        let null = at("opening /dev/null", std::fs::File::open("/dev/null"))?;
        at("redirecting standard input", rustix::stdio::dup2_stdin(&null))?;
    }
    umask(Mode::from_bits_truncate(orders.resources.umask));
    privileges::apply(&orders)?;
    let edits = environment::edits(&orders);
    listen::remove_earlier(&orders);
    privileges::become_user(&orders)?;
    let edits = edits.into_iter().chain(environment::of_people(&orders));
    files::make(&orders)?;
    let told = listen::listen(&orders)?;
    privileges::enter(&orders)?;

    let [program, arguments @ ..] = &orders.argv[..] else {
        return Err(("no command".to_owned(), io::ErrorKind::InvalidInput.into()));
    };
    // The standard library's exec also resets SIGPIPE, which the Rust runtime ignores.
    let error =
        Command::new(program).args(arguments).env_clear().envs(&orders.env).envs(edits).envs(told).exec();
    let operation = format!("{EXEC}{program}");
    // For a script whose interpreter is missing, the system reports the same error as for a missing program, which
    // misleads.
    let misleading = error.kind() == io::ErrorKind::NotFound && Path::new(program).exists();
    Err((if misleading { format!("{operation}, or rather its interpreter") } else { operation }, error))
}

/// The orders with the users' edits of the system's file in their environment. Only the daemon's own user can tell the
/// edits from what the daemon wrote.
pub fn edited(mut orders: Orders) -> Orders {
    let edits = environment::edits(&orders);
    orders.env.extend(edits);
    orders
}

/// Makes this process one of the user whom the [`edited`] orders name, with their mask, priority and limits. Terminal,
/// descriptors, signals and working directory stay. Returns the environment, with the variables of the user's own files.
pub fn join(orders: &Orders) -> Result<Raw, String> {
    umask(Mode::from_bits_truncate(orders.resources.umask));
    let joined = privileges::apply(orders).and_then(|()| privileges::become_user(orders));
    joined.map_err(|(operation, error)| Report::describe(&operation, error.raw_os_error().unwrap_or(0)))?;
    let of_people = environment::of_people(orders);
    Ok(orders.env.clone().into_iter().chain(of_people).collect())
}

/// Executes another program in place of this process, with this environment or with that of this process. Returns only
/// if that fails, with the error.
pub fn become_program(program: &Path, words: &[OsString], env: Option<&Raw>) -> io::Error {
    let mut command = Command::new(program);
    if let Some(env) = env {
        command.env_clear().envs(env);
    }
    command.args(words).exec()
}
