//! The child side of a launch: `desktopd __exec` takes its orders from the socket that is its standard input, sets
//! everything that a service's process must have, and becomes the service.
//!
//! All of this happens in a fresh, single-threaded process instead of between fork and exec, where almost nothing is
//! allowed. The parent learns the outcome from the same socket: it closes at exec, or an error comes through it first.
//!
//! Message form in both directions: a length of four bytes (big endian), then JSON.

mod environment;
mod files;
mod listen;
mod privileges;

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::setsid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::limits::Limit;

pub use environment::{EnvFiles, written_by};
pub use listen::Listener;

/// The first descriptor number that a service can be given beside the standard three.
pub const FIRST_FD: i32 = 3;

/// Where our own descriptors wait while the service's take their places below. Low enough for a low limit of open files.
const OWN_FDS: i32 = 40;

/// How the description of a failed exec begins.
pub const EXEC: &str = "exec ";

/// Descriptors that can be handed over at once.
const MAX_FDS: usize = 32;

/// Orders are small; a longer length means that something else talks to us. Bytes.
const MAX_MESSAGE: usize = 8 << 20;

/// Bytes that need not be UTF-8: arguments and environment come as they are.
pub type Bytes = Vec<u8>;

/// Whose process it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user's id.
    pub uid: u32,
    /// The main group's id.
    pub gid: u32,
    /// All supplementary groups.
    pub groups: Vec<u32>,
}

/// Everything that makes one process what it is. The child has no choices left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// The program (an absolute path) and its arguments.
    pub argv: Vec<Bytes>,
    /// The whole environment, but for what people keep in files.
    pub env: Vec<(Bytes, Bytes)>,
    /// These files.
    pub env_files: Option<EnvFiles>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Whether the start fails without it; otherwise `/` does.
    pub cwd_required: bool,
    /// The user to become; `None` stays who we are.
    pub identity: Option<Identity>,
    /// The file mode creation mask.
    pub umask: u32,
    /// Supplementary groups beside the user's.
    pub groups: Vec<u32>,
    /// The scheduling priority, if it should change.
    pub nice: Option<i32>,
    /// How gladly the kernel ends it when memory is short, if that should change.
    pub oom_score_adj: Option<i32>,
    /// What it may use, where that is not what we may.
    pub limits: Vec<Limit>,
    /// Whether what it cannot have is kept quiet: it was told when the unit itself was started.
    pub quiet: bool,
    /// The numbers under which the descriptors that come along are given to the service.
    pub fds: Vec<i32>,
    /// Folders that it needs, made for its user alone where they are missing.
    pub folders: Vec<PathBuf>,
    /// The folder of its temporary files, emptied, and made for its user alone where it is missing.
    pub private_tmp: Option<PathBuf>,
    /// Files that it reads, written anew.
    pub files: Vec<NewFile>,
    /// Sockets that it finds open, from [`FIRST_FD`] on.
    pub listen: Vec<Listener>,
}

/// A file that is written before the service starts, by the user that it runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFile {
    /// Where. A folder that is missing is made for the owner alone.
    pub path: PathBuf,
    /// Who may do what with it.
    pub mode: u32,
    /// What is in it.
    pub content: Bytes,
}

/// What comes back through the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The service could not be started.
    Failed {
        /// What was attempted.
        operation: String,
        /// The system's error number, 0 if there is none.
        errno: i32,
    },
    /// A guard started the service as this process.
    Started {
        /// Its id.
        pid: i32,
    },
    /// The service under a guard ended; the guard stays until nothing of it is left.
    Exited {
        /// How.
        exit: super::reaper::Exit,
    },
    /// Nothing of the unit under a guard is left but jobs that a person detached; the guard stays with them.
    Left {
        /// How many processes that are.
        jobs: usize,
    },
    /// What a guard was told to clear is gone, or does not end.
    Cleared,
}

impl Report {
    /// What a failed start is called in a reason: the operation and the system's words for the error.
    pub fn describe(operation: &str, errno: i32) -> String {
        match errno {
            0 => operation.to_owned(),
            errno => format!("{operation}: {}", nix::errno::Errno::from_raw(errno).desc()),
        }
    }
}

/// Sends `message` with `fds` riding on its first bytes.
pub fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = frame(message)?;
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

/// A message as its bytes.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Takes one whole message off the front of `buffer`, if there is one.
pub fn unframe<T: for<'a> Deserialize<'a>>(buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a message of desktopd"));
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let message = serde_json::from_slice(&buffer[4..4 + length])?;
    buffer.drain(..4 + length);
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

/// A copy of standard input, out of the way of the service's descriptors and closed by its exec.
pub(super) fn take_control() -> io::Result<UnixStream> {
    Ok(rustix::io::fcntl_dupfd_cloexec(io::stdin(), OWN_FDS)?.into())
}

/// `desktopd __exec`. Returns only when the service could not be started; the exit code to end with.
pub fn exec() -> i32 {
    let socket = match take_control() {
        Ok(socket) => socket,
        Err(error) => {
            crate::sys::print::error(&format!(
                "desktopd: `__exec` is not for people: no control socket on standard input ({error})"
            ));
            return 70;
        }
    };
    let Err((operation, error)) = become_service(&socket);
    let report = Report::Failed { operation, errno: error.raw_os_error().unwrap_or(0) };
    if let Ok(bytes) = frame(&report) {
        // The parent may be gone; there is nobody else to tell.
        let _ = (&socket).write_all(&bytes);
    }
    127
}

/// An operation that failed, in words, and why.
type Failure = (String, io::Error);

fn at<T, E: Into<io::Error>>(operation: &str, result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| (operation.to_owned(), error.into()))
}

fn become_service(socket: &UnixStream) -> Result<std::convert::Infallible, Failure> {
    let (orders, received, _) = at("receiving orders", receive_orders(socket))?;
    // A session of its own: its group can be signalled as a whole and no terminal reaches it.
    at("setsid", setsid())?;
    // A guard blocks signals, and whoever started the container may have: a service must get all of its own.
    at("unblocking signals", SigSet::empty().thread_set_mask())?;
    // Descriptors come first: a low limit of open files must not be in their way.
    place(received, &orders.fds)?;
    {
        let null = at("opening /dev/null", std::fs::File::open("/dev/null"))?;
        at("redirecting standard input", rustix::stdio::dup2_stdin(&null))?;
    }
    umask(Mode::from_bits_truncate(orders.umask));
    privileges::apply(&orders)?;
    let edits = environment::edits(&orders);
    privileges::become_user(&orders)?;
    let edits = edits.into_iter().chain(environment::of_people(&orders));
    files::make(&orders)?;
    let told = listen::listen(&orders)?;
    privileges::enter(&orders)?;

    let mut argv = orders.argv.into_iter().map(OsString::from_vec);
    let program = argv.next().ok_or_else(|| ("no command".to_owned(), io::ErrorKind::InvalidInput.into()))?;
    let env = orders.env.into_iter().map(|(k, v)| (OsString::from_vec(k), OsString::from_vec(v)));
    let env = env.chain(edits);
    // The standard library's exec also gives SIGPIPE back, which its own start took.
    let error = Command::new(&program).args(argv).env_clear().envs(env).envs(told).exec();
    let file = PathBuf::from(program);
    let operation = format!("{EXEC}{}", file.display());
    // The system says the same of a script whose interpreter is missing, which is no help then.
    let misleading = error.kind() == io::ErrorKind::NotFound && file.exists();
    Err((if misleading { format!("{operation}, or rather its interpreter") } else { operation }, error))
}

/// Becomes another program, with everything that this process has. Comes back only with the reason why it could not.
pub fn become_program(program: &Path, words: &[OsString]) -> io::Error {
    Command::new(program).args(words).exec()
}

/// Puts the received descriptors where the service expects them, open across its exec.
fn place(received: Vec<OwnedFd>, targets: &[i32]) -> Result<(), Failure> {
    if received.len() != targets.len() {
        let error = io::Error::other("the number of descriptors differs from that in the orders");
        return Err(("receiving descriptors".to_owned(), error));
    }
    // They arrive at the lowest free numbers, which are somebody's targets: move all away first.
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
