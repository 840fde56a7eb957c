//! Who set what: layers of variables, of which the later ones win, and the environment that they come to.
//!
//! From the bottom: what was made for nobody's choice, the provider's defaults, the environment, the files that people
//! edit, the arguments of `init`, what hooks left. A variable and its aliases are one: a layer that sets any of its names
//! wins over all of them below it; within a layer the first name wins.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use super::Raw;
use super::clean::{clean, complete, fill, given};
use super::flags::{self, Flag};
use super::names::{row, split};
use super::table::read;
use super::unchosen::is_unchosen;
use super::value::Workspace;
use crate::config::problem::Problem;
use crate::config::provider;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was made by the daemon.
    Made,
    /// It suits the provider whose machine this is.
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

/// What somebody set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) origin: Origin,
    pub(super) set: Raw,
    /// What is not set any more.
    pub(super) gone: Vec<OsString>,
    /// Whether it is what people changed in a file that the daemon writes.
    pub(super) edits: bool,
}

impl Layer {
    pub(super) fn new(origin: Origin, set: Raw) -> Self {
        Self { origin, set, gone: Vec::new(), edits: false }
    }
}

/// What hooks left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hooks {
    /// The environment in which they ended.
    pub(super) after: Raw,
    /// What they changed of the one that they were given at that time.
    pub(super) layer: Layer,
}

/// Everything that was set, by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layers {
    /// What was made for variables that nobody set.
    pub(super) made: Raw,
    process: Layer,
    arguments: Layer,
    /// What the system's file said of the front door when that was opened. `None` before it is.
    pub(super) door: Option<Layer>,
    /// Edits of the system's file, and the workspace's own.
    pub(super) files: Vec<Layer>,
    pub(super) hooks: Option<Hooks>,
    /// What was wrong with the arguments.
    pub(super) wrong: Vec<Problem>,
    /// What was wrong with the files.
    pub(super) told: Vec<Problem>,
}

/// What layers come to.
pub(super) struct Merged {
    /// Everything, before newer names are filled in.
    pub(super) raw: Raw,
    /// Which of it was set by whom.
    pub(super) from: BTreeMap<OsString, Origin>,
    /// What the provider's machine made of it.
    pub(super) provider: Raw,
}

impl Layers {
    /// The environment and the arguments of `init`.
    pub(super) fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        arguments: &[OsString],
    ) -> Self {
        let cleaned = |(name, value): (OsString, OsString)| {
            let value = clean(&name, &value);
            (name, value)
        };
        let chosen = |(name, value): &(OsString, OsString)| !is_unchosen(name, value);
        let mut wrong = Vec::new();
        let mut set = Raw::new();
        for argument in arguments {
            if let Some((name, value)) = split(argument) {
                set.insert(name.to_owned(), clean(name, value));
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
                variables.into_iter().filter(chosen).map(cleaned).collect(),
            ),
            arguments: Layer::new(Origin::Argument, set),
            door: None,
            files: Vec::new(),
            hooks: None,
            wrong,
            told: Vec::new(),
        }
    }

    /// From the bottom to the top, without what is made of others.
    pub(super) fn stack(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        let hooks = self.hooks.iter().map(|hooks| &hooks.layer);
        std::iter::once(&self.process)
            .chain(&self.door)
            .chain(&self.files)
            .chain([&self.arguments])
            .chain(hooks)
    }

    /// The same without what hooks left.
    pub(super) fn without_hooks(&self) -> Self {
        Self { hooks: None, ..self.clone() }
    }

    /// The same without edits of the system's file, if there are any.
    pub(super) fn without_edits(&self) -> Option<Self> {
        let edited = |layer: &Layer| layer.edits && !layer.set.is_empty();
        let mut others = self.clone();
        others.files.retain(|layer| !edited(layer));
        if others.door.as_ref().is_some_and(edited) {
            others.door = None;
        }
        let fewer = others.files.len() < self.files.len() || others.door != self.door;
        fewer.then_some(others)
    }

    /// The same as it was at the start, when no file was read but for what it says of the front door.
    pub(super) fn at_start(&self) -> Self {
        Self { files: Vec::new(), told: Vec::new(), ..self.without_hooks() }
    }

    /// What was wrong with all of it, before anything is parsed.
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
    /// All of it, as it is passed on.
    pub(super) fn completed(mut self) -> Raw {
        // Scripts append names to it.
        let workspace = workspace(&self.raw);
        self.raw.insert("WORKSPACE".into(), workspace.text().into());
        if provider::is_vast(&self.raw) {
            // Its other name there.
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

/// Where people keep their work.
pub(super) fn workspace(raw: &Raw) -> Workspace {
    let names = row("WORKSPACE").map_or(&[][..], |row| row.names);
    read(raw, names, "/workspace/", &|_| String::new(), &mut Vec::new())
}

/// Whether nobody set a variable, by any of its names.
fn is_free(raw: &Raw, name: &OsStr) -> bool {
    let aliases = name.to_str().and_then(row).map_or(&[][..], |row| row.names);
    raw.get(name).is_none_or(|value| value.is_empty())
        && aliases.iter().all(|name| given(raw, name).is_none())
}

/// What else a variable is called.
fn other_names(name: &str) -> Vec<String> {
    let aliases = row(name).map_or(&[][..], |row| row.names);
    let prefixed = [("SELKIES_", "WEBRTC_"), ("WEBRTC_", "SELKIES_")]
        .iter()
        .filter_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)));
    let aliases = aliases.iter().filter(|alias| **alias != name).map(|alias| (*alias).to_owned());
    aliases.chain(prefixed).collect()
}
