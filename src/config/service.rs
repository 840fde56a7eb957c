//! The schema of `services/NAME.toml` with its defaults: a service is defined by data alone. Unknown keys are mistakes.

mod command;
mod health;
mod policies;
mod probe;
mod ready;
mod relations;
mod resources;
pub mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::condition::{self, Condition};
use super::file;
use super::own;
use super::problem::Problem;
use super::route::{self, RouteSpec};
use super::table::Reader;
use crate::sys::launch::{Listener, NewFile, Resources};

pub use health::{Action, Health};
pub use policies::{Restart, RestartPolicy, StopPolicy};
use probe::PROGRAM;
pub use probe::Probe;
pub use ready::Ready;
pub use relations::Relations;
pub use step::StepSpec;

/// What a unit runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// A program and its arguments; no shell. Templates.
    Command(Vec<String>),
    /// A program and its arguments, used literally: no templates.
    Literal(Vec<String>),
    /// One of this program's own boot steps. Templates.
    Step(StepSpec),
}

/// The user that runs the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// Root; where the daemon is not root the unit is skipped.
    Root,
    /// The daemon's own user.
    Own,
    /// The desktop's user.
    Desktop,
}

/// One service, as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The file's name without its ending.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// A short description.
    pub description: String,
    /// Other names by which commands find it.
    pub aliases: Vec<String>,
    /// What it runs.
    pub run: Run,
    /// Whether it ends by itself when its work is done.
    pub oneshot: bool,
    /// The user that runs it.
    pub user: RunAs,
    /// Whether it gets the desktop's environment (display, buses, sound).
    pub desktop: bool,
    /// Whether its programs draw through VirtualGL, where the display is VirtualGL's.
    pub virtualgl: bool,
    /// Programs that replace it: if all of them are installed, it is skipped.
    pub unless_installed: Vec<String>,
    /// Conditions that must hold for it to run here.
    pub conditions: Vec<Condition>,
    /// Names by which other services may need it. Of several services that provide the same name, the first one that
    /// may run does.
    pub provides: Vec<String>,
    /// The function of the plan that edits its unit.
    pub hook: Option<String>,
    /// Its relations to other services.
    pub relations: Relations,
    /// Whether desktopd stops everything when it has ended.
    pub main: bool,
    /// The sign that it is ready.
    pub ready: Ready,
    /// How it is checked while it is ready.
    pub health: Option<Health>,
    /// How long getting ready may take; `None` is for ever.
    pub start_timeout: Option<Duration>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How it is stopped.
    pub stop: StopPolicy,
    /// Whether all processes that it starts end with it, also those that left its session or process group.
    pub contain: bool,
    /// Its own environment; templates.
    pub environment: BTreeMap<String, String>,
    /// Our own secrets that it gets, by variable name.
    pub secrets: Vec<String>,
    /// Folders that are created before it starts, for its user alone; templates.
    pub folders: Vec<String>,
    /// Whether it has a folder of its own for temporary files, emptied before it starts.
    pub private_tmp: bool,
    /// Files that are written before it starts.
    pub files: Vec<NewFile>,
    /// Sockets that it gets at its start; units that need it may start as soon as the sockets exist.
    pub listen: Vec<Listener>,
    /// Its working directory; a template. The user's home by default.
    pub directory: Option<String>,
    /// Its priority and limits.
    pub resources: Resources,
    /// Groups beside those of its user, by name or number.
    pub groups: Vec<String>,
    /// Whether it starts without a request.
    pub autostart: bool,
    /// Whether it starts without a request if there is no desktop (`SERVERLESS`).
    pub serverless: bool,
    /// Whether its lines are copied to the container's output, unless `LOG_TO_STDOUT` says otherwise.
    pub log_to_stdout: bool,
    /// Its port in the gateway.
    pub route: Option<RouteSpec>,
}

const TEXT: &str = "a text";

/// All keys have their defaults, and the command is empty.
impl Default for Service {
    fn default() -> Self {
        Self::read("", Path::new(""), "", &mut Vec::new())
    }
}

impl Service {
    /// Reads one file. `None` if the service cannot run; `problems` say why.
    pub fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let name = path.file_stem()?.to_str()?.to_owned();
        let mut found = Vec::new();
        let service = Self::read(&name, path, text, &mut found);
        if let Some(why) = own::taken(&name) {
            let message = format!("{why}; give the file another name");
            found.push(Problem::new(path.display().to_string(), "", message));
        }
        let sound = found.is_empty();
        problems.extend(found.into_iter().map(|problem| problem.of_unit(&name)));
        sound.then_some(service)
    }

    /// Whether the name means this service: its own name, another name, or one that it provides.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().chain(&self.provides).any(|other| other == name)
    }

    /// The name of the boot step that it runs, if it runs one.
    pub fn step(&self) -> Option<&str> {
        match &self.run {
            Run::Step(step) => Some(&step.name),
            Run::Command(_) | Run::Literal(_) => None,
        }
    }

    /// The programs that its file names: it runs them itself, or their presence decides whether it runs.
    pub fn programs(&self) -> impl Iterator<Item = &String> {
        let command = match &self.run {
            Run::Command(argv) | Run::Literal(argv) => Some(argv),
            Run::Step(_) => None,
        };
        let ready = match &self.ready {
            Ready::Probe(Probe::Exec(argv)) => Some(argv),
            _ => None,
        };
        let health = match &self.health {
            Some(Health { probe: Probe::Exec(argv), .. }) => Some(argv),
            _ => None,
        };
        let commands = [command, self.stop.command.as_ref(), ready, health].into_iter().flatten();
        commands.filter_map(|argv| argv.first()).chain(&self.unless_installed)
    }

    /// Reads the keys. A key that is missing or wrong has its default.
    fn read(name: &str, path: &Path, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut file = Reader::new(path, text, problems);
        let run = run(&mut file);
        let step = matches!(run, Run::Step(_));
        let users = [("root", RunAs::Root), ("own", RunAs::Own), ("desktop", RunAs::Desktop)];
        let (main, desktop) = (file.flag("main", false), file.flag("desktop", false));
        let usual = match (main, step) {
            // Everything stops when the main service ends: a restart would hide its exit code.
            (true, _) => Restart::Never,
            (false, true) => Restart::OnFailure,
            (false, false) => Restart::Always,
        };
        let service = Self {
            name: name.to_owned(),
            file: path.to_owned(),
            description: file.get("description", TEXT).unwrap_or_default(),
            aliases: file.texts("aliases"),
            run,
            oneshot: file.word("type", &[("service", false), ("oneshot", true)]).unwrap_or(step),
            user: file.word("user", &users).unwrap_or(if step { RunAs::Own } else { RunAs::Desktop }),
            desktop,
            // A step is part of desktopd, which draws nothing.
            virtualgl: file.flag("virtualgl", desktop && !step),
            unless_installed: file.texts("unless-installed"),
            conditions: file.tables("condition", condition::read),
            provides: file.texts("provides"),
            hook: file.get("hook", "the name of a hook of the plan, as a text"),
            relations: Relations::read(&mut file),
            main,
            ready: file.table("ready", ready::read).flatten().unwrap_or_default(),
            health: file.table("health", health::read).flatten(),
            start_timeout: start_timeout(&mut file),
            restart: policies::restart(&mut file, usual),
            stop: policies::stop(&mut file),
            contain: file.flag("contain", false),
            environment: file.get("environment", "a table of NAME = \"value\"").unwrap_or_default(),
            secrets: file.texts("secrets"),
            folders: file.texts("folders"),
            private_tmp: file.flag("private-tmp", false),
            files: file.tables("file", file::file),
            listen: file.tables("listen", file::listen),
            directory: file.get("directory", TEXT),
            resources: resources::read(&mut file),
            groups: file.texts("groups"),
            autostart: file.flag("autostart", true),
            serverless: file.flag("serverless", false),
            log_to_stdout: file.flag("log-to-stdout", true),
            route: file.table("route", |table| route::read(table, name)).flatten(),
        };
        if step && service.virtualgl {
            file.problem("virtualgl", "a step draws nothing; this key is for services with a `command`");
        }
        if service.oneshot && service.health.is_some() {
            file.problem("health", "a oneshot ends when its work is done; there is nothing to check then");
        }
        file.finish();
        service
    }
}

fn run(file: &mut Reader<'_>) -> Run {
    let command: Option<Vec<String>> = file.get("command", PROGRAM);
    let step = StepSpec::read(file);
    match (command, step) {
        (Some(argv), None) if !argv.is_empty() => return Run::Command(argv),
        (None, Some(step)) => return Run::Step(step),
        (Some(_), Some(_)) => file.problem("step", "a service has either `command` or `step`, not both"),
        (Some(_), None) => file.problem("command", "it is empty; the first text is the program"),
        // A file that is not TOML has no keys at all: the message about that is enough.
        (None, None) if file.count() > 0 => {}
        (None, None) => {
            file.problem("command", "it is missing: a list with the program and its arguments");
        }
    }
    Run::Command(Vec::new())
}

fn start_timeout(file: &mut Reader<'_>) -> Option<Duration> {
    let expected = "a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\", or \"none\"";
    let parse = |text: &str| match text {
        "none" => Some(None),
        text => super::quantity::wait(text).map(Some),
    };
    file.parse("start-timeout", expected, parse).unwrap_or(Some(Duration::from_secs(60)))
}
