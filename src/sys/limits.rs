//! Resource limits (`setrlimit`): the limit of open files of this process, and the limits of services.

use std::sync::OnceLock;
use std::{fmt, io};

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource as Kernels, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// No limit.
pub const UNLIMITED: u64 = RLIM_INFINITY;

/// A resource that the kernel limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Bytes of virtual memory.
    AddressSpace,
    /// Bytes of a core dump.
    Core,
    /// Seconds of CPU time.
    Cpu,
    /// The size of a file that the process writes. Bytes.
    FileSize,
    /// Bytes of memory that the process may lock.
    LockedMemory,
    /// Open descriptors.
    OpenFiles,
    /// Processes of its user.
    Processes,
    /// The highest realtime priority.
    RealtimePriority,
    /// Bytes of the main thread's stack.
    Stack,
}

impl Resource {
    /// The key of a service file that sets it, and the kernel's name.
    fn names(self) -> (&'static str, Kernels) {
        match self {
            Self::AddressSpace => ("limits.as", Kernels::RLIMIT_AS),
            Self::Core => ("limits.core", Kernels::RLIMIT_CORE),
            Self::Cpu => ("limits.cpu", Kernels::RLIMIT_CPU),
            Self::FileSize => ("limits.fsize", Kernels::RLIMIT_FSIZE),
            Self::LockedMemory => ("limits.memlock", Kernels::RLIMIT_MEMLOCK),
            Self::OpenFiles => ("open-files", Kernels::RLIMIT_NOFILE),
            Self::Processes => ("limits.nproc", Kernels::RLIMIT_NPROC),
            Self::RealtimePriority => ("limits.rtprio", Kernels::RLIMIT_RTPRIO),
            Self::Stack => ("limits.stack", Kernels::RLIMIT_STACK),
        }
    }
}

/// A limit: how much of a resource a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The resource.
    pub resource: Resource,
    /// The soft limit, which the kernel enforces.
    pub soft: u64,
    /// The hard limit: the highest value to which the process may raise the soft limit.
    pub hard: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.resource.names().0, amount(self.soft))?;
        if self.hard != self.soft {
            write!(f, " (hard {})", amount(self.hard))?;
        }
        Ok(())
    }
}

fn amount(limit: u64) -> String {
    if limit == UNLIMITED { "unlimited".to_owned() } else { limit.to_string() }
}

impl Limit {
    /// The limit of this process.
    pub fn current(resource: Resource) -> io::Result<Self> {
        let (soft, hard) = getrlimit(resource.names().1)?;
        Ok(Self { resource, soft, hard })
    }

    /// Sets the limit for this process. To raise a hard limit needs a capability that containers seldom have. Without
    /// the capability the limit becomes as high as the present hard limit allows, and the limit that was set is
    /// returned.
    pub fn set(self) -> io::Result<Option<Self>> {
        let kernels = self.resource.names().1;
        match setrlimit(kernels, self.soft, self.hard) {
            Ok(()) => Ok(None),
            Err(Errno::EPERM) => {
                let most = Self::current(self.resource)?.hard;
                let got = Self { soft: self.soft.min(most), hard: self.hard.min(most), ..self };
                setrlimit(kernels, got.soft, got.hard)?;
                Ok(Some(got))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// This process's limit of open files before it was raised.
static OPEN_FILES: OnceLock<Limit> = OnceLock::new();

/// Raises the soft limit of open files of this process to the hard limit. Child processes get the old limit back
/// ([`inherited_open_files`]): a program that uses `select` breaks when a descriptor number is 1024 or more.
pub fn raise_open_files() -> io::Result<()> {
    let before = Limit::current(Resource::OpenFiles)?;
    Limit { soft: before.hard, ..before }.set()?;
    // A second call would find the raised limit, so only the first value is kept.
    let _ = OPEN_FILES.set(before);
    Ok(())
}

/// The limit of open files before it was raised, which child processes get; `None` if it was not raised.
pub fn inherited_open_files() -> Option<Limit> {
    OPEN_FILES.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_that_may_not_be_raised_is_set_as_high_as_allowed() {
        // A limit that does not affect the other tests of this process; lowering it needs no capability.
        let limit = |soft, hard| Limit { resource: Resource::Core, soft, hard };
        assert_eq!(limit(2048, 4096).set().unwrap(), None);
        // With the capability, the process gets the limit that it asks for.
        for asked in [limit(0, UNLIMITED), limit(UNLIMITED, UNLIMITED)] {
            let got = asked.set().unwrap();
            assert_eq!(Limit::current(Resource::Core).unwrap(), got.unwrap_or(asked));
            assert!(got.is_none_or(|got| got == limit(asked.soft.min(4096), 4096)), "{got:?}");
        }
    }

    #[test]
    fn limit_is_shown_with_its_key() {
        let limit = Limit { soft: 5, hard: UNLIMITED, resource: Resource::OpenFiles };
        assert_eq!(limit.to_string(), "open-files = 5 (hard unlimited)");
        assert_eq!(Limit { hard: 5, ..limit }.to_string(), "open-files = 5");
    }
}
