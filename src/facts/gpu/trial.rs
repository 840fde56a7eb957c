//! A library of CUDA that is tried in a child process: what the child answers, and what is remembered of it.
//!
//! The boot step `cuda` tries, because the start of all GPUs of a server can take longer than a probe may. What came of
//! it is kept in comments of the file with which the step sets the loader's path ([`FILE`]), so that the memory and what
//! it is about cannot part: the file is lost with the container, and its toolkits are as well.

use serde::{Deserialize, Serialize};

use super::answer;
use super::compute::Version;
use super::libcuda::named;
use super::line::Line;

/// The loader's configuration that desktopd writes. The name makes it the first: the loader takes a library from the
/// first folder that has it.
pub const FILE: &str = "/etc/ld.so.conf.d/0-desktopd-cuda.conf";

/// What the lines of the memory begin with.
const MARK: &str = "# tried ";

/// `CUDA_ERROR_SYSTEM_DRIVER_MISMATCH` and `CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE`: the same library fails on the same
/// driver and GPU for ever. Any other failure may pass.
const FOR_GOOD: [i32; 2] = [803, 804];

/// One library that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The driver's version in the kernel.
    pub driver: String,
    /// The names of the GPUs, sorted.
    pub gpus: Vec<String>,
    /// The library, with all links followed: its file has its version in its name.
    pub library: String,
    /// CUDA's result: 0 is success.
    pub result: i32,
}

impl Trial {
    /// The memory of earlier trials in a text of [`FILE`].
    pub fn read(text: &str) -> Vec<Self> {
        let trial = |line: &str| serde_json::from_str(line.strip_prefix(MARK)?).ok();
        text.lines().filter_map(trial).collect()
    }

    /// Whether this is a trial of the same library on the same machine.
    pub fn is_same(&self, other: &Self) -> bool {
        Self { result: 0, ..self.clone() } == Self { result: 0, ..other.clone() }
    }

    /// Whether the library worked.
    pub fn worked(&self) -> bool {
        self.result == 0
    }

    /// Whether another trial can have no other result.
    pub fn is_final(&self) -> bool {
        self.worked() || FOR_GOOD.contains(&self.result)
    }

    /// Why the library does not work.
    pub fn refusal(&self) -> String {
        let why = match self.result {
            804 => ", because no GPU here is of a kind that supports it",
            803 => ", because it does not fit the driver in the kernel",
            _ => "",
        };
        format!("cuInit of {} answers {}{why}", self.library, named(self.result))
    }
}

/// The text of [`FILE`]: all trials, and the folder that comes first in the loader's path, if there is one.
pub fn text(trials: &[Trial], folder: Option<&str>) -> String {
    let mut text =
        "# Made by desktopd: CUDA's libraries for newer drivers; DISABLE_FORWARD_COMPAT=true removes the \
                    folder.\n"
            .to_owned();
    for trial in trials {
        text.extend([MARK, &serde_json::to_string(trial).unwrap_or_default(), "\n"]);
    }
    text.extend(folder.map(|folder| format!("{folder}\n")));
    text
}

/// The arguments of the child that tries a library.
pub fn words(library: &str) -> [&str; 4] {
    [crate::sys::subcommands::PROBE, answer::CUDA, library, answer::START]
}

/// What a child answers about a library of CUDA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The version that the library offers.
    pub version: Option<Version>,
    /// CUDA's result, if the library was started.
    pub result: Option<i32>,
    /// Why there is no answer.
    pub failed: Option<String>,
}

impl Answer {
    /// Takes one line of the child. Returns whether more lines may follow.
    pub fn take(&mut self, line: &str) -> bool {
        match serde_json::from_str(line) {
            Ok(Line::CudaVersion(number)) => self.version = Version::of_number(number),
            Ok(Line::CudaStarted(result)) => self.result = Some(result),
            Ok(Line::Failed(why)) => self.failed = Some(why),
            Ok(Line::Done) => return false,
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_read_from_what_was_written() {
        let trial = |library: &str, result| Trial {
            driver: "550.54.14".into(),
            gpus: vec!["NVIDIA H100".into()],
            library: library.into(),
            result,
        };
        let trials = [trial("/a/libcuda.so.590.1", 804), trial("/b/libcuda.so.580.1", 0)];
        let written = text(&trials, Some("/b"));
        assert_eq!(Trial::read(&written), trials);
        // The loader's tool ignores what follows a number sign.
        let folders: Vec<&str> = written.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(folders, ["/b"]);
        assert_eq!(Trial::read("# tried rubbish\n# tried {}\n/b\n"), []);
        assert!(trials[0].is_same(&trial("/a/libcuda.so.590.1", 0)) && !trials[0].is_same(&trials[1]));
        assert!(trials.iter().all(Trial::is_final) && !trial("/a", 999).is_final());
    }

    #[test]
    fn a_refusal_has_the_name_that_people_search_for() {
        let refusal = |result| {
            Trial { driver: String::new(), gpus: vec![], library: "/a/libcuda.so.1".into(), result }.refusal()
        };
        assert_eq!(
            refusal(804),
            "cuInit of /a/libcuda.so.1 answers 804 (CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE), because no GPU here is of a \
             kind that supports it"
        );
        assert!(refusal(803).contains("(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)"));
        assert!(refusal(12345).ends_with("answers 12345"));
    }
}
