//! The printed form of a plan, for users and programs: exactly what would run, and why. Secrets are masked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::config::service::{Action, Health, Relations};

use super::compose::environment;
use super::{Decision, Disposition, Link, Plan, Portal, Route, Unit, encoder};

/// The serializable form of a plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanView<'a> {
    display: &'a Decision,
    encoder: &'a encoder::Decision,
    units: Vec<UnitView<'a>>,
    routes: &'a [Route],
    portal: &'a Portal,
    links: &'a [Link],
    problems: Vec<String>,
    shortcomings: &'a [String],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct UnitView<'a> {
    name: &'a str,
    description: &'a str,
    runs: bool,
    reason: Option<&'a str>,
    command: &'a [String],
    user: Option<u32>,
    directory: String,
    #[serde(flatten)]
    relations: &'a Relations,
    main: bool,
    ready: String,
    health: Option<String>,
    limits: Vec<String>,
    groups: &'a [u32],
    nice: Option<i32>,
    oom_score_adj: Option<i32>,
    autostart: bool,
    folders: &'a [PathBuf],
    private_tmp: Option<&'a PathBuf>,
    files: Vec<String>,
    listen: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Plan {
    /// The plan as data for programs.
    pub fn view(&self) -> PlanView<'_> {
        PlanView {
            display: &self.display,
            encoder: &self.encoder,
            units: self.units.iter().map(unit).collect(),
            routes: &self.routes,
            portal: &self.portal,
            links: &self.links,
            problems: self.problems.iter().map(ToString::to_string).collect(),
            shortcomings: &self.shortcomings,
        }
    }

    /// The plan as a text for users.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "display: {}", self.display.summary())?;
        for candidate in &self.display.candidates {
            let mark = if candidate.taken { '*' } else { '-' };
            let gpu = candidate.gpu.as_deref().map(|gpu| format!(" on {gpu}")).unwrap_or_default();
            let device = candidate.device.as_deref().filter(|device| !gpu.contains(device));
            let device = device.map(|device| format!(" by {device}")).unwrap_or_default();
            writeln!(out, "  {mark} {}{gpu}{device}: {}", candidate.kind, candidate.reason)?;
        }
        writeln!(out, "encoder: {}", self.encoder.summary())?;
        for candidate in &self.encoder.candidates {
            let mark = if candidate.taken { '*' } else { '-' };
            writeln!(out, "  {mark} {}: {}", candidate.title(), candidate.reason)?;
        }
        writeln!(out, "\nservices, in the order of start:")?;
        for unit in self.view().units {
            writeln!(out, "  {}: {}", unit.name, unit.description)?;
            if let Some(reason) = unit.reason {
                writeln!(out, "    does not run: {reason}")?;
                continue;
            }
            writeln!(out, "    command: {}", unit.command.join(" "))?;
            let user = unit.user.map_or("the daemon's".to_owned(), |uid| uid.to_string());
            writeln!(out, "    user: {user}, directory: {}, ready: {}", unit.directory, unit.ready)?;
            for (key, names) in unit.relations.lists() {
                if !names.is_empty() {
                    writeln!(out, "    {key}: {}", names.join(", "))?;
                }
            }
            if let Some(health) = unit.health {
                writeln!(out, "    health: {health}")?;
            }
            let number = |name: &str, number: Option<i32>| number.map(|number| format!("{name} = {number}"));
            let nice = number("nice", unit.nice);
            let may: Vec<String> = unit
                .limits
                .into_iter()
                .chain(nice)
                .chain(number("oom-score-adj", unit.oom_score_adj))
                .chain((!unit.groups.is_empty()).then(|| format!("groups = {:?}", unit.groups)))
                .collect();
            if !may.is_empty() {
                writeln!(out, "    may: {}", may.join(", "))?;
            }
            for folder in unit.folders {
                writeln!(out, "    makes: {}", folder.display())?;
            }
            if let Some(folder) = unit.private_tmp {
                writeln!(out, "    empties: {}", folder.display())?;
            }
            for file in unit.files {
                writeln!(out, "    writes: {file}")?;
            }
            for socket in unit.listen {
                writeln!(out, "    listens: {socket}")?;
            }
            if let Some(partner) = &unit.relations.restart_with {
                writeln!(out, "    restarted by hand: together with {partner}")?;
            }
            if unit.main {
                writeln!(out, "    everything ends when it has ended")?;
            }
            if !unit.autostart {
                writeln!(out, "    starts only when asked to")?;
            }
            for (name, value) in unit.environment {
                writeln!(out, "    {name}={value}")?;
            }
        }
        writeln!(out, "\nroutes:")?;
        for route in &self.routes {
            let unit =
                if route.unit.is_empty() { String::new() } else { format!(", service {}", route.unit) };
            writeln!(out, "  {} -> {} ({}{unit})", route.listen, route.upstream, route.title)?;
        }
        for link in &self.links {
            writeln!(out, "  {}{} ({}, a link only)", link.port, link.path, link.title)?;
        }
        let problems = self.problems.iter().map(ToString::to_string);
        let problems: Vec<String> = problems.chain(self.shortcomings.iter().cloned()).collect();
        if !problems.is_empty() {
            writeln!(out, "\nproblems:")?;
            for problem in problems {
                writeln!(out, "  {problem}")?;
            }
        }
        Ok(())
    }
}

fn health(health: &Health) -> String {
    let Health { probe, period, retry, timeout, threshold, action } = health;
    let action = match action {
        Action::Restart => "it is restarted",
        Action::Tell => "it is reported",
    };
    let retry = if retry == period { String::new() } else { format!(", after a failure every {retry:?}") };
    format!(
        "{probe} every {period:?}{retry}, within {timeout:?}; after {threshold} failures in a row {action}"
    )
}

fn unit(unit: &Unit) -> UnitView<'_> {
    let reason = match &unit.disposition {
        Disposition::Run => None,
        Disposition::Skip(reason) | Disposition::Broken(reason) => Some(reason.as_str()),
    };
    UnitView {
        name: &unit.name,
        description: &unit.description,
        runs: reason.is_none(),
        reason,
        command: &unit.launch.argv,
        user: unit.launch.identity.as_ref().map(|identity| identity.uid),
        directory: unit.launch.cwd.display().to_string(),
        relations: &unit.relations,
        main: unit.main,
        ready: format!("{:?}", unit.ready),
        health: unit.health.as_ref().map(health),
        limits: unit.launch.resources.limits.iter().map(ToString::to_string).collect(),
        groups: &unit.launch.groups,
        nice: unit.launch.resources.nice,
        oom_score_adj: unit.launch.resources.oom_score_adj,
        autostart: unit.autostart,
        folders: &unit.launch.folders,
        private_tmp: unit.launch.private_tmp.as_ref(),
        listen: unit
            .launch
            .listen
            .iter()
            .map(|socket| format!("{} (mode {:04o})", socket.path.display(), socket.mode))
            .collect(),
        // The contents may be secret.
        files: unit
            .launch
            .files
            .iter()
            .map(|file| format!("{} (mode {:04o})", file.path.display(), file.mode))
            .collect(),
        environment: environment::masked(&unit.launch.env),
    }
}
