//! The environment variables of this program; the only module that reads the environment.
//!
//! `table` lists the variables; `sources` says where each value was set. Before parsing, `normalize` removes quotes and
//! replaces `___` by blanks, for clouds that cannot pass these characters, and copies values to newer names. An empty
//! value counts as unset. A bad value is reported and the default is used: a bad value never stops the boot. Other
//! variables are passed on unchanged.

mod encoder;
mod files;
mod names;
pub(crate) mod normalize;
mod rows;
mod sources;
mod table;
mod value;
mod value_types;
pub mod weak;
mod web_types;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::problem::Problem;
use super::secret::Secret;
pub use crate::sys::env_file::Raw;
pub use encoder::{Encoder, Maker};
pub use files::{Files, note};
pub use names::{
    OF_BASH, OF_SHELL, OF_UNIT, OF_USER, is_one_of, is_own_secret, is_unchosen, looks_secret,
    nearest_variable, row,
};
use normalize::{complete, workspace};
pub use rows::{Overridden, Row};
use sources::{Hooks, Sources};
pub use sources::{NEXT_START, Origin};
use table::given;
pub use table::{Flag, TABLE, Variable, Variables};
pub use value::{
    CookieName, DisplayName, HostPort, Networks, PASSWORD_LIMIT, Password, PasswordHash, Port, Ports,
    RelayPort, Workspace,
};
use value::{FromVariable, RELAY_PORTS, list, named_port};
pub use value_types::{
    Count, DisplayChoice, Latency, Mounted, Size, Switch, TerminalUser, Transport, TurnHost, TurnProtocol,
    UserName, WebUser, Within,
};
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
    /// The defaults that depend on the cloud provider.
    provider: Raw,
    problems: Vec<Problem>,
    sources: Sources,
}

impl Variables {
    /// The names in `USER_GROUPS`.
    pub fn user_groups(&self) -> impl Iterator<Item = String> {
        list(&self.user_groups).map(str::to_owned)
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
        let env = Self::resolve(Sources::new(variables, arguments));
        problems.extend(env.problems());
        env
    }

    /// Merges and parses what the sources set. Done once when the process starts and once whenever files were read.
    fn resolve(sources: Sources) -> Self {
        let (raw, provider) = sources.merged();
        let place = |name: &str| match given(&provider, name) {
            Some(_) => Origin::Provider.to_string(),
            None => sources.place(name).to_string(),
        };
        let mut problems: Vec<Problem> = sources.stack().flat_map(|layer| &layer.problems).cloned().collect();
        let vars = Variables::read(&raw, &place, &mut problems);
        problems.extend(super::provider::wrong_ports(&raw, &place));
        let edited = sources.stack().any(|layer| layer.edits && !layer.set.is_empty());
        let unedited = edited.then(|| sources.passed_on(|layer| !layer.edits));
        let early = sources.hooks.is_some();
        let early = early.then(|| sources.passed_on(|layer| !layer.edits && layer.origin != Origin::Hook));
        Self { vars, raw: complete(raw), early, unedited, provider, problems, sources }
    }

    /// This environment with the start-up variables from the system's file. Call this before the gateway is opened.
    #[must_use]
    pub fn opened(&self, files: &Files) -> Self {
        let startup = files::startup(files);
        let nothing = startup.set.is_empty() && startup.problems.is_empty();
        let mut sources = self.sources.clone();
        sources.startup = Some(startup);
        if nothing { Self { sources, ..self.clone() } } else { Self::resolve(sources) }
    }

    /// This environment with the files read again. `usual` is the further environment of every unit, hooks included.
    #[must_use]
    pub fn reread(&self, files: &Files, usual: &BTreeMap<String, String>) -> Self {
        let mut sources = self.sources.clone();
        sources.startup.get_or_insert_with(|| files::startup(files));
        let (system, baseline, after) = files::system(files, || sources.at_start());
        let known = sources.hooks.take();
        sources.files = vec![system];
        // Any of the other files may set the workspace's folder.
        let (raw, _) = sources.merged();
        let dotenv = files::workspace(workspace(&raw).folder(), super::provider::is_vast(&raw));
        sources.files.push(dotenv);
        sources.hooks = after.map(|after| match known {
            // The changes of hooks were computed against the environment that the hooks were given, which may differ by
            // now.
            Some(known) if known.after == after => known,
            _ => {
                let before = sources.passed_on(|_| true);
                let usual = usual.iter().map(|(name, text)| (name.into(), filled_in(text, &before).into()));
                let layer = files::left_by_hooks(&before, &after, &usual.collect());
                Hooks { after, layer }
            }
        });
        sources.reject_late(&baseline.noted.unwrap_or_default());
        Self::resolve(sources)
    }

    /// All problems of the environment.
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
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

    /// The text of any variable. For the few that are not in the table, such as `PATH`.
    pub fn text(&self, name: &str) -> Option<&str> {
        given(&self.raw, name)?.to_str()
    }

    /// Whether a variable of the table is set, under any of its names, to a valid value.
    pub fn is_given(&self, name: &str) -> bool {
        row(name).is_some_and(|variable| variable.given(&self.raw).is_some())
    }

    /// Why the relay's port is unknown, if `COTURN_PORT_HOST` is a provider's name for a port.
    pub fn lost_relay_port(&self) -> Option<String> {
        let name = self.text("COTURN_PORT_HOST")?;
        named_port(name.to_owned(), &RELAY_PORTS, &self.raw).err()
    }

    /// Whether any variable, in the table or not, is set and not to `false`.
    pub fn is_on(&self, name: &str) -> bool {
        let text = row(name).map_or_else(
            || self.text(name).unwrap_or_default().to_owned(),
            |variable| variable.shown(&self.raw),
        );
        !text.is_empty() && bool::parse(&text) != Ok(false)
    }

    /// The services that must not start by themselves, by the names that users gave.
    pub fn no_autostart(&self) -> impl Iterator<Item = &str> {
        list(&self.vars.supervisor_no_autostart)
    }

    /// Whether the gateway opens no port, so that no client can connect from outside.
    pub fn opens_no_port(&self) -> bool {
        let listed =
            || self.no_autostart().any(|name| GATEWAY_NAMES.iter().any(|own| own.eq_ignore_ascii_case(name)));
        // If the user has set a list, the list alone decides.
        listed() || (self.vars.serverless && self.no_autostart().next().is_none())
    }

    /// Sets a variable to a value that the daemon made, unless the variable is set. `vars` has the value only after the
    /// files were read the next time.
    pub fn make(&mut self, name: &str, value: &Secret) {
        self.sources.make(&mut self.raw, name, value.reveal());
    }

    /// The values that must not be shown.
    pub fn secrets(&self) -> Vec<String> {
        let all = self.sources.stack().flat_map(|layer| &layer.set).chain(&self.raw);
        let value = |(name, value): (&OsString, &OsString)| {
            looks_secret(name.to_str()?).then(|| value.to_string_lossy().into_owned())
        };
        // Masking a common word would make logs unreadable.
        let word = |value: &String| ["true", "false", "none", "user", "password"].contains(&value.as_str());
        let mut values: Vec<String> = all.filter_map(value).filter(|value| !word(value)).collect();
        values.sort();
        values.dedup();
        values
    }
}

/// A text in which each `${NAME}` is replaced by the variable's value.
fn filled_in(text: &str, raw: &Raw) -> String {
    TABLE.iter().filter(|variable| !variable.secret).fold(text.to_owned(), |text, variable| {
        let name = format!("${{{}}}", variable.names[0]);
        if text.contains(&name) { text.replace(&name, &variable.shown(raw)) } else { text }
    })
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
