//! What the kernel lets a process use (`setrlimit`): this program's own open files, and the limits of services.

use std::sync::OnceLock;
use std::{fmt, io};

use nix::errno::Errno;
use nix::sys::resource::{self, RLIM_INFINITY, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// No limit.
pub const UNLIMITED: u64 = RLIM_INFINITY;

/// Something that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Bytes of virtual memory.
    AddressSpace,
    /// Bytes of a core dump.
    Core,
    /// Seconds of CPU time.
    Cpu,
    /// Bytes of a file that is written.
    FileSize,
    /// Bytes that are kept out of the swap.
    LockedMemory,
    /// Open descriptors.
    OpenFiles,
    /// Processes of its user.
    Processes,
    /// The highest realtime priority that it may ask for.
    RealtimePriority,
    /// Bytes of the main thread's stack.
    Stack,
}

impl Resource {
    /// The key of a service file that sets it.
    pub fn key(self) -> &'static str {
        match self {
            Self::AddressSpace => "limits.as",
            Self::Core => "limits.core",
            Self::Cpu => "limits.cpu",
            Self::FileSize => "limits.fsize",
            Self::LockedMemory => "limits.memlock",
            Self::OpenFiles => "open-files",
            Self::Processes => "limits.nproc",
            Self::RealtimePriority => "limits.rtprio",
            Self::Stack => "limits.stack",
        }
    }

    fn of_the_kernel(self) -> resource::Resource {
        match self {
            Self::AddressSpace => resource::Resource::RLIMIT_AS,
            Self::Core => resource::Resource::RLIMIT_CORE,
            Self::Cpu => resource::Resource::RLIMIT_CPU,
            Self::FileSize => resource::Resource::RLIMIT_FSIZE,
            Self::LockedMemory => resource::Resource::RLIMIT_MEMLOCK,
            Self::OpenFiles => resource::Resource::RLIMIT_NOFILE,
            Self::Processes => resource::Resource::RLIMIT_NPROC,
            Self::RealtimePriority => resource::Resource::RLIMIT_RTPRIO,
            Self::Stack => resource::Resource::RLIMIT_STACK,
        }
    }
}

/// How much of something a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Of what.
    pub resource: Resource,
    /// Where the kernel stops it.
    pub soft: u64,
    /// How far it may raise that itself.
    pub hard: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.resource.key(), Amount(self.soft))?;
        if self.hard != self.soft {
            write!(f, " (hard {})", Amount(self.hard))?;
        }
        Ok(())
    }
}

struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == UNLIMITED { f.write_str("unlimited") } else { write!(f, "{}", self.0) }
    }
}

impl Limit {
    /// The limit of this process.
    pub fn current(resource: Resource) -> io::Result<Self> {
        let (soft, hard) = getrlimit(resource.of_the_kernel())?;
        Ok(Self { resource, soft, hard })
    }

    /// Sets it for this process. Raising a hard limit takes a capability that containers seldom have; without it the
    /// limit becomes as high as the hard one allows, and that is returned.
    pub fn set(self) -> io::Result<Option<Self>> {
        let kernels = self.resource.of_the_kernel();
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

/// Lets this process open as many files as it may. Not for those that it starts: a program that uses `select` breaks
/// when a descriptor has a number of 1024 or more, and so they get back what there was ([`inherited_open_files`]).
pub fn raise_open_files() -> io::Result<()> {
    let before = Limit::current(Resource::OpenFiles)?;
    Limit { soft: before.hard, ..before }.set()?;
    // Whoever comes second finds the raised limit.
    let _ = OPEN_FILES.set(before);
    Ok(())
}

/// The limit of open files that a child of ours would have had from our parent; `None` when ours is the same.
pub fn inherited_open_files() -> Option<Limit> {
    OPEN_FILES.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_may_not_be_raised_is_as_high_as_it_can_be() {
        // One of no consequence for the other tests of this process; lowering it needs no capability.
        let limit = |soft, hard| Limit { resource: Resource::Core, soft, hard };
        assert_eq!(limit(2048, 4096).set().unwrap(), None);
        // Who has the capability gets what it asks for.
        for asked in [limit(0, UNLIMITED), limit(UNLIMITED, UNLIMITED)] {
            let got = asked.set().unwrap();
            assert_eq!(Limit::current(Resource::Core).unwrap(), got.unwrap_or(asked));
            assert!(got.is_none_or(|got| got == limit(asked.soft.min(4096), 4096)), "{got:?}");
        }
    }

    #[test]
    fn a_limit_is_shown_as_its_key_says_it() {
        let limit = Limit { soft: 5, hard: UNLIMITED, resource: Resource::OpenFiles };
        assert_eq!(limit.to_string(), "open-files = 5 (hard unlimited)");
        assert_eq!(Limit { hard: 5, ..limit }.to_string(), "open-files = 5");
    }
}
