//! Makes one plan: looks at the machine and plans, on a thread on which a dead disk may keep it waiting.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::fallback::{self, Memory};
use super::super::portal_file;
use crate::config::{Config, Environment, Service, env};
use crate::facts::gpu::ask::Questions;
use crate::facts::gpu::{Answers, Gpus};
use crate::facts::{self, Cpus, DisplayFacts, Facts};
use crate::plan::display::Decision;
use crate::plan::{Plan, Unit};
use crate::steps;

/// The display of a plan, and the GPUs that the plan was made from.
#[derive(Clone)]
pub(super) struct InUse {
    pub(super) display: Decision,
    pub(super) gpus: Gpus,
}

/// The inputs besides the files and the machine.
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) dir: PathBuf,
    pub(super) env: Environment,
    /// The command of `desktopd run`. It is in no file, so it stays as it was planned first.
    pub(super) command: Option<(Service, Unit)>,
    /// The facts about the display from before our own X server ran, which must not count as a foreign one.
    pub(super) display: DisplayFacts,
    /// The same for the SSH server's port, on which our own server may listen now.
    pub(super) ssh_port_taken: bool,
    /// The cores and the limit of threads at the first plan: the environment of the desktop follows from them, and
    /// `docker update` must not restart the desktop.
    pub(super) cpus: Cpus,
    /// The GPUs, where the plan is not to see what they are now.
    pub(super) gpus: Option<Gpus>,
}

/// A plan, and what it was made from.
pub(super) struct Made {
    pub(super) config: Config,
    pub(super) facts: Facts,
    pub(super) plan: Plan,
}

/// What was before a plan.
pub(super) enum Before {
    /// Nothing but earlier starts, with the displays that failed then.
    Start(Memory),
    /// A plan, with these inputs.
    Plan(Box<Inputs>),
}

/// Removes traces of an earlier boot: no hook of this boot has run yet, no step has failed, and no encoder was
/// tried.
pub(super) fn begin(config: &Config) {
    let _ = std::fs::remove_file(config.env_files().hooks);
    let _ = std::fs::remove_file(config.places.run.join(facts::account::TROUBLE));
    let _ = std::fs::remove_file(facts::encoder::file(&config.places.run));
    let _ = std::fs::remove_file(config.places.run.join(facts::gpu::brought::TOLD));
    // Before root's own scripts read what an earlier boot left there.
    for told in steps::collect_appended() {
        tracing::info!("{told}");
    }
    if let Err(error) = env::note(&config.env_files()) {
        tracing::debug!(
            "changes that scripts make in {} cannot be recognized: {error}",
            config.settings.environment_file.display()
        );
    }
}

/// The configuration with all files, and what there is to ask the drivers.
pub(super) fn with_questions(config: Config) -> (Box<Config>, Questions) {
    asked_of(Box::new(config.with_files()))
}

/// The same for a configuration that has all files.
pub(super) fn asked_of(config: Box<Config>) -> (Box<Config>, Questions) {
    let questions = Questions::of(&config, Path::new("/"), false);
    (config, questions)
}

/// A plan that was made again.
pub(super) struct Again {
    pub(super) made: Made,
    /// The GPUs as they are now.
    pub(super) found: Gpus,
    /// The display of which the GPUs alone speak, where the plan keeps another one.
    pub(super) next: Option<String>,
}

/// Probes and plans again. The display that is to be kept stays, unless the configuration asks for another one.
pub(super) fn make_again(
    config: Config,
    inputs: Box<Inputs>,
    answers: &Answers,
    keep: Option<InUse>,
) -> Again {
    let mut made = make(config, Before::Plan(inputs.clone()), answers);
    let found = made.facts.gpus.clone();
    let Some(InUse { display, gpus }) = keep.filter(|kept| !kept.display.is_same(&made.plan.display)) else {
        return Again { made, found, next: None };
    };
    let as_before = Inputs { gpus: Some(gpus), ..*inputs };
    let mut kept = make(made.config, Before::Plan(Box::new(as_before)), answers);
    if !kept.plan.display.is_same(&display) {
        made.config = kept.config;
        return Again { made, found, next: None };
    }
    let next = made.plan.display.summary();
    kept.plan.shortcomings.push(fallback::stays(&kept.plan.display.summary(), &next));
    kept.plan.report = Arc::new(kept.plan.report.staying(fallback::leads_to(&next), &found));
    Again { made: kept, found, next: Some(next) }
}

/// Probes and plans. Some inputs stay as they were at the first plan.
pub(super) fn make(config: Config, before: Before, answers: &Answers) -> Made {
    // Scripts remove or empty the file to have it made anew.
    portal_file::make(&config);
    let mut facts = Facts::probe(&config, Path::new("/"), answers);
    let choice = config.env.vars.desktopd_display;
    let command = match before {
        Before::Start(memory) => {
            facts.display.failed = memory.recall(&fallback::driver(&facts.gpus), choice);
            None
        }
        Before::Plan(inputs) => {
            (facts.display, facts.ssh_port_taken) = (inputs.display, inputs.ssh_port_taken);
            facts.cpus = inputs.cpus;
            facts.gpus = inputs.gpus.unwrap_or(facts.gpus);
            inputs.command
        }
    };
    let mut plan = Plan::build(&config, &facts);
    let display = plan.display.summary();
    plan.shortcomings.extend(fallback::shortcomings(&display, choice, &facts.display.failed));
    if let Some((_, kept)) = command
        && let Some(unit) = plan.units.iter_mut().find(|unit| unit.name == kept.name)
    {
        *unit = kept;
    }
    Made { config, facts, plan }
}
