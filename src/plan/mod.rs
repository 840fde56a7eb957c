//! Config and facts to what will run: pure, deterministic, and complete, so that nothing is left to choose later.
//!
//! A unit that cannot run is still in the plan, with the reason; whatever needs it says so in turn. The same input
//! gives the same plan, so a plan can be made for a machine that is not here.

mod account;
mod asked;
mod checks;
mod compose;
pub mod display;
mod expander;
pub mod graph;
mod hooks;
pub mod links;
pub mod portal;
mod relations;
pub mod routes;
mod shells;
pub mod show;
pub mod template;
mod together;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::service::{Health, Ready, Restart};
use crate::config::{Config, Problem, Secret};
use crate::facts::{Account, Facts};
use crate::sys::launch::{EnvFiles, FIRST_FD, Identity, Listener};
use crate::sys::limits::Limit;

pub use checks::display_number;
pub use display::Decision;
pub use links::Links;
pub use portal::{Link, Portal};
pub use routes::{Bridge, Route, Upstream};

/// How many processes and threads a desktop has that nobody uses yet.
const DESKTOP_TASKS: u64 = 140;

/// The descriptor on which a unit with `ready.kind = "fd"` says that it is ready: the one behind its `listeners`.
pub fn ready_fd(listeners: usize) -> i32 {
    i32::try_from(listeners).map_or(i32::MAX, |listeners| FIRST_FD.saturating_add(listeners))
}

/// What a unit's process is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program's file and its arguments. Empty for units that do not run.
    pub argv: Vec<String>,
    /// The whole environment, but for what people keep in files.
    pub env: BTreeMap<OsString, OsString>,
    /// These files, for a unit that takes them up when it starts.
    pub env_files: Option<EnvFiles>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Whether it was asked for: without it the unit does not start. A home folder that is missing is done without.
    pub cwd_required: bool,
    /// The user to become; `None` stays the daemon's.
    pub identity: Option<Identity>,
    /// The file mode creation mask.
    pub umask: u32,
    /// The scheduling priority, if it should change.
    pub nice: Option<i32>,
    /// How gladly the kernel ends it when memory is short, if that should change.
    pub oom_score_adj: Option<i32>,
    /// What it may use, where that differs from what the daemon may.
    pub limits: Vec<Limit>,
    /// Supplementary groups beside those of its user.
    pub groups: Vec<u32>,
    /// Folders that are made before each start.
    pub folders: Vec<PathBuf>,
    /// The folder for its temporary files alone, emptied before each start.
    pub private_tmp: Option<PathBuf>,
    /// Files that are written before each start.
    pub files: Vec<File>,
    /// Sockets that it finds open at its start; whoever connects waits there until it answers.
    pub listen: Vec<Listener>,
}

/// A file that a unit reads at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Who may do what with it.
    pub mode: u32,
    /// What is in it; it may hold secrets.
    pub content: Secret,
}

/// Whether a unit may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may.
    Run,
    /// It does not apply here.
    Skip(String),
    /// Its file is wrong.
    Broken(String),
}

/// One unit, with every choice made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub description: String,
    /// Other names that it answers to.
    pub aliases: Vec<String>,
    /// Whether it may run.
    pub fate: Fate,
    /// Its process.
    pub launch: Launch,
    /// Whether it ends by itself when its work is done.
    pub oneshot: bool,
    /// Units that must be ready, or listening, before it starts, and that stop after it.
    pub needs: Vec<String>,
    /// Units that start before it, whatever becomes of them.
    pub after: Vec<String>,
    /// Units whose restart makes it restart.
    pub follows: Vec<String>,
    /// Contained units; what they started beside their own process ends with it.
    pub clears: Vec<String>,
    /// The unit that is restarted with it when somebody asks for its restart.
    pub restart_with: Option<String>,
    /// Whether everything ends when it has ended.
    pub main: bool,
    /// Whether it starts only when everything else that should be up is, or has failed for good.
    pub last: bool,
    /// How it says that it is ready.
    pub ready: Ready,
    /// How it is checked while it is ready.
    pub health: Option<Health>,
    /// How long getting ready may take.
    pub start_timeout: Option<Duration>,
    /// When it is started again.
    pub restart: Restart,
    /// How many failures are too many.
    pub restart_limit: Option<u32>,
    /// The first wait before it is started again.
    pub restart_delay: Duration,
    /// The longest wait before it is started again.
    pub restart_delay_max: Duration,
    /// Runs before the stop signal; the program's file and its arguments.
    pub stop_command: Option<Vec<String>>,
    /// The signal that ends it.
    pub stop_signal: String,
    /// How long it may take to end.
    pub stop_timeout: Duration,
    /// Whether everything that it starts ends with it.
    pub contain: bool,
    /// Whether it starts without being asked.
    pub autostart: bool,
}

/// What will run, and why.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All units, each after those that it comes after.
    pub units: Vec<Unit>,
    /// The ports of the front door.
    pub routes: Vec<Route>,
    /// The portal's own port.
    pub portal: Portal,
    /// What the portal leads to beside the ports of the front door.
    pub links: Vec<Link>,
    /// The display and its reasons.
    pub display: Decision,
    /// Whose desktop it is, or why nobody's.
    pub account: Result<Account, String>,
    /// What was wrong with the configuration, the files' own problems included.
    pub problems: Vec<Problem>,
    /// What the machine lacks, and no file can mend.
    pub shortcomings: Vec<String>,
    /// What is left out as it is in the image that people come from: nobody misses it.
    pub left_out: Vec<String>,
    /// The units whose lines are not copied to the container's output.
    pub quiet: BTreeSet<String>,
}

impl Plan {
    /// Makes the plan.
    pub fn build(config: &Config, facts: &Facts) -> Self {
        let display = display::decide(config.env.vars.desktopd_display, config.env.vars.display.0, facts);
        let mut problems = config.problems.clone();
        problems.extend(values::unknown_locale(config, facts));
        let mut who = account::decide(config, facts);
        problems.append(&mut who.problems);
        let facts = &settled(facts, &who);
        let composer = compose::Composer::new(config, facts, &display);
        let mut units: Vec<Unit> = Vec::new();
        let mut routes = Vec::new();
        for service in &config.services {
            let (mut unit, route) = composer.unit(service, &mut problems);
            hooks::apply(&mut unit, config, facts, &display, who.wanted.as_ref());
            shells::read_files(&mut unit, config, service);
            units.push(unit);
            routes.extend(route);
        }
        units.extend(compose::broken(config));
        relations::settle(&mut units, config, &mut problems);
        asked::check(&units, config, &mut problems);
        routes::name_shown(&mut routes, &units, config, &mut problems);
        if config.env.opens_no_port() {
            routes.clear();
        }
        let portal = Portal::of(config);
        let mut guests = portal::Guests::new(config, &mut problems);
        guests.rename(&mut routes, &portal);
        routes::check(&mut routes, &units, portal.port, guests.problems);
        let left_out = guests.leave_out();
        let links = guests.seat(&mut routes, &portal);
        routes::ask_for_localhost(&mut routes, &config.env.vars.header_up_localhost);
        let shortcomings = shortcomings(config, facts).into_iter().chain(who.shortcoming).collect();
        let quiet = config.services.iter().filter(|service| !service.log_to_stdout);
        let quiet = quiet.map(|service| service.name.clone()).collect();
        let account = who.account;
        Self { units, routes, portal, links, display, account, problems, shortcomings, left_out, quiet }
    }

    /// A unit by its name.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.name == name)
    }
}

/// Variables that ask for what this version does not have, and what there is instead.
const NOT_HERE: [(&str, &str); 4] = [
    (
        "CF_QUICK_TUNNELS",
        "this version opens no Cloudflare tunnels; ports are reached directly or by `ssh -L`",
    ),
    (
        "CF_TUNNEL_TOKEN",
        "this version opens no Cloudflare tunnels; a cloudflared of your own may lead to the ports",
    ),
    ("PORTAL_UNSTOPPABLE", "this version's portal can stop every service"),
    ("VNC_PASSWORD", "this version opens no port 5900; VNC is in the browser, with the login of all pages"),
];

/// The machine as it will be when the `user` step is done.
fn settled(facts: &Facts, who: &account::Decision) -> Facts {
    let home = |account: &Result<Account, String>| account.as_ref().ok().map(|account| account.home.clone());
    let mut settled = Facts { account: who.account.clone(), ..facts.clone() };
    if home(&settled.account) != home(&facts.account) {
        // That was said of another folder.
        settled.home_trouble = None;
    }
    settled
}

/// What people have to know of a machine on which not everything works.
fn shortcomings(config: &Config, facts: &Facts) -> Vec<String> {
    let manifest = config.env.is_on("PROVISIONING_MANIFEST").then(|| {
        "PROVISIONING_MANIFEST is not understood: nothing of it is done; PROVISIONING_SCRIPT names a script instead"
            .to_owned()
    });
    let asked = NOT_HERE.iter().filter(|(name, _)| config.env.is_on(name));
    let not_here = asked.map(|(name, instead)| format!("{name}: {instead}"));
    let unknown = facts
        .account
        .as_ref()
        .ok()
        .filter(|account| account.stand_in.as_ref().is_some_and(|stand_in| stand_in.library.is_none()));
    let unknown = unknown.map(|account| {
        format!(
            "user {} is not in /etc/passwd, and programs that ask who they are will not run: \
             libnss_wrapper, which would stand in for it, is not installed",
            account.identity.uid
        )
    });
    let few = facts.task_limit.filter(|limit| *limit < DESKTOP_TASKS);
    let few = few.map(|limit| {
        format!(
            "the container may have {limit} processes and threads at most, and a desktop has more than \
             {DESKTOP_TASKS}: docker update --pids-limit raises that"
        )
    });
    facts.home_trouble.iter().cloned().chain(unknown).chain(few).chain(manifest).chain(not_here).collect()
}

#[cfg(test)]
mod tests;
