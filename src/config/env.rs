//! The environment variables of this program; the only module that reads the environment.
//!
//! `table` lists the variables; `layers` says where each value was set. Before parsing, `normalize` removes quotes and
//! replaces `___` by blanks, for clouds that cannot pass these characters, and copies values to newer names. An empty
//! value counts as unset. A bad value is reported and the default is used: a bad value never stops the boot. Other
//! variables are passed on unchanged.

mod encoder;
mod files;
mod flags;
mod layers;
mod names;
pub(crate) mod normalize;
mod raw;
mod rows;
mod size;
mod startup;
mod table;
mod user;
mod value;
mod value_types;
pub mod weak;
mod web_types;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::problem::Problem;
use super::secret::Secret;
pub use encoder::Encoder;
pub use files::{Files, note};
pub use layers::Origin;
use layers::{Hooks, Layers, Merged};
use names::is_word;
pub use names::{
    OF_BASH, OF_SHELL, OF_UNIT, OF_USER, is_one_of, is_own_secret, is_unchosen, looks_secret,
    nearest_variable, row,
};
pub use raw::Raw;
pub use rows::{Overridden, Row};
pub use size::Size;
pub use startup::NEXT_START;
pub use table::{Flag, TABLE, Variable, Variables};
pub use user::{UserName, WebUser};
pub use value::{
    CookieName, DisplayChoice, DisplayName, HostPort, Networks, PASSWORD_LIMIT, Password, PasswordHash, Port,
    Ports, RelayPort, Workspace,
};
use value::{FromVariable, RELAY_PORTS, named_port};
pub use value_types::{Count, Latency, Mounted, Switch, Transport, TurnHost, TurnProtocol, Within};
pub use web_types::{Host, LocalhostPorts, Origins, Tokens, WebAddress};

/// Names of the gateway that other images use, in lists of services that do not start.
const GATEWAY_NAMES: [&str; 3] = ["caddy", "gateway", "serviceportal"];

/// The environment, normalized and parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The variables of the table.
    pub vars: Variables,
    /// All variables, as units, shells and scripts get them.
    pub raw: Raw,
    /// `raw` without the changes of hooks and without edits, if hooks changed anything.
    early: Option<Raw>,
    /// `raw` without the users' edits of the system's file, if there are any.
    unedited: Option<Raw>,
    layers: Layers,
    /// The defaults that depend on the cloud provider.
    provider: Raw,
}

impl Variables {
    /// The names in `USER_GROUPS`.
    pub fn user_groups(&self) -> impl Iterator<Item = String> {
        self.user_groups.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
    }
}

impl Environment {
    /// This process's environment, overridden by the `NAME=value` arguments of `init`.
    pub fn of_process(arguments: &[OsString], problems: &mut Vec<Problem>) -> Self {
        Self::new(std::env::vars_os(), arguments, problems)
    }

    /// Any environment.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        arguments: &[OsString],
        problems: &mut Vec<Problem>,
    ) -> Self {
        Self::of(Layers::new(variables, arguments), problems)
    }

    fn of(layers: Layers, problems: &mut Vec<Problem>) -> Self {
        problems.extend(layers.problems().cloned());
        let merged = layers.merged();
        let vars = Variables::read(&merged.raw, &|name| merged.place(name), problems);
        problems.extend(super::provider::wrong_ports(&merged.raw, &|name| merged.place(name)));
        let unedited = layers.without_edits();
        let early = layers.hooks.is_some().then(|| {
            let early = layers.without_hooks();
            early.without_edits().unwrap_or(early).merged().completed()
        });
        let unedited = unedited.map(|layers| layers.merged().completed());
        Self {
            vars,
            provider: merged.provider.clone(),
            raw: Merged::completed(merged),
            early,
            unedited,
            layers,
        }
    }

    /// This environment with the start-up variables from the system's file. Call this before the gateway is opened.
    pub fn opened(&self, files: &Files) -> (Self, Vec<Problem>) {
        let mut layers = self.layers.clone();
        startup::read(&mut layers, files);
        let mut problems = Vec::new();
        (Self::of(layers, &mut problems), problems)
    }

    /// This environment with the files read again, and all problems. `usual` is the further environment of every unit,
    /// hooks included.
    pub fn reread(&self, files: &Files, usual: &BTreeMap<String, String>) -> (Self, Vec<Problem>) {
        let mut layers = self.layers.clone();
        if layers.startup.is_none() {
            startup::read(&mut layers, files);
        }
        let mut found = files::system(files, &layers.at_start().merged().completed());
        layers.hooks = None;
        layers.files.clone_from(&found.layers);
        // Any of the other files may set the workspace's folder.
        let raw = layers.merged().raw;
        let folder = layers::workspace(&raw);
        files::workspace(folder.folder(), super::provider::is_vast(&raw), &mut found);
        (layers.files, layers.told) = (found.layers, found.told);
        layers.hooks = match (found.hooks, &self.layers.hooks) {
            // The changes of hooks were computed against the environment that the hooks were given, which may differ by
            // now.
            (Some(after), Some(known)) if known.after == after => Some(known.clone()),
            (Some(after), _) => {
                let before = Self::of(layers.clone(), &mut Vec::new());
                let usual = usual.iter().map(|(name, text)| (name.clone(), before.filled_in(text))).collect();
                let layer = files::left_by_hooks(&before.raw, &after, &usual);
                Some(Hooks { after, layer })
            }
            (None, _) => None,
        };
        startup::reject_late(&mut layers, &found.noted);
        let mut problems = Vec::new();
        (Self::of(layers, &mut problems), problems)
    }

    /// All problems of the environment.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        Self::of(self.layers.clone(), &mut problems);
        problems
    }

    /// The variables for units that run before the hooks: changes by hooks must not restart these units.
    pub fn before_hooks(&self) -> &Raw {
        self.early.as_ref().unwrap_or(self.without_edits())
    }

    /// The variables for units, without edits. Edits are read again at each start of a unit. If edits were written into
    /// the system's file with the daemon's own values, the daemon would take them for its own the next time.
    pub fn without_edits(&self) -> &Raw {
        self.unedited.as_ref().unwrap_or(&self.raw)
    }

    /// The environment of this process, unchanged: for a process whose environment the daemon made.
    pub fn inherited() -> Raw {
        std::env::vars_os().collect()
    }

    /// A text in which each `${NAME}` is replaced by the variable's value.
    fn filled_in(&self, text: &str) -> String {
        TABLE.iter().filter(|variable| !variable.secret).fold(text.to_owned(), |text, variable| {
            let name = format!("${{{}}}", variable.names[0]);
            if text.contains(&name) { text.replace(&name, &self.shown(variable)) } else { text }
        })
    }

    /// The text of any variable. For the few that are not in the table, such as `PATH`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw.get(OsStr::new(name))?.to_str().filter(|text| !text.is_empty())
    }

    /// The value of a variable of the table, as a text for templates: the normalized value, or the default.
    pub fn shown(&self, variable: &Variable) -> String {
        self.given(variable).unwrap_or_else(|| variable.default.to_owned())
    }

    /// Whether a variable of the table is set, under any of its names, to a valid value.
    pub fn is_given(&self, name: &str) -> bool {
        row(name).is_some_and(|variable| self.given(variable).is_some())
    }

    fn given(&self, variable: &Variable) -> Option<String> {
        let set = variable.names.iter().find_map(|name| normalize::given(&self.raw, name))?;
        (variable.value)(set.to_str()?.to_owned(), &self.raw).filter(|text| !text.is_empty())
    }

    /// Why the relay's port is unknown, if `COTURN_PORT_HOST` is a provider's name for a port.
    pub fn lost_relay_port(&self) -> Option<String> {
        let name = self.text("COTURN_PORT_HOST")?;
        named_port(name.to_owned(), &RELAY_PORTS, &self.raw).err()
    }

    /// Whether any variable, in the table or not, is set and not to `false`.
    pub fn is_on(&self, name: &str) -> bool {
        let text = row(name)
            .map_or_else(|| self.text(name).unwrap_or_default().to_owned(), |variable| self.shown(variable));
        !text.is_empty() && bool::parse(&text) != Ok(false)
    }

    /// The services that must not start by themselves, by the names that users gave.
    pub fn no_autostart(&self) -> impl Iterator<Item = &str> {
        self.vars.supervisor_no_autostart.split(',').map(str::trim).filter(|name| !name.is_empty())
    }

    /// Whether the gateway opens no port, so that no client can connect from outside.
    pub fn opens_no_port(&self) -> bool {
        let listed =
            || self.no_autostart().any(|name| GATEWAY_NAMES.iter().any(|own| own.eq_ignore_ascii_case(name)));
        // If the user has set a list, the list alone decides.
        listed() || (self.vars.serverless && self.no_autostart().next().is_none())
    }

    /// Sets a variable to a value that the daemon made, unless the variable is set.
    pub fn make(&mut self, name: &str, value: &Secret) {
        let mut layers = self.layers.clone();
        layers.made.insert(name.into(), value.reveal().into());
        *self = Self::of(layers, &mut Vec::new());
    }

    /// The values that must not be shown.
    pub fn secrets(&self) -> Vec<String> {
        let all = self.layers.stack().flat_map(|layer| &layer.set).chain(&self.raw);
        let value = |(name, value): (&OsString, &OsString)| {
            looks_secret(name.to_str()?).then(|| value.to_string_lossy().into_owned())
        };
        let mut values: Vec<String> = all.filter_map(value).filter(|value| !is_word(value)).collect();
        values.sort();
        values.dedup();
        values
    }
}

/// The folder with our configuration: from the option, from the variable, or the default.
pub fn config_dir(option: Option<PathBuf>, environment: &Environment) -> PathBuf {
    option
        .or_else(|| environment.vars.desktopd_config.as_ref().map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/etc/desktopd"))
}

/// The working directory in which this process was started; `None` for `/`, where containers start by default.
pub fn working_folder() -> Option<PathBuf> {
    std::env::current_dir().ok().filter(|folder| folder.parent().is_some())
}

#[cfg(test)]
mod tests;
