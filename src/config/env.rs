//! Every environment variable that this program reads, and the only reader of the environment.
//!
//! The `table` says what there is; `layers` say who set it; a clean-up before parsing (`clean`) lets clouds that
//! cannot pass quotes or blanks take part, and gives everything its newer name. An empty value counts as unset. A bad
//! value is reported and its default taken: it never stops the boot. What is not ours is passed on as it came.

pub(crate) mod clean;
mod door;
mod encoder;
mod files;
mod flags;
mod layers;
mod names;
mod rows;
mod size;
mod table;
mod unchosen;
mod user;
mod value;
pub mod weak;
mod web;
mod words;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::problem::Problem;
use super::secret::Secret;
pub use door::NEXT_START;
pub use encoder::Encoder;
pub use files::{Files, note};
pub use layers::Origin;
use layers::{Hooks, Layers, Merged};
use names::is_word;
pub use names::{is_own_secret, looks_secret, nearest_variable, row};
pub use rows::{Overridden, Row};
pub use size::Size;
pub use table::{TABLE, Variable, Variables};
pub use unchosen::is_unchosen;
pub use user::{UserName, WebUser};
pub use value::{
    CookieName, DisplayChoice, DisplayName, HostPort, Networks, PASSWORD_LIMIT, Password, PasswordHash, Port,
    Ports, RelayPort, Workspace,
};
use value::{FromVariable, RELAY_PORTS, named_port};
pub use web::{Host, LocalhostPorts, Origins, Tokens, WebAddress};
pub use words::{Count, Latency, Mounted, Switch, Transport, TurnHost, TurnProtocol, Within};

/// Everything that was set, by name.
pub type Raw = BTreeMap<OsString, OsString>;

/// What the front door is called elsewhere, in lists of services that do not start.
const DOOR: [&str; 3] = ["caddy", "gateway", "serviceportal"];

/// The environment as it was meant, and parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The variables of the table.
    pub vars: Variables,
    /// Everything: what units, shells and scripts get passed on.
    pub raw: Raw,
    /// The same without what hooks left, if they left anything, and without edits.
    early: Option<Raw>,
    /// The same without what people changed in the system's file, if they changed anything.
    unedited: Option<Raw>,
    layers: Layers,
    /// What is as it is because of whose machine this is.
    provider: Raw,
}

impl Variables {
    /// The names in `USER_GROUPS`.
    pub fn user_groups(&self) -> impl Iterator<Item = String> {
        self.user_groups.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
    }
}

impl Environment {
    /// This process's environment, with the `NAME=value` arguments of `init` laid over it.
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

    /// The same with what the system's file says of the front door, which is about to be opened.
    pub fn opened(&self, files: &Files) -> (Self, Vec<Problem>) {
        let mut layers = self.layers.clone();
        door::open(&mut layers, files);
        let mut problems = Vec::new();
        (Self::of(layers, &mut problems), problems)
    }

    /// The same with the files read again, and all that is wrong with any of it. `usual` is the environment that every
    /// unit is given besides, hooks included.
    pub fn reread(&self, files: &Files, usual: &BTreeMap<String, String>) -> (Self, Vec<Problem>) {
        let mut layers = self.layers.clone();
        if layers.door.is_none() {
            door::open(&mut layers, files);
        }
        let mut found = files::system(files, &layers.at_start().merged().completed());
        layers.hooks = None;
        layers.files.clone_from(&found.layers);
        // Which folder it is may be said in any of the others.
        let raw = layers.merged().raw;
        let folder = layers::workspace(&raw);
        files::workspace(folder.folder(), super::provider::is_vast(&raw), &mut found);
        (layers.files, layers.told) = (found.layers, found.told);
        layers.hooks = match (found.hooks, &self.layers.hooks) {
            // What they changed was told from what they were given, which may be something else by now.
            (Some(after), Some(known)) if known.after == after => Some(known.clone()),
            (Some(after), _) => {
                let before = Self::of(layers.clone(), &mut Vec::new());
                let usual = usual.iter().map(|(name, text)| (name.clone(), before.filled_in(text))).collect();
                let layer = files::left_by_hooks(&before.raw, &after, &usual);
                Some(Hooks { after, layer })
            }
            (None, _) => None,
        };
        door::leave_alone(&mut layers, &found.noted);
        let mut problems = Vec::new();
        (Self::of(layers, &mut problems), problems)
    }

    /// What is wrong with it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        Self::of(self.layers.clone(), &mut problems);
        problems
    }

    /// What units get passed on that come before the hooks: what these leave must not start them anew.
    pub fn before_hooks(&self) -> &Raw {
        self.early.as_ref().unwrap_or(self.without_edits())
    }

    /// What units get passed on. Edits are read anew at each start, and who writes the system's file, and remembers what
    /// it wrote, would take them for its own the next time.
    pub fn without_edits(&self) -> &Raw {
        self.unedited.as_ref().unwrap_or(&self.raw)
    }

    /// This process's environment as it is, where the daemon made it.
    pub fn inherited() -> Raw {
        std::env::vars_os().collect()
    }

    /// A text with the variables that it names as `${NAME}`.
    fn filled_in(&self, text: &str) -> String {
        TABLE.iter().filter(|variable| !variable.secret).fold(text.to_owned(), |text, variable| {
            let name = format!("${{{}}}", variable.names[0]);
            if text.contains(&name) { text.replace(&name, &self.shown(variable)) } else { text }
        })
    }

    /// The text of one variable, by any name. For the few that are not ours, such as `PATH`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw.get(OsStr::new(name))?.to_str().filter(|text| !text.is_empty())
    }

    /// What a variable of the table is set to, as a text for templates: its cleaned value, or its default.
    pub fn shown(&self, variable: &Variable) -> String {
        self.given(variable).unwrap_or_else(|| variable.default.to_owned())
    }

    /// Whether a variable of the table is set, under any of its names, to something that it can be.
    pub fn is_given(&self, name: &str) -> bool {
        row(name).is_some_and(|variable| self.given(variable).is_some())
    }

    fn given(&self, variable: &Variable) -> Option<String> {
        let set = variable.names.iter().find_map(|name| clean::given(&self.raw, name))?;
        (variable.value)(set.to_str()?.to_owned(), &self.raw).filter(|text| !text.is_empty())
    }

    /// Why the port that a relay should have is not known, where a provider's name stands for it.
    pub fn lost_relay_port(&self) -> Option<String> {
        let name = self.text("COTURN_PORT_HOST")?;
        named_port(name.to_owned(), &RELAY_PORTS, &self.raw).err()
    }

    /// Whether a variable, ours or any other, is set and not to `false`.
    pub fn is_on(&self, name: &str) -> bool {
        let text = row(name)
            .map_or_else(|| self.text(name).unwrap_or_default().to_owned(), |variable| self.shown(variable));
        !text.is_empty() && bool::parse(&text) != Ok(false)
    }

    /// The services that are not to start by themselves, by whatever names people have for them.
    pub fn no_autostart(&self) -> impl Iterator<Item = &str> {
        self.vars.supervisor_no_autostart.split(',').map(str::trim).filter(|name| !name.is_empty())
    }

    /// Whether nobody is to come in from outside: no port of the front door is opened.
    pub fn opens_no_port(&self) -> bool {
        let listed = || self.no_autostart().any(|name| DOOR.iter().any(|own| own.eq_ignore_ascii_case(name)));
        // A list that somebody made says all that there is to say.
        listed() || (self.vars.serverless && self.no_autostart().next().is_none())
    }

    /// Gives a variable the value that was made for it, unless somebody sets it.
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

    /// Every variable of the table with where it comes from, fit to be shown.
    pub fn rows(&self) -> Vec<Row> {
        TABLE.iter().map(|variable| rows::row(self, variable)).collect()
    }
}

/// The folder with our configuration: asked for by option, by variable, or the usual one.
pub fn config_dir(option: Option<PathBuf>, environment: &Environment) -> PathBuf {
    option
        .or_else(|| environment.vars.desktopd_config.as_ref().map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/etc/desktopd"))
}

/// The folder that this process was started in, unless that says nothing: the root, where containers start.
pub fn working_folder() -> Option<PathBuf> {
    std::env::current_dir().ok().filter(|folder| folder.parent().is_some())
}

#[cfg(test)]
mod tests;
