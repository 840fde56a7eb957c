//! Layers of variables, one for each source; later layers win. Merges them into one environment.
//!
//! From the bottom: values that the daemon made for unset variables, the provider's defaults, the environment, the
//! files that users edit, the arguments of `init`, the changes of hooks. A variable and its aliases count as one: a
//! layer that sets any of the names wins over all of them in the layers below; within a layer the first name wins.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use super::Raw;
use super::flags::{self, Flag};
use super::names::{is_unchosen, row, split, twin};
use super::normalize::{complete, fill, given, normalize};
use super::table::read;
use super::value::Workspace;
use crate::config::problem::Problem;
use crate::config::provider;

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
}

impl Layer {
    pub(super) fn new(origin: Origin, set: Raw) -> Self {
        Self { origin, set, gone: Vec::new(), edits: false }
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

/// All layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layers {
    /// Values that the daemon made for variables that are not set otherwise.
    pub(super) made: Raw,
    process: Layer,
    arguments: Layer,
    /// The start-up variables of the system's file when the gateway was opened; `None` before that.
    pub(super) startup: Option<Layer>,
    /// The edits of the system's file, then the workspace's file.
    pub(super) files: Vec<Layer>,
    pub(super) hooks: Option<Hooks>,
    /// Problems of the arguments.
    pub(super) wrong: Vec<Problem>,
    /// Problems of the files.
    pub(super) told: Vec<Problem>,
}

/// The result of merging all layers.
pub(super) struct Merged {
    /// All variables, before newer names are filled in.
    pub(super) raw: Raw,
    /// The source of each variable.
    pub(super) from: BTreeMap<OsString, Origin>,
    /// The provider's defaults among them.
    pub(super) provider: Raw,
}

impl Layers {
    /// The environment and the arguments of `init`.
    pub(super) fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        arguments: &[OsString],
    ) -> Self {
        let normalized = |(name, value): (OsString, OsString)| {
            let value = normalize(&name, &value);
            (name, value)
        };
        let chosen = |(name, value): &(OsString, OsString)| !is_unchosen(name, value);
        let mut wrong = Vec::new();
        let mut set = Raw::new();
        for argument in arguments {
            if let Some((name, value)) = split(argument) {
                set.insert(name.to_owned(), normalize(name, value));
                continue;
            }
            let why = match flags::known(argument) {
                Some(Flag::Sets(name, value)) => {
                    set.insert(name.into(), value.into());
                    continue;
                }
                Some(Flag::Nothing) => continue,
                Some(Flag::Not(instead)) => format!("this flag does nothing here: {instead}"),
                None => "it is neither NAME=value nor an option; it is ignored".to_owned(),
            };
            wrong.push(Problem::new(Origin::Argument.to_string(), argument.to_string_lossy(), why));
        }
        Self {
            made: Raw::new(),
            process: Layer::new(
                Origin::Environment,
                variables.into_iter().filter(chosen).map(normalized).collect(),
            ),
            arguments: Layer::new(Origin::Argument, set),
            startup: None,
            files: Vec::new(),
            hooks: None,
            wrong,
            told: Vec::new(),
        }
    }

    /// The layers from the bottom to the top, without made values and the provider's defaults.
    pub(super) fn stack(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        let hooks = self.hooks.iter().map(|hooks| &hooks.layer);
        std::iter::once(&self.process)
            .chain(&self.startup)
            .chain(&self.files)
            .chain([&self.arguments])
            .chain(hooks)
    }

    /// A copy without the changes of hooks.
    pub(super) fn without_hooks(&self) -> Self {
        Self { hooks: None, ..self.clone() }
    }

    /// A copy without edits of the system's file; `None` if there are no edits.
    pub(super) fn without_edits(&self) -> Option<Self> {
        let edited = |layer: &Layer| layer.edits && !layer.set.is_empty();
        let mut others = self.clone();
        others.files.retain(|layer| !edited(layer));
        if others.startup.as_ref().is_some_and(edited) {
            others.startup = None;
        }
        let fewer = others.files.len() < self.files.len() || others.startup != self.startup;
        fewer.then_some(others)
    }

    /// A copy as at the start, when only the start-up variables had been read from files.
    pub(super) fn at_start(&self) -> Self {
        Self { files: Vec::new(), told: Vec::new(), ..self.without_hooks() }
    }

    /// The problems of all layers; values have not been parsed yet.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.wrong.iter().chain(&self.told)
    }

    /// All layers together.
    pub(super) fn merged(&self) -> Merged {
        let (mut raw, mut from) = (Raw::new(), BTreeMap::new());
        for layer in self.stack() {
            let mut hidden = layer.gone.clone();
            for (name, _) in layer.set.iter().filter(|(_, value)| !value.is_empty()) {
                let others = name.to_str().map(other_names).unwrap_or_default();
                hidden.extend(others.into_iter().map(OsString::from));
            }
            for name in hidden {
                raw.remove(&name);
                from.remove(&name);
            }
            for (name, value) in &layer.set {
                raw.insert(name.clone(), value.clone());
                from.insert(name.clone(), layer.origin.clone());
            }
        }
        for (name, value) in &self.made {
            if is_free(&raw, name) {
                raw.insert(name.clone(), value.clone());
                from.insert(name.clone(), Origin::Made);
            }
        }
        let mut provider = Raw::new();
        for (name, value) in provider::defaults(&raw, &workspace(&raw)) {
            let name = OsString::from(name);
            if is_free(&raw, &name) {
                provider.insert(name.clone(), value.clone().into());
                raw.insert(name.clone(), value.into());
                from.insert(name, Origin::Provider);
            }
        }
        Merged { raw, from, provider }
    }
}

impl Merged {
    /// All variables, as they are passed on.
    pub(super) fn completed(mut self) -> Raw {
        // Scripts append names to it, so it must end with a slash.
        let workspace = workspace(&self.raw);
        self.raw.insert("WORKSPACE".into(), workspace.text().into());
        if provider::is_vast(&self.raw) {
            // The name of the workspace's variable on vast.ai.
            fill(&mut self.raw, "DATA_DIRECTORY", workspace.text().into());
        }
        complete(&mut self.raw);
        self.raw
    }

    /// Where a name was set, for messages.
    pub(super) fn place(&self, name: &str) -> String {
        self.from.get(OsStr::new(name)).unwrap_or(&Origin::Environment).to_string()
    }
}

/// The folder where users keep their work.
pub(super) fn workspace(raw: &Raw) -> Workspace {
    let names = row("WORKSPACE").map_or(&[][..], |row| row.names);
    read(raw, names, "/workspace/", &|_| String::new(), &mut Vec::new())
}

/// Whether a variable is unset, under all of its names.
fn is_free(raw: &Raw, name: &OsStr) -> bool {
    let aliases = name.to_str().and_then(row).map_or(&[][..], |row| row.names);
    raw.get(name).is_none_or(|value| value.is_empty())
        && aliases.iter().all(|name| given(raw, name).is_none())
}

/// The other names of a variable.
fn other_names(name: &str) -> Vec<String> {
    let aliases = row(name).map_or(&[][..], |row| row.names);
    let aliases = aliases.iter().filter(|alias| **alias != name).map(|alias| (*alias).to_owned());
    aliases.chain(twin(name)).collect()
}
