//! Composes one unit from one service file: expands templates, finds the program, builds the environment.

pub(super) mod environment;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::config::service::{Health, Probe, Ready, Run, RunAs, Service, StepSpec};
use crate::config::{Config, Problem, hint};
use crate::facts::ssh_keys;
use crate::sys::launch::{Listener, NewFile, Orders};
use crate::sys::subcommands;

use super::adjust::{self, Inputs};
use super::expander::Expander;
use super::template::Values;
use super::{Disposition, Route, Unit, env_overrides, probes, ready_fd, routes, shells, values};

pub(super) struct Composer<'a> {
    inputs: Inputs<'a>,
    values: Values,
    /// The services that come before the hooks, and the hooks.
    early: BTreeSet<&'a str>,
    /// The names that services provide, with the services that do it.
    providers: BTreeMap<&'a str, &'a str>,
}

impl<'a> Composer<'a> {
    pub(super) fn new(inputs: Inputs<'a>) -> Self {
        let values = values::shared(inputs.config, inputs.facts, inputs.display);
        let early = env_overrides::before_hooks(inputs.config);
        Self { inputs, values, early, providers: BTreeMap::new() }
    }

    /// The unit that `service` describes, and its route in the gateway.
    pub(super) fn unit(
        &mut self,
        service: &'a Service,
        problems: &mut Vec<Problem>,
    ) -> (Unit, Option<Route>) {
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
            autostart: env_overrides::starts(self.inputs.config, service),
            ..Unit::default()
        };
        let mut values = Cow::Borrowed(&self.values);
        if !service.listen.is_empty() {
            values.to_mut().insert("ready-fd".to_owned(), ready_fd(service.listen.len()).to_string());
        }
        let no_account = self.inputs.facts.account.as_ref().err().map(String::as_str);
        let mut expander =
            Expander { service, values: &values, problems: Vec::new(), no_account, inapplicable: None };
        let filled = self.fill(&mut unit, service, &mut expander, problems);
        if let Some(first) = expander.problems.first() {
            unit.disposition = Disposition::Broken(first.to_string());
        }
        problems.append(&mut expander.problems);
        let settled = filled.and_then(|route| {
            if unit.disposition == Disposition::Run {
                self.adjust(&mut unit, service)?;
            }
            Ok(route)
        });
        match settled {
            Ok(route) => (unit, route),
            // A service that does not apply here needs no port.
            Err(reason) => (Unit { disposition: Disposition::Skip(reason), ..unit }, None),
        }
    }

    /// Fills in what the file of the unit says, for this machine. The error is the reason to skip the unit.
    fn fill(
        &self,
        unit: &mut Unit,
        service: &Service,
        expander: &mut Expander<'_>,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Route>, String> {
        let Inputs { config, facts, .. } = self.inputs;
        self.applies(service)?;
        let unmet = self.unmet(service, expander);
        if let Some(reason) = unmet.filter(|_| expander.problems.is_empty()) {
            return Err(reason);
        }
        let missing = |key: &str, reason: String| format!("{}: {key}: {reason}", service.file.display());
        let mut argv = match &service.run {
            Run::Command(argv) => expander.list("command", argv),
            Run::Literal(argv) => argv.clone(),
            Run::Step(spec) => step(spec, expander),
        };
        let mut program = match service.step() {
            None => self.locate(&mut argv).map_err(|reason| missing("command", reason)),
            Some(_) => Ok(()),
        };
        if let Run::Command(_) = service.run {
            argv.extend(env_overrides::arguments(config, service, problems));
        }
        unit.stop.command = service.stop.command.as_ref().and_then(|argv| {
            let mut argv = expander.list("stop-command", argv);
            // Without the command, the stop signal alone ends the unit.
            self.locate(&mut argv).is_ok().then_some(argv)
        });
        unit.ready = probes::ready(&service.ready, expander);
        if let Ready::Probe(Probe::Exec(argv)) = &mut unit.ready {
            program = program.and(self.locate(argv).map_err(|reason| missing("ready.command", reason)));
        }
        unit.health = self.health(service, expander, problems);
        let account = facts.account.as_ref().ok().filter(|_| service.user == RunAs::Desktop);
        let identity = account.filter(|_| facts.daemon.uid == 0).map(|account| account.identity.clone());
        let owner = identity.as_ref().map_or(facts.daemon.uid, |identity| identity.uid);
        let mut env = self.environment(service, expander);
        let private_tmp = service.private_tmp.then(|| {
            // Beside the service's sockets, which a cleaner of `/tmp` does not touch.
            let places = &config.places;
            let folder =
                account.map_or_else(|| places.run.clone(), |account| places.runtime(account.identity.uid));
            folder.join("tmp").join(&service.name)
        });
        if let Some(folder) = &private_tmp {
            env.insert("TMPDIR".into(), folder.into());
        }
        unit.launch = Orders {
            argv,
            env,
            cwd: match &service.directory {
                Some(directory) => expander.text("directory", directory).into(),
                None => account.map_or_else(|| "/".into(), |account| account.home.clone()),
            },
            cwd_required: service.directory.is_some(),
            identity,
            resources: service.resources.clone(),
            groups: self.groups(service, expander),
            folders: expander.list("folders", &service.folders).into_iter().map(PathBuf::from).collect(),
            private_tmp,
            files: self.files(service, expander),
            listen: listen(service, expander),
            ..Orders::default()
        };
        let route = routes::of(service, owner, expander, |name| config.env.is_on(name));
        if let Some(hook) = service.hook.as_ref().filter(|hook| adjust::hook(hook).is_none()) {
            let hint = hint(hook, adjust::HOOKS.map(|(name, _)| name));
            expander.problem("hook", format!("\"{hook}\" is not a hook of the plan{hint}"));
        }
        if expander.problems.is_empty() {
            expander.inapplicable.take().map_or(Ok(()), Err).and(program)?;
        }
        Ok(route)
    }

    /// Lets the unit's hook edit it, and takes the names that it provides. The error is the reason to skip the unit.
    fn adjust(&mut self, unit: &mut Unit, service: &'a Service) -> Result<(), String> {
        // Files that people wrote before the key existed have the name of the service that they replace.
        if let Some(hook) = adjust::hook(service.hook.as_deref().unwrap_or(&service.name)) {
            hook(unit, &self.inputs).map_or(Ok(()), Err)?;
        }
        if service.virtualgl {
            adjust::virtualgl(unit, service, &self.inputs);
        }
        // A name that a service has of its own cannot be provided; that is reported.
        let is_own = |name: &&str| {
            let services = &self.inputs.config.services;
            services
                .iter()
                .any(|other| other.name == *name || other.aliases.iter().any(|alias| alias == name))
        };
        let provides: Vec<&str> =
            service.provides.iter().map(String::as_str).filter(|name| !is_own(name)).collect();
        if let Some(other) = provides.iter().find_map(|name| self.providers.get(name)) {
            return Err(format!("{other} takes its place"));
        }
        self.providers.extend(provides.into_iter().map(|name| (name, service.name.as_str())));
        shells::read_files(unit, self.inputs.config, service);
        Ok(())
    }

    /// Whether the service applies to this machine, apart from its conditions.
    fn applies(&self, service: &Service) -> Result<(), String> {
        let facts = self.inputs.facts;
        let better = &service.unless_installed;
        if !better.is_empty() && better.iter().all(|program| facts.programs.get(program).is_ok()) {
            let (verb, verb2) = if better.len() == 1 { ("is", "takes") } else { ("are", "take") };
            return Err(format!("{} {verb} installed and {verb2} its place", better.join(" and ")));
        }
        match (service.user, &facts.account) {
            (RunAs::Root, _) if facts.daemon.uid != 0 => {
                Err("it must run as root, and desktopd does not".to_owned())
            }
            (RunAs::Desktop, Err(reason)) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    /// The reason of the first condition that does not hold.
    fn unmet(&self, service: &Service, expander: &mut Expander<'_>) -> Option<String> {
        let Inputs { config, facts, display, .. } = self.inputs;
        let mut unmet = None;
        for condition in &service.conditions {
            let files = expander.list("condition.any-file", &condition.any_file);
            let keys = expander.list("condition.any-key", &condition.any_key);
            let otherwise = condition.otherwise.as_ref().map(|text| expander.text("condition.else", text));
            let (keys, values): (Vec<_>, Vec<_>) = keys.into_iter().partition(|text| text.starts_with('/'));
            let missing = |what, paths: Vec<String>| {
                (!paths.is_empty()).then(|| format!("{what} is in {}", paths.join(" or ")))
            };
            let variable = condition.variable.as_ref();
            let display = condition.display.map(|server| display.without(server));
            let holds = variable.is_some_and(|name| config.env.is_on(name))
                || display == Some(None)
                || facts.files.hold(condition)
                || values.iter().any(|text| ssh_keys::given(text));
            let reasons = [
                variable.map(|name| format!("{name} is not set")),
                display.flatten(),
                missing("nothing", files),
                missing("no SSH key", keys),
            ];
            let usual = || reasons.into_iter().flatten().collect::<Vec<_>>().join(", and ");
            if !holds && unmet.is_none() {
                unmet = Some(otherwise.unwrap_or_else(usual));
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
            let secret = self.inputs.config.env.raw.get(&OsString::from(name));
            values.insert(name.clone(), secret.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default());
        }
        let file = |file: &NewFile| NewFile {
            path: expander.path("file.path", &file.path),
            mode: file.mode,
            content: expander.lines("file.content", &file.content, &values),
        };
        service.files.iter().map(file).collect()
    }

    /// Replaces the program of `argv` by its absolute path.
    fn locate(&self, argv: &mut [String]) -> Result<(), String> {
        if let Some(program) = argv.first_mut() {
            *program = self.inputs.facts.programs.get(program)?.display().to_string();
        }
        Ok(())
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
            && let Err(reason) = self.locate(argv)
        {
            let (file, message) =
                (service.file.display().to_string(), format!("{reason}; it runs without checks"));
            problems.push(Problem::new(file, "health.command", message).of_unit(&service.name));
            return None;
        }
        Some(health)
    }

    fn groups(&self, service: &Service, expander: &mut Expander<'_>) -> Vec<u32> {
        let mut ids = Vec::new();
        for name in &service.groups {
            match self.inputs.facts.groups.get(name) {
                Some(id) => ids.push(*id),
                None => expander.problem("groups", format!("\"{name}\" is not a group of this machine")),
            }
        }
        ids
    }
}

/// The command line of a step: its name, and its keys as JSON.
fn step(spec: &StepSpec, expander: &mut Expander<'_>) -> Vec<String> {
    let before = expander.problems.len();
    let keys = spec.keys.iter().map(|(key, value)| {
        let name = format!("step.{key}");
        (key.clone(), expanded(value, &mut |text| expander.text(&name, text)))
    });
    let spec = StepSpec { name: spec.name.clone(), keys: keys.collect() };
    // A text that could not be expanded is empty, which is no mistake of its own.
    if expander.problems.len() == before && expander.inapplicable.is_none() {
        for (key, message) in spec.mistakes() {
            expander.problem(&format!("step.{key}"), message);
        }
    }
    let keys = Value::from(spec.keys).to_string();
    ["/proc/self/exe", subcommands::STEP, &spec.name, &keys].map(str::to_owned).to_vec()
}

/// A value with each of its texts expanded.
fn expanded(value: &Value, expand: &mut impl FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => expand(text).into(),
        Value::Array(values) => values.iter().map(|value| expanded(value, expand)).collect(),
        Value::Object(values) => {
            values.iter().map(|(key, value)| (key.clone(), expanded(value, expand))).collect()
        }
        other => other.clone(),
    }
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
