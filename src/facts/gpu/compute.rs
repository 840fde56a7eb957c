//! What is known about computing on GPUs: CUDA's toolkits and their library for newer drivers, ROCm, and device nodes that
//! need a repair.

use serde::{Deserialize, Serialize, Serializer};

/// A version of CUDA. Versions are compared by their parts: 13.10 is newer than 13.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl Version {
    /// Reads `13.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        let part = |text: &str| text.parse::<u32>().ok().filter(|part| part.to_string() == text);
        Some(Self { major: part(major)?, minor: part(minor)? })
    }

    /// The version behind CUDA's number: 12040 is 12.4.
    pub(super) fn of_number(number: i32) -> Option<Self> {
        let number = u32::try_from(number).ok().filter(|number| *number >= 1000)?;
        Some(Self { major: number / 1000, minor: number % 1000 / 10 })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A toolkit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Toolkit {
    /// Its version.
    pub version: Version,
    /// Its folder: `/usr/local/cuda-13.1`.
    pub path: String,
    /// The folder of its libraries for older drivers, if they are installed.
    pub compat: Option<String>,
}

/// How it is with forward compatibility.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There is no toolkit, no NVIDIA GPU, or no toolkit that is newer than the driver.
    #[default]
    NotNeeded,
    /// The newest toolkit is newer than the driver, and of the same major version: its programs run with the driver's
    /// own library, except for newer functions.
    MinorVersion,
    /// It has not been tried on this machine. The boot step `cuda` tries it.
    Untried,
    /// The loader takes the library for newer drivers.
    On,
    /// It is needed, and its libraries are not installed.
    Missing,
    /// It is needed and does not work here.
    Refused,
    /// The driver's version is not known.
    Unknown,
}

/// Forward compatibility on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compat {
    /// How it is.
    pub state: State,
    /// The folders that can be tried, the newest toolkit first.
    #[serde(skip)]
    pub folders: Vec<String>,
    /// Whether desktopd's own file for the loader exists.
    #[serde(skip)]
    pub file: bool,
    /// Why, with the remedy where a toolkit cannot be used.
    pub reason: String,
}

/// ROCm, AMD's libraries for computing, in this container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rocm {
    /// The version, if a file says it: `6.2.0-66`.
    pub version: Option<String>,
    /// The library through which programs reach the GPUs, `libhsa-runtime64.so.1`.
    pub hsa: String,
    /// The library of HIP programs, `libamdhip64.so.6`.
    pub hip: Option<String>,
}

/// A device node that is missing, or that the desktop's user may not open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Its path.
    pub node: String,
    /// What is wrong.
    pub lacks: String,
    /// What desktopd as root can do about it here; `None` if only the host can.
    pub action: Option<Action>,
    /// What a person can do about it.
    pub remedy: String,
}

/// What desktopd can do about a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Make it with these numbers.
    Make {
        /// The driver's number.
        major: u32,
        /// The device's number.
        minor: u32,
    },
    /// Let this group read and write it.
    Open {
        /// The group's name.
        group: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_parts() {
        let version = |text: &str| Version::parse(text).unwrap();
        assert!(version("13.10") > version("13.9") && version("13.0") > version("12.10"));
        for text in ["", "13", "13.", ".1", "13.1.2", "13.x", "013.1", "13.01", "-1.2"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        let of = |number| Version::of_number(number).map(|version| version.to_string());
        assert_eq!(of(12040).as_deref(), Some("12.4"));
        assert_eq!(of(13100).as_deref(), Some("13.10"));
        assert_eq!((of(0), of(-1)), (None, None));
    }
}
