//! The sources of variables, each with a layer; later layers win. Merges them into one environment.
//!
//! From the bottom: values that the daemon made for unset variables, the provider's defaults, the environment, the
//! files that users edit, the arguments of `init`, the changes of hooks. A variable and its aliases count as one: a
//! layer that sets any of the names wins over all of them in the layers below; within a layer the first name wins.
//!
//! The start-up variables are fixed when the gateway opens its ports. Before that, only the system's file is read for
//! them; an edit there counts from the next start on. Files and hooks that are read later cannot change these
//! variables: their values are left out and reported, so that no user relies on a password that does not work.

use std::cell::LazyCell;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::mem::take;
use std::path::PathBuf;

use super::names::{is_startup, is_unchosen, row, split, twin};
use super::normalize::{complete, normalize, workspace};
use super::table::given;
use crate::config::problem::Problem;
use crate::config::provider;
use crate::sys::env_file::Raw;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The daemon made the value.
    Made,
    /// A default for the cloud provider of this machine.
    Provider,
    /// The container's environment.
    Environment,
    /// A file.
    File(PathBuf),
    /// An argument of `init`.
    Argument,
    /// A hook left it.
    Hook,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made => f.write_str("made by desktopd"),
            Self::Provider => f.write_str("provider"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => path.display().fmt(f),
            Self::Argument => f.write_str("arguments of init"),
            Self::Hook => f.write_str("hooks"),
        }
    }
}

/// The variables of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) origin: Origin,
    pub(super) set: Raw,
    /// The names that this source unset.
    pub(super) gone: Vec<OsString>,
    /// Whether the layer contains users' edits of a file that the daemon writes.
    pub(super) edits: bool,
    /// What is wrong with the source itself; values have not been parsed yet.
    pub(super) problems: Vec<Problem>,
}

impl Layer {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin, set: Raw::new(), gone: Vec::new(), edits: false, problems: Vec::new() }
    }

    pub(super) fn report(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(self.origin.to_string(), key, message));
    }
}

/// The result of the hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hooks {
    /// The environment in which they ended.
    pub(super) after: Raw,
    /// Their changes, compared with the environment that they were given at that time.
    pub(super) layer: Layer,
}

/// All sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sources {
    /// Values that the daemon made for variables that are not set otherwise.
    pub(super) made: Raw,
    process: Layer,
    /// The start-up variables of the system's file when the gateway was opened; `None` before that.
    pub(super) startup: Option<Layer>,
    /// The edits of the system's file, then the workspace's file.
    pub(super) files: Vec<Layer>,
    arguments: Layer,
    pub(super) hooks: Option<Hooks>,
}

/// The flags of the older images' start scripts, which templates still pass. The text is the variable that the flag
/// sets, or why the flag does nothing; it is empty where desktopd behaves like this anyway, or has no such feature.
const FLAGS: [(&str, &str); 12] = [
    ("--jupyter-override", "JUPYTER_OVERRIDE=true"),
    ("--no-activate-pyenv", ""),
    ("--no-agent-banner", "ENABLE_AGENT_BANNER=false"),
    ("--no-cert-gen", ""),
    ("--no-export-env", "shells see the container's environment all the same"),
    ("--no-force-jupyter", "FORCE_JUPYTER=false"),
    ("--no-forward-compat", "DISABLE_FORWARD_COMPAT=true"),
    ("--no-update-portal", ""),
    ("--no-update-vast", ""),
    ("--no-user-keys", "keys that let in root let in the desktop's user as well"),
    ("--sync-environment", "WORKSPACE_SYNC=true"),
    ("--sync-home", ""),
];

impl Sources {
    /// The environment and the arguments of `init`.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>, given: &[OsString]) -> Self {
        let (mut process, mut arguments) = (Layer::new(Origin::Environment), Layer::new(Origin::Argument));
        let chosen = variables.into_iter().filter(|(name, value)| !is_unchosen(name, value));
        process.set = chosen
            .map(|(name, value)| {
                let value = normalize(&name, &value);
                (name, value)
            })
            .collect();
        for argument in given {
            let flag = FLAGS.iter().find(|(flag, _)| argument == flag).map(|(_, meaning)| *meaning);
            let why = match (split(flag.map_or(argument.as_os_str(), OsStr::new)), flag) {
                (Some((name, value)), _) => {
                    arguments.set.insert(name.to_owned(), normalize(name, value));
                    continue;
                }
                (None, Some("")) => continue,
                (None, Some(instead)) => format!("this flag does nothing here: {instead}"),
                (None, None) => "it is neither NAME=value nor an option; it is ignored".to_owned(),
            };
            arguments.report(argument.to_string_lossy(), why);
        }
        Self { made: Raw::new(), process, startup: None, files: Vec::new(), arguments, hooks: None }
    }

    /// The layers from the bottom to the top, without made values and the provider's defaults.
    pub(super) fn stack(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        let hooks = self.hooks.iter().map(|hooks| &hooks.layer);
        let below = std::iter::once(&self.process).chain(&self.startup).chain(&self.files);
        below.chain([&self.arguments]).chain(hooks)
    }

    /// The variables that some of the layers set, as they are passed on.
    pub(super) fn passed_on(&self, wanted: impl Fn(&Layer) -> bool) -> Raw {
        complete(merge(self.stack().filter(|layer| wanted(layer)), &self.made).0)
    }

    /// The variables that are fixed when the gateway opens its ports.
    pub(super) fn at_start(&self) -> Raw {
        let layers = std::iter::once(&self.process).chain(&self.startup).chain([&self.arguments]);
        complete(merge(layers, &self.made).0)
    }

    /// All variables, before other names are filled in, and the provider's defaults among them.
    pub(super) fn merged(&self) -> (Raw, Raw) {
        merge(self.stack(), &self.made)
    }

    /// Where a name was set, for messages, if it is no default of the provider.
    pub(super) fn place(&self, name: &str) -> &Origin {
        let setter = self.stack().rev().find(|layer| given(&layer.set, name).is_some());
        setter.map_or(&Origin::Environment, |layer| &layer.origin)
    }

    /// Sets a variable to a value that the daemon made, also in the merged variables `raw`, where it is unset.
    pub(super) fn make(&mut self, raw: &mut Raw, name: &str, value: &str) {
        self.made.insert(name.into(), value.into());
        if is_free(raw, name.as_ref()) {
            raw.insert(name.into(), value.into());
        }
    }

    /// Removes the start-up variables from the later layers, and reports each value that would have changed one.
    /// `noted` is the content of the system's file when the daemon first started here.
    pub(super) fn reject_late(&mut self, noted: &Raw) {
        let (mut files, mut hooks) = (take(&mut self.files), self.hooks.take());
        let start = LazyCell::new(|| self.at_start());
        for layer in files.iter_mut().chain(hooks.as_mut().map(|hooks| &mut hooks.layer)) {
            layer.gone.retain(|name| !is_startup(name));
            let (late, kept): (Raw, Raw) =
                take(&mut layer.set).into_iter().partition(|(name, _)| is_startup(name));
            layer.set = kept;
            for (name, value) in late {
                // An argument of init may have won over the value from the file, which `start` shows.
                let opened = self.startup.as_ref().and_then(|layer| layer.set.get(&name));
                if opened == Some(&value) || start.get(&name) == Some(&value) {
                    continue;
                }
                let message = match (layer.edits, noted.get(&name) == Some(&value)) {
                    (true, true) => BEFORE_US,
                    (true, false) => NEXT_START,
                    (false, _) => TOO_LATE,
                };
                layer.report(name.to_string_lossy(), message);
            }
        }
        (self.files, self.hooks) = (files, hooks);
    }
}

/// The message for a change that counts from the next start on.
pub const NEXT_START: &str = "it counts from the next start of the container on (`docker restart`, or Reboot at a \
                              provider): the gateway is open already";

const BEFORE_US: &str = "it was there before desktopd first started here, and an image cannot set the gateway's \
                         variables: set it with the container, or change it there and restart the container";

const TOO_LATE: &str = "it comes too late here, because the gateway is open already: set it with the container, in \
                        /etc/environment, or as an argument of init";

/// Merges layers: all variables, and the provider's defaults among them.
fn merge<'a>(layers: impl Iterator<Item = &'a Layer>, made: &Raw) -> (Raw, Raw) {
    let mut raw = Raw::new();
    for layer in layers {
        let set = layer.set.iter().filter(|(_, value)| !value.is_empty());
        let hidden = set.filter_map(|(name, _)| name.to_str()).flat_map(other_names).map(OsString::from);
        for name in hidden.chain(layer.gone.iter().cloned()) {
            raw.remove(&name);
        }
        raw.extend(layer.set.clone());
    }
    let free = |raw: &Raw, values: Raw| -> Raw {
        values.into_iter().filter(|(name, _)| is_free(raw, name)).collect()
    };
    raw.extend(free(&raw, made.clone()));
    let defaults = provider::defaults(&raw, &workspace(&raw)).into_iter();
    let provider = free(&raw, defaults.map(|(name, value)| (name.into(), value.into())).collect());
    raw.extend(provider.clone());
    (raw, provider)
}

/// Whether a variable is unset, under all of its names.
fn is_free(raw: &Raw, name: &OsStr) -> bool {
    let variable = name.to_str().and_then(row);
    raw.get(name).is_none_or(|value| value.is_empty()) && variable.is_none_or(|row| row.set(raw).is_none())
}

/// The other names of a variable.
fn other_names(name: &str) -> impl Iterator<Item = String> {
    let aliases = row(name).map_or(&[][..], |row| row.names);
    aliases.iter().filter(move |alias| **alias != name).map(|alias| (*alias).to_owned()).chain(twin(name))
}
