//! What the plan decides for a step.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The account as the plan decided it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AccountSpec {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The id of the main group.
    pub gid: u32,
    /// The home folder.
    pub home: PathBuf,
    /// The login shell.
    pub shell: String,
    /// Groups by name or number; missing groups are skipped.
    pub groups: Vec<String>,
    /// Groups that own devices, each with a name to use if the group has no name.
    pub devices: BTreeMap<u32, String>,
    /// The folder of the user's work.
    pub workspace: PathBuf,
}

/// What the container lacks of NVIDIA's driver, as the plan decided it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct DriverSpec {
    /// The version of the kernel's module: only libraries of this version work.
    pub version: String,
    /// The libraries and modules that the display could use and the container does not have.
    pub lacking: Vec<String>,
    /// Why they are not brought, if they are not.
    pub refused: Option<String>,
    /// `LD_LIBRARY_PATH`.
    pub library_path: String,
}
