//! The schema of `services/NAME.toml` with its defaults: a service is defined by data alone. Unknown keys are mistakes.

mod command;
mod health;
mod limits;
mod probe;
mod ready;
pub mod step;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::condition::{self, Condition};
use super::file::{self, FileSpec};
use super::listen::{self, ListenSpec};
use super::own;
use super::problem::Problem;
use super::route::{self, RouteSpec};
use super::table::Reader;
use crate::sys::limits::Limit;

pub use health::{Action, Health};
use probe::PROGRAM;
pub use probe::Probe;
pub use ready::Ready;
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

/// When the service is started again after it ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After any exit code.
    Always,
    /// When it failed.
    OnFailure,
    /// Never.
    Never,
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
    /// Programs that replace it: if all of them are installed, it is skipped.
    pub unless_installed: Vec<String>,
    /// Conditions that must hold for it to run here.
    pub conditions: Vec<Condition>,
    /// Units that must be ready, or listening, before it starts, and that stop after it.
    pub needs: Vec<String>,
    /// Units that start before it, whether they become ready or fail.
    pub after: Vec<String>,
    /// Units whose restart also restarts it.
    pub follows: Vec<String>,
    /// Contained units: the processes that they started beside their main process are ended when this one ends.
    pub clears: Vec<String>,
    /// The unit that is restarted with it when a user requests its restart.
    pub restart_with: Option<String>,
    /// Whether desktopd stops everything when it has ended.
    pub main: bool,
    /// The sign that it is ready.
    pub ready: Ready,
    /// How it is checked while it is ready.
    pub health: Option<Health>,
    /// How long getting ready may take; `None` is for ever.
    pub start_timeout: Option<Duration>,
    /// When it is started again.
    pub restart: Restart,
    /// The number of failures after which it is given up; `None` means never.
    pub restart_limit: Option<u32>,
    /// The first wait before it is started again; each further wait is twice as long.
    pub restart_delay: Duration,
    /// The longest of these waits, and how long it must stay ready before the waits begin with the first one again.
    pub restart_delay_max: Duration,
    /// A command that runs before the stop signal, to end it more gently. Templates.
    pub stop_command: Option<Vec<String>>,
    /// The signal that ends it.
    pub stop_signal: String,
    /// How long it may take to end.
    pub stop_timeout: Duration,
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
    pub files: Vec<FileSpec>,
    /// Sockets that it gets at its start; units that need it may start as soon as the sockets exist.
    pub listen: Vec<ListenSpec>,
    /// Its working directory; a template. The user's home by default.
    pub directory: Option<String>,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its scheduling priority.
    pub nice: Option<i32>,
    /// Its `oom_score_adj`, counted from that of desktopd.
    pub oom_score_adj: Option<i32>,
    /// Its resource limits.
    pub limits: Vec<Limit>,
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
const TEXTS: &str = "a list of texts";

impl Service {
    /// Reads one file. `None` if the service cannot run; `problems` say why.
    pub fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let name = path.file_stem()?.to_str()?.to_owned();
        let mut found = Vec::new();
        if let Some(why) = own::taken(&name) {
            let message = format!("{why}; give the file another name");
            found.push(Problem::new(path.display().to_string(), "", message));
        }
        let service = Self::read(&name, path, text, &mut found);
        let sound = found.is_empty();
        problems.extend(found.into_iter().map(|problem| problem.of_unit(&name)));
        service.filter(|_| sound)
    }

    fn read(name: &str, path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let before = problems.len();
        let mut file = Reader::new(path, text, problems);
        let command: Option<Vec<String>> = file.get("command", PROGRAM);
        let step = StepSpec::read(&mut file);
        let run = match (command, step) {
            (Some(argv), None) if !argv.is_empty() => Some(Run::Command(argv)),
            (None, Some(step)) => Some(Run::Step(step)),
            (Some(_), Some(_)) => {
                file.problem("step", "a service has either `command` or `step`, not both");
                None
            }
            (Some(_), None) => {
                file.problem("command", "it is empty; the first text is the program");
                None
            }
            (None, None) => {
                file.missing_command(before);
                None
            }
        };
        let oneshot = matches!(run, Some(Run::Step(_)));
        let (restart_delay, restart_delay_max) = restart_delays(&mut file);
        let main = file.get("main", "true or false").unwrap_or(false);
        let service = Self {
            name: name.to_owned(),
            file: path.to_owned(),
            description: file.get("description", TEXT).unwrap_or_default(),
            aliases: file.get("aliases", TEXTS).unwrap_or_default(),
            run: run.clone().unwrap_or(Run::Command(Vec::new())),
            oneshot: file.word("type", &[("service", false), ("oneshot", true)]).unwrap_or(oneshot),
            user: file
                .word("user", &[("root", RunAs::Root), ("own", RunAs::Own), ("desktop", RunAs::Desktop)])
                .unwrap_or(if oneshot { RunAs::Own } else { RunAs::Desktop }),
            desktop: file.get("desktop", "true or false").unwrap_or(false),
            unless_installed: file.get("unless-installed", TEXTS).unwrap_or_default(),
            conditions: file.tables("condition", condition::read),
            needs: file.get("needs", TEXTS).unwrap_or_default(),
            after: file.get("after", TEXTS).unwrap_or_default(),
            follows: file.get("follows", TEXTS).unwrap_or_default(),
            clears: file.get("clears", TEXTS).unwrap_or_default(),
            restart_with: file.get("restart-with", "the name of a service, as a text"),
            main,
            ready: file.table("ready", ready::read).flatten().unwrap_or(Ready::Started),
            health: file.table("health", health::read).flatten(),
            start_timeout: start_timeout(&mut file),
            restart: file
                .word(
                    "restart",
                    &[
                        ("always", Restart::Always),
                        ("on-failure", Restart::OnFailure),
                        ("never", Restart::Never),
                    ],
                )
                // Everything stops when the main service ends: a restart would hide its exit code.
                .unwrap_or(match (main, oneshot) {
                    (true, _) => Restart::Never,
                    (false, true) => Restart::OnFailure,
                    (false, false) => Restart::Always,
                }),
            restart_limit: restart_limit(&mut file),
            restart_delay,
            restart_delay_max,
            stop_command: file.get("stop-command", PROGRAM),
            stop_signal: file
                .parse("stop-signal", "the name of a signal such as \"TERM\"", |text| {
                    crate::sys::process::signal_by_name(text).map(|_| text.to_owned())
                })
                .unwrap_or_else(|| "TERM".to_owned()),
            stop_timeout: file.duration("stop-timeout").unwrap_or(Duration::from_secs(5)),
            contain: file.get("contain", "true or false").unwrap_or(false),
            environment: file.get("environment", "a table of NAME = \"value\"").unwrap_or_default(),
            secrets: file.get("secrets", TEXTS).unwrap_or_default(),
            folders: file.get("folders", TEXTS).unwrap_or_default(),
            private_tmp: file.get("private-tmp", "true or false").unwrap_or(false),
            files: file.tables("file", file::read),
            listen: file.tables("listen", listen::read),
            directory: file.get("directory", TEXT),
            umask: file
                .parse("umask", "an octal mask such as \"0022\"", |text| {
                    u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777)
                })
                .unwrap_or(0o002),
            nice: ranged(&mut file, "nice", -20..=19),
            oom_score_adj: ranged(&mut file, "oom-score-adj", -1000..=1000),
            limits: limits::read(&mut file),
            groups: file.get("groups", TEXTS).unwrap_or_default(),
            autostart: file.get("autostart", "true or false").unwrap_or(true),
            serverless: file.get("serverless", "true or false").unwrap_or(false),
            log_to_stdout: file.get("log-to-stdout", "true or false").unwrap_or(true),
            route: file.table("route", |table| route::read(table, name)).flatten(),
        };
        if service.oneshot && service.health.is_some() {
            file.problem("health", "a oneshot ends when its work is done; there is nothing to check then");
        }
        file.finish();
        run.map(|_| service)
    }
}

impl Reader<'_> {
    /// A file that is not TOML has no keys at all: the message about that is enough.
    fn missing_command(&mut self, before: usize) {
        if self.count() == before {
            self.problem("command", "it is missing: a list with the program and its arguments");
        }
    }
}

fn start_timeout(file: &mut Reader<'_>) -> Option<Duration> {
    let expected = "a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\", or \"none\"";
    let parse = |text: &str| match text {
        "none" => Some(None),
        text => super::quantity::wait(text).map(Some),
    };
    file.parse("start-timeout", expected, parse).unwrap_or(Some(Duration::from_secs(60)))
}

fn restart_limit(file: &mut Reader<'_>) -> Option<u32> {
    let expected = "a number of failures, at least 1, or \"none\"";
    match file.get::<toml::Value>("restart-limit", expected) {
        None => Some(5),
        Some(toml::Value::String(text)) if text == "none" => None,
        Some(toml::Value::Integer(limit)) if (1..=1000).contains(&limit) => u32::try_from(limit).ok(),
        Some(other) => {
            file.problem("restart-limit", format!("{other} is not {expected}"));
            None
        }
    }
}

/// The first and the longest wait between a failure and the next start.
fn restart_delays(file: &mut Reader<'_>) -> (Duration, Duration) {
    let mut read = |key| {
        let delay = file.duration(key);
        // Without a wait, restarts of a broken program would use the whole machine.
        if delay.is_some_and(|delay| delay < Duration::from_millis(1)) {
            file.problem(key, "it is at least \"1ms\"");
        }
        delay
    };
    let (first, longest) = (read("restart-delay"), read("restart-delay-max"));
    let delay = first.unwrap_or(Duration::from_millis(250));
    match longest {
        Some(longest) if longest < delay => {
            let message =
                format!("{longest:?} is shorter than the first wait, `restart-delay`, which is {delay:?}");
            file.problem("restart-delay-max", message);
            (delay, delay)
        }
        longest => (delay, longest.unwrap_or(Duration::from_secs(30)).max(delay)),
    }
}

fn ranged(file: &mut Reader<'_>, key: &'static str, range: RangeInclusive<i32>) -> Option<i32> {
    let expected = format!("a number from {} to {}", range.start(), range.end());
    let number = file.get(key, &expected)?;
    if range.contains(&number) {
        return Some(number);
    }
    file.problem(key, format!("{number} is not {expected}"));
    None
}
