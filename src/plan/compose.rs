//! Composes one unit from one service file: expands templates, finds the program, builds the environment.

pub(super) mod environment;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::service::{Health, Probe, Ready, Run, RunAs, STEPS, Service};
use crate::config::{Config, Problem, nearest};
use crate::facts::{Facts, ssh_keys};
use crate::sys::launch::{Listener, NewFile, Orders};
use crate::sys::subcommands;

use super::display::Decision;
use super::expander::Expander;
use super::template::Values;
use super::{Disposition, Route, Unit, env_overrides, probes, ready_fd, routes, values};

pub(super) struct Composer<'a> {
    config: &'a Config,
    facts: &'a Facts,
    values: Values,
    /// The services that come before the hooks, and the hooks.
    early: BTreeSet<&'a str>,
}

impl<'a> Composer<'a> {
    pub(super) fn new(config: &'a Config, facts: &'a Facts, display: &Decision) -> Self {
        let values = values::shared(config, facts, display);
        Self { config, facts, values, early: env_overrides::before_hooks(config) }
    }

    /// The unit that `service` describes, and its route in the gateway.
    pub(super) fn unit(&self, service: &Service, problems: &mut Vec<Problem>) -> (Unit, Option<Route>) {
        let mut unit = Unit {
            name: service.name.clone(),
            description: service.description.clone(),
            aliases: service.aliases.clone(),
            oneshot: service.oneshot,
            relations: service.relations.clone(),
            main: service.main,
            last: service.is_command(),
            start_timeout: service.start_timeout,
            restart: service.restart,
            stop: service.stop.clone(),
            contain: service.contain,
            autostart: env_overrides::starts(self.config, service),
            ..Unit::default()
        };
        if let Some(reason) = self.inapplicable(service) {
            unit.disposition = Disposition::Skip(reason);
            return (unit, None);
        }

        let no_account = self.facts.account.as_ref().err().map(String::as_str);
        let values = self.values(service);
        let mut expander =
            Expander { service, values: &values, problems: Vec::new(), no_account, inapplicable: None };
        if let Some(reason) = self.unmet(service, &mut expander)
            && expander.problems.is_empty()
        {
            unit.disposition = Disposition::Skip(reason);
            return (unit, None);
        }
        let mut missing = None;
        let argv = match &service.run {
            Run::Command(argv) => {
                let mut argv = expander.list("command", argv);
                argv.extend(env_overrides::arguments(self.config, service, problems));
                self.located("command", argv, service, &mut missing)
            }
            Run::Literal(argv) => self.located("command", argv.clone(), service, &mut missing),
            Run::Step(words) => step(&words[..], &mut expander),
        };
        unit.stop.command = service.stop.command.as_ref().and_then(|argv| {
            let mut absent = None;
            let argv = expander.list("stop-command", argv);
            let argv = self.located("stop-command", argv, service, &mut absent);
            // Without the command, the stop signal alone ends the unit.
            absent.is_none().then_some(argv)
        });
        unit.ready = probes::ready(&service.ready, &mut expander);
        if let Ready::Probe(Probe::Exec(argv)) = &mut unit.ready {
            *argv = self.located("ready.command", std::mem::take(argv), service, &mut missing);
        }
        unit.health = self.health(service, &mut expander, problems);
        let mut env = self.environment(service, &mut expander);
        let private_tmp = self.private_tmp(service);
        if let Some(folder) = &private_tmp {
            env.insert("TMPDIR".into(), folder.into());
        }
        let cwd = match &service.directory {
            Some(directory) => PathBuf::from(expander.text("directory", directory)),
            None => self.home(service),
        };
        let identity = match (service.user, &self.facts.account) {
            (RunAs::Desktop, Ok(account)) if self.facts.daemon.uid == 0 => Some(account.identity.clone()),
            _ => None,
        };
        let folders = expander.list("folders", &service.folders).into_iter().map(PathBuf::from).collect();
        let files = self.files(service, &mut expander);
        let owner = identity.as_ref().map_or(self.facts.daemon.uid, |identity| identity.uid);
        unit.launch = Orders {
            argv,
            env,
            cwd,
            cwd_required: service.directory.is_some(),
            identity,
            resources: service.resources.clone(),
            groups: self.groups(service, &mut expander),
            folders,
            private_tmp,
            files,
            listen: listen(service, &mut expander),
            ..Orders::default()
        };
        let mut route = routes::of(service, owner, &mut expander, |name| self.config.env.is_on(name));

        if let Some(first) = expander.problems.first() {
            unit.disposition = Disposition::Broken(first.to_string());
        } else if let Some(reason) = expander.inapplicable.or(missing) {
            unit.disposition = Disposition::Skip(reason);
            // A service that does not apply here needs no port.
            route = None;
        }
        problems.append(&mut expander.problems);
        (unit, route)
    }

    /// The values for the templates of this service.
    fn values(&self, service: &Service) -> Cow<'_, Values> {
        let mut values = Cow::Borrowed(&self.values);
        if !service.listen.is_empty() {
            values.to_mut().insert("ready-fd".to_owned(), ready_fd(service.listen.len()).to_string());
        }
        values
    }

    fn inapplicable(&self, service: &Service) -> Option<String> {
        let better = &service.unless_installed;
        if !better.is_empty() && better.iter().all(|program| self.facts.programs.get(program).is_ok()) {
            let (verb, verb2) = if better.len() == 1 { ("is", "takes") } else { ("are", "take") };
            return Some(format!("{} {verb} installed and {verb2} its place", better.join(" and ")));
        }
        match (service.user, &self.facts.account) {
            (RunAs::Root, _) if self.facts.daemon.uid != 0 => {
                Some("it must run as root, and desktopd does not".to_owned())
            }
            (RunAs::Desktop, Err(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    /// The reason of the first condition that does not hold.
    fn unmet(&self, service: &Service, expander: &mut Expander<'_>) -> Option<String> {
        let mut unmet = None;
        for condition in &service.conditions {
            let on = condition.variable.as_ref().is_some_and(|name| self.config.env.is_on(name));
            let files = expander.list("condition.any-file", &condition.any_file);
            let keys = expander.list("condition.any-key", &condition.any_key);
            let (keys, values): (Vec<_>, Vec<_>) = keys.into_iter().partition(|text| text.starts_with('/'));
            let holds =
                on || self.facts.files.hold(condition) || values.iter().any(|text| ssh_keys::given(text));
            let missing = |what, paths: Vec<String>| {
                (!paths.is_empty()).then(|| format!("{what} is in {}", paths.join(" or ")))
            };
            let no_variable = condition.variable.as_ref().map(|name| format!("{name} is not set"));
            let usual = [no_variable, missing("nothing", files), missing("no SSH key", keys)];
            let usual = usual.into_iter().flatten().collect::<Vec<_>>().join(", and ");
            let otherwise = condition.otherwise.as_ref().map(|text| expander.text("condition.else", text));
            if !holds && unmet.is_none() {
                unmet = Some(otherwise.unwrap_or(usual));
            }
        }
        unmet
    }

    fn files(&self, service: &Service, expander: &mut Expander<'_>) -> Vec<NewFile> {
        if service.files.is_empty() {
            return Vec::new();
        }
        let mut values = self.values.clone();
        for name in &service.secrets {
            let secret = self.config.env.raw.get(&OsString::from(name));
            values.insert(name.clone(), secret.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default());
        }
        let file = |file: &NewFile| NewFile {
            path: expander.path("file.path", &file.path),
            mode: file.mode,
            content: expander.lines("file.content", &file.content, &values),
        };
        service.files.iter().map(file).collect()
    }

    /// `argv` with its program as an absolute path; `missing` gets the reason if the program is not found.
    fn located(
        &self,
        key: &str,
        mut argv: Vec<String>,
        service: &Service,
        missing: &mut Option<String>,
    ) -> Vec<String> {
        if let Some(program) = argv.first_mut() {
            match self.facts.programs.get(program) {
                Ok(path) => *program = path.display().to_string(),
                Err(reason) => *missing = Some(format!("{}: {key}: {reason}", service.file.display())),
            }
        }
        argv
    }

    /// The health checks. A service matters more than its checks: if the program of the checks is missing, it runs
    /// without them.
    fn health(
        &self,
        service: &Service,
        expander: &mut Expander<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Health> {
        let mut health = probes::health(service.health.as_ref()?, expander);
        if let Probe::Exec(argv) = &mut health.probe
            && let Some(program) = argv.first_mut()
        {
            match self.facts.programs.get(program) {
                Ok(path) => *program = path.display().to_string(),
                Err(reason) => {
                    let message = format!("{reason}; it runs without checks");
                    let file = service.file.display().to_string();
                    problems.push(Problem::new(file, "health.command", message).of_unit(&service.name));
                    return None;
                }
            }
        }
        Some(health)
    }

    fn home(&self, service: &Service) -> PathBuf {
        match (service.user, &self.facts.account) {
            (RunAs::Desktop, Ok(account)) => account.home.clone(),
            _ => "/".into(),
        }
    }

    /// The private temporary folder: beside the service's sockets, which a cleaner of `/tmp` does not touch.
    fn private_tmp(&self, service: &Service) -> Option<PathBuf> {
        let places = &self.config.places;
        let folder = match (service.user, &self.facts.account) {
            (RunAs::Desktop, Ok(account)) => places.runtime(account.identity.uid),
            _ => places.run.clone(),
        };
        service.private_tmp.then(|| folder.join("tmp").join(&service.name))
    }

    fn groups(&self, service: &Service, expander: &mut Expander<'_>) -> Vec<u32> {
        let mut ids = Vec::new();
        for name in &service.groups {
            match self.facts.groups.get(name) {
                Some(id) => ids.push(*id),
                None => expander.problem("groups", format!("\"{name}\" is not a group of this machine")),
            }
        }
        ids
    }
}

fn step(words: &[String], expander: &mut Expander<'_>) -> Vec<String> {
    let words = expander.list("step", words);
    if let Some(name) = words.first()
        && !STEPS.contains(&name.as_str())
    {
        let hint = nearest(name, STEPS).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        expander.problem("step", format!("\"{name}\" is not a boot step{hint}"));
    }
    ["/proc/self/exe", subcommands::STEP].map(str::to_owned).into_iter().chain(words).collect()
}

fn listen(service: &Service, expander: &mut Expander<'_>) -> Vec<Listener> {
    let listener = |listener: &Listener| {
        let path = expander.path("listen.path", &listener.path);
        if !path.as_os_str().is_empty() && !path.is_absolute() {
            expander.problem("listen.path", format!("\"{}\" is not an absolute path", path.display()));
        }
        Listener { path, mode: listener.mode }
    };
    service.listen.iter().map(listener).collect()
}

/// Units whose files could not be read: they are listed with the reason why they do not run.
pub(super) fn broken(config: &Config) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    for problem in &config.problems {
        let Some(name) = &problem.unit else { continue };
        if config.services.iter().any(|service| service.name == *name) {
            continue;
        }
        if let Some(Unit { disposition: Disposition::Broken(reason), .. }) =
            units.iter_mut().find(|unit| unit.name == *name)
        {
            reason.push_str("; ");
            reason.push_str(&problem.to_string());
        } else {
            let disposition = Disposition::Broken(problem.to_string());
            units.push(Unit { name: name.clone(), disposition, ..Unit::default() });
        }
    }
    units
}
