//! What the environment overrides in services: which of them start automatically, and their additional arguments.

use std::collections::BTreeSet;

use crate::config::env::Raw;
use crate::config::service::Service;
use crate::config::{Config, Problem, nearest, own};

use super::Unit;

/// Services of other images that desktopd does not have; templates for those images name them. They are no mistake.
const ELSEWHERE: [&str; 14] = [
    "cloudflared",
    "guacd",
    "instance_portal",
    "jupyter",
    "kasmvnc",
    "kasmxproxy",
    "logtail",
    "pyworker",
    "quicktunnel",
    "storagemonitor",
    "syncthing",
    "tensorboard",
    "tomcat",
    "tunnel_manager",
];

/// The name that services provide which run the hooks, or run in their place.
const HOOKS: &str = "boot-hooks";

/// Whether a service starts automatically.
pub(super) fn starts(config: &Config, service: &Service) -> bool {
    let vars = &config.env.vars;
    let listed = config.env.no_autostart().any(|name| {
        let called = |own: &String| own.eq_ignore_ascii_case(name);
        std::iter::once(&service.name).chain(&service.aliases).chain(&service.provides).any(called)
    });
    // Without a desktop, a given list decides about all other services.
    let rest = service.oneshot || config.env.no_autostart().next().is_some();
    let kept = service.serverless || service.is_command() || (rest && !is_of_the_desktop(config, service));
    service.autostart && !listed && (kept || !vars.serverless)
}

/// Whether a service exists for users in front of a screen.
fn is_of_the_desktop(config: &Config, service: &Service) -> bool {
    let needed = || {
        let mut desktop = config.services.iter().filter(|other| other.desktop);
        !service.oneshot
            && desktop.any(|other| other.relations.needs.iter().any(|need| service.is_called(need)))
    };
    service.desktop || service.route.is_some() || needed()
}

/// Reports names in `SUPERVISOR_NO_AUTOSTART` that no service has.
pub(super) fn check(units: &[Unit], config: &Config, problems: &mut Vec<Problem>) {
    let known: Vec<&str> = units
        .iter()
        .flat_map(|unit| std::iter::once(&unit.name).chain(&unit.aliases))
        .map(String::as_str)
        .chain(own::NAMES)
        .chain(ELSEWHERE)
        .collect();
    for name in config.env.no_autostart() {
        let lower = name.to_ascii_lowercase();
        if known.iter().any(|known| known.eq_ignore_ascii_case(&lower)) {
            continue;
        }
        let near = nearest(&lower, known.iter().copied());
        let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        let message = format!("\"{name}\" is not the name of a service{hint}");
        problems.push(Problem::new("environment", "SUPERVISOR_NO_AUTOSTART", message));
    }
}

/// The arguments that the environment adds to a service's command: `NAME_ARGS`, by its name or one of its aliases.
pub(super) fn arguments(config: &Config, service: &Service, problems: &mut Vec<Problem>) -> Vec<String> {
    let variable = |name: &String| {
        let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
        format!("{name}_ARGS")
    };
    let mut names = std::iter::once(&service.name).chain(&service.aliases).map(variable);
    let Some((name, text)) = names.find_map(|name| Some((name.clone(), config.env.text(&name)?))) else {
        return Vec::new();
    };
    shlex::split(text).unwrap_or_else(|| {
        let message = "its quotes are not closed; it is left out";
        problems.push(Problem::new("environment", name, message));
        Vec::new()
    })
}

/// The environment that is passed on to a service. It does not contain edits of the system's file: the process that
/// becomes the service reads that file itself, so that an edit restarts no service and repeats no step.
pub(super) fn environment<'a>(config: &'a Config, service: &Service, early: &BTreeSet<&str>) -> &'a Raw {
    if early.contains(service.name.as_str()) { config.env.before_hooks() } else { config.env.without_edits() }
}

/// The services that come before the hooks, and the hooks. Changes that hooks make to the environment are not passed to
/// them: otherwise each change would run the hooks again.
pub(super) fn before_hooks(config: &Config) -> BTreeSet<&str> {
    let mut early = BTreeSet::new();
    let mut open = vec![HOOKS];
    while let Some(name) = open.pop() {
        for service in config.services.iter().filter(|service| service.is_called(name)) {
            if early.insert(service.name.as_str()) {
                let relations = &service.relations;
                open.extend(relations.needs.iter().chain(&relations.after).map(String::as_str));
            }
        }
    }
    early
}
