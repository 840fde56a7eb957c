//! The boot steps that service files can name, and the keys of `[step]` that each of them takes. The types below are
//! the only description of these keys: a file is checked by them when it is read, its expanded values when the plan is
//! made, and the process of the step gets its values as one of them. The module `steps` does the work.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

mod decided;

pub use decided::{AccountSpec, DriverSpec};

use crate::config::problem::hint;
use crate::config::quantity::{size, wait};
use crate::config::table::Reader;

/// Makes a type of each step's keys, and [`Step`] of all of them.
macro_rules! steps {
    ($($(#[$about:meta])* $name:literal $step:ident { $($(#[$what:meta])* $key:ident: $type:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Default, Deserialize)]
            #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
            pub struct $step { $($(#[$what])* pub $key: $type,)* }
        )*

        /// A boot step with its values.
        #[derive(Debug, Deserialize)]
        pub enum Step { $($(#[$about])* #[serde(rename = $name)] $step($step),)* }

        /// The names of all steps, with their keys.
        const STEPS: &[(&str, &[&str])] = &[$(($name, &[$(stringify!($key)),*])),*];
    };
}

steps! {
    /// Runs the script that `BOOT_SCRIPT` names.
    "boot-script" BootScript {
        /// The daemon's run folder.
        run_dir: PathBuf,
        /// Where the script is kept after its download.
        copy: PathBuf,
    }

    /// Sets the loader's path to CUDA's library for newer drivers, where that library works.
    "cuda" Cuda {
        /// Whether that library is left out.
        #[serde(deserialize_with = "is_on")]
        disabled: bool,
        /// How long a library may take for an answer.
        #[serde(deserialize_with = "duration")]
        limit: Duration,
    }

    /// Writes settings of the desktop that follow variables.
    "desktop-settings" DesktopSettings {
        /// The user's home.
        home: PathBuf,
        /// The locale.
        lang: String,
        /// The density of the screen.
        dpi: String,
    }

    /// Has a picture of the screen encoded, with one hardware encoder after the other until one works. The plan adds what
    /// to try.
    "encoder" Encoder {
        /// The daemon's run folder.
        run_dir: PathBuf,
        /// The program in Python that encodes a picture as Selkies does.
        script: PathBuf,
        /// Of the picture, in pixels.
        #[serde(deserialize_with = "number")]
        width: u16,
        /// Of the picture, in pixels.
        #[serde(deserialize_with = "number")]
        height: u16,
    }

    /// Repairs device nodes, as the plan decided.
    "device-nodes" DeviceNodes {
        /// The daemon's run folder.
        run_dir: PathBuf,
    }

    /// Writes the environment of shells, and the time zone.
    "environment" Environment {
        /// The daemon's run folder.
        run_dir: PathBuf,
        /// The daemon's own folder.
        state_dir: PathBuf,
        /// The folder of the configuration.
        config_dir: PathBuf,
        /// The desktop's user.
        #[serde(deserialize_with = "number")]
        uid: u32,
        /// The group that may read the files.
        #[serde(deserialize_with = "number")]
        gid: u32,
        /// The name of the time zone.
        time_zone: String,
    }

    /// Runs the users' own boot scripts.
    "hooks" Hooks {
        /// The daemon's run folder.
        run_dir: PathBuf,
        /// How long each script may take.
        #[serde(deserialize_with = "duration")]
        limit: Duration,
        /// The folders of the scripts, in their order.
        folders: Vec<HookFolder>,
    }

    /// Runs the script that `HOTFIX_SCRIPT` names.
    "hotfix" Hotfix {
        /// The daemon's run folder.
        run_dir: PathBuf,
    }

    /// Brings what the container lacks of NVIDIA's driver, a [`DriverSpec`] that the plan adds, and repairs the files
    /// that name the driver's libraries to programs.
    "nvidia-driver" NvidiaDriver {
        /// The daemon's run folder.
        run_dir: PathBuf,
        /// A URL, or a folder or a file of this machine.
        source: String,
        /// The folder for downloads.
        cache: PathBuf,
        /// How long the display waits for the step.
        #[serde(deserialize_with = "duration")]
        patience: Duration,
        /// How long a download may take, all attempts together.
        #[serde(deserialize_with = "duration")]
        limit: Duration,
        /// The largest download, in bytes.
        #[serde(deserialize_with = "bytes")]
        size: u64,
    }

    /// Moves folders of the container to the volume.
    "opt-sync" OptSync {
        /// The workspace.
        workspace: WorkspaceKeys,
        /// Names of folders in `/opt`, separated by colons.
        folders: String,
        /// Whether Python environments are moved, too.
        #[serde(deserialize_with = "is_on")]
        environments: bool,
        /// How long to wait for another container that works on the volume.
        #[serde(deserialize_with = "duration")]
        wait: Duration,
    }

    /// Creates the folders and ids that a desktop expects from the system.
    "prepare" Prepare {
        /// The desktop's runtime folder.
        runtime_dir: PathBuf,
        /// The user's home.
        home: PathBuf,
        /// The user of both folders.
        #[serde(deserialize_with = "number")]
        uid: u32,
        /// The group of both folders.
        #[serde(deserialize_with = "number")]
        gid: u32,
    }

    /// Runs the script that sets the machine up.
    "provisioning" Provisioning {
        /// The daemon's run folder.
        run_dir: PathBuf,
        /// The folder of the logs.
        log_dir: PathBuf,
        /// The desktop's user.
        user: String,
        /// Scripts of which the first that exists is run, unless `PROVISIONING_SCRIPT` names one.
        files: Vec<PathBuf>,
    }

    /// Collects SSH keys.
    "ssh-keys" SshKeys {
        /// The daemon's run folder.
        run_dir: PathBuf,
        /// The desktop's user.
        user: String,
        /// The user's home.
        home: PathBuf,
        /// Variables that have keys. Of two lines with the same key the first one counts.
        variables: Vec<KeyVariable>,
    }

    /// Makes the account of the desktop, an [`AccountSpec`] that the plan adds.
    "user" User {
        /// The daemon's run folder.
        run_dir: PathBuf,
    }

    /// Sets up the workspace.
    "workspace" Workspace {
        /// The workspace.
        workspace: WorkspaceKeys,
        /// Whether its access list is left as it is.
        #[serde(deserialize_with = "is_on")]
        skip_acl: bool,
    }

    /// Copies the image's files for the workspace.
    "workspace-files" WorkspaceFiles {
        /// The workspace.
        workspace: WorkspaceKeys,
        /// How long to wait for another container that works on the volume.
        #[serde(deserialize_with = "duration")]
        wait: Duration,
    }

    /// Makes the authorization cookie of the X server.
    "x-cookie" XCookie {
        /// The file of the cookie.
        file: PathBuf,
    }

    /// Keeps keycodes free for characters that the keyboard layout lacks.
    "x-keys" XKeys {
        /// The X display.
        display: String,
    }

    /// Sets the size of the screen.
    "x-screen" XScreen {
        /// The X display.
        display: String,
        /// In pixels.
        #[serde(deserialize_with = "number")]
        width: u16,
        /// In pixels.
        #[serde(deserialize_with = "number")]
        height: u16,
        /// Pictures in a second.
        #[serde(deserialize_with = "number")]
        refresh: u32,
        /// The density of the screen.
        #[serde(deserialize_with = "number")]
        dpi: u32,
    }
}

/// A variable that has SSH keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A folder of hooks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HookFolder {
    /// The folder.
    pub path: PathBuf,
    /// Where the scripts run only once: the file that marks that they have run.
    pub once: Option<PathBuf>,
}

/// What the variables of the workspace say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceKeys {
    /// The folder.
    pub folder: PathBuf,
    /// The value of `WORKSPACE_MOUNTED`.
    pub mounted: String,
    /// The owner's user id, if it is given.
    #[serde(deserialize_with = "optional")]
    pub uid: Option<u32>,
    /// The owner's group id, if it is given.
    #[serde(deserialize_with = "optional")]
    pub gid: Option<u32>,
}

/// A value that is written as text, because templates are texts.
fn text<'de, D: Deserializer<'de>, T>(
    from: D,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| D::Error::custom(format!("\"{text}\" is not {expected}")))
}

fn number<'de, D: Deserializer<'de>, T: std::str::FromStr>(from: D) -> Result<T, D::Error> {
    text(from, "a number", |text| text.parse().ok())
}

/// An empty text is no number.
fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    text(from, "a number", |text| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) })
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    text(from, "a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\"", wait)
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    text(from, "a size such as \"512MiB\" or \"1GiB\"", size)
}

/// The same values that are true in the table of variables.
fn is_on<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    text(from, "", |text| Some(["true", "1", "yes", "on"].contains(&text.to_ascii_lowercase().as_str())))
}

impl Step {
    /// The step called `name` with these keys. The error is that of the first mistake; a missing key is none.
    pub fn new(name: &str, keys: Map<String, Value>) -> serde_json::Result<Self> {
        serde_json::from_value(Map::from_iter([(name.to_owned(), keys.into())]).into())
    }
}

/// `[step]` of a service file: the step's name, and its keys with templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSpec {
    /// The step's name.
    pub name: String,
    /// The other keys.
    pub keys: Map<String, Value>,
}

impl StepSpec {
    /// Reads the table of a service file.
    pub(super) fn read(file: &mut Reader<'_>) -> Option<Self> {
        let expected = "a table with the `name` of a boot step and its keys";
        let mut keys: Map<String, Value> = file.get("step", expected)?;
        let Some(Value::String(name)) = keys.remove("name") else {
            file.problem("step.name", "it is missing: the name of a boot step, as a text");
            return None;
        };
        let spec = Self { name, keys };
        for (key, message) in spec.mistakes() {
            file.problem(&format!("step.{key}"), message);
        }
        Some(spec)
    }

    /// All mistakes, each with its key. A value with a template is not looked at.
    pub fn mistakes(&self) -> Vec<(String, String)> {
        let Some((_, known)) = STEPS.iter().find(|(name, _)| *name == self.name) else {
            let hint = hint(&self.name, STEPS.iter().map(|(name, _)| *name));
            return vec![("name".to_owned(), format!("\"{}\" is not a boot step{hint}", self.name))];
        };
        let known: Vec<String> = known.iter().map(|key| key.replace('_', "-")).collect();
        let missing = known.iter().filter(|key| !self.keys.contains_key(*key));
        let missing = missing.map(|key| (key.clone(), "it is missing".to_owned()));
        let wrong = self.keys.iter().filter_map(|(key, value)| {
            let has_template = known.contains(key) && value.to_string().contains("${");
            let only = Map::from_iter([(key.clone(), value.clone())]);
            let error = Step::new(&self.name, only).err().filter(|_| !has_template)?;
            Some((key.clone(), error.to_string()))
        });
        missing.chain(wrong).collect()
    }
}

#[cfg(test)]
mod tests;
