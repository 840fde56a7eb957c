//! What became of the hardware encoders that were tried since the start. The step `encoder` writes it to a file, after it
//! had a picture of the screen encoded with each; the plan reads it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys::launch::Identity;
use crate::sys::read;

/// A kind of hardware encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hardware {
    /// NVIDIA's.
    Nvenc,
    /// That of AMD or Intel, through VA-API.
    Vaapi,
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvenc => "NVENC",
            Self::Vaapi => "VA-API",
        })
    }
}

/// What to try. Two that are equal have the same result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The kind of encoder.
    pub hardware: Hardware,
    /// The render node of the GPU, `/dev/dri/renderD128`; without one, the driver's first GPU.
    pub node: Option<String>,
    /// The codec as pixelflux, the encoder of Selkies, calls it: `h264`.
    pub codec: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// What was tried.
    pub trial: Trial,
    /// Why it does not work, with the remedy; `None` if a picture was encoded.
    pub failure: Option<String>,
}

/// The work of the step, as the plan decided it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trials {
    /// The program of Selkies, with whose encoder pictures are encoded.
    pub selkies: PathBuf,
    /// The user of Selkies, if the daemon runs as another one.
    pub user: Option<User>,
    /// What to try, in this order, until one works.
    pub trials: Vec<Trial>,
}

/// The user of Selkies.
#[derive(Debug, Serialize, Deserialize)]
pub struct User {
    /// The ids.
    pub identity: Identity,
    /// The login name.
    pub name: String,
    /// The home folder.
    pub home: PathBuf,
}

/// The file with the results. `run` is the daemon's folder.
pub fn file(run: &Path) -> PathBuf {
    run.join("encoder.json")
}

/// All results; none before the step has written the file.
pub(super) fn tried(run: &Path) -> Vec<Tried> {
    let text = read::text(&file(run), read::BY_HAND).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_back_and_rubbish_is_none() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(tried(run.path()), []);
        let results = [Hardware::Nvenc, Hardware::Vaapi].map(|hardware| Tried {
            trial: Trial { hardware, node: None, codec: "h264".into() },
            failure: (hardware == Hardware::Nvenc).then(|| "no library".to_owned()),
        });
        std::fs::write(file(run.path()), serde_json::to_string(&results).unwrap()).unwrap();
        assert_eq!(tried(run.path()), results);
        for rubbish in ["", "{}", "[{\"trial\":1}]", "\u{0}"] {
            std::fs::write(file(run.path()), rubbish).unwrap();
            assert_eq!(tried(run.path()), [], "{rubbish:?}");
        }
    }
}
