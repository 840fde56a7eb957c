//! The one way to a plan, at the start and at each reload: read the files, probe the machine, plan.
//!
//! A new plan with a mistake that the old plan did not have is refused as a whole: a typo must not stop running
//! services. The machine is probed again as well, so that a program that was installed meanwhile is found.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fallback::{self, Memory};
use super::portal_file;
use super::variables::Shown;
use crate::cli::{Failure, code};
use crate::config::service::Run;
use crate::config::watch::Watch;
use crate::config::{Config, Environment, Problem, Service, env};
use crate::facts::gpu::Answers;
use crate::facts::gpu::ask::{Questions, ask};
use crate::facts::{self, Cpus, DisplayFacts, Facts};
use crate::logs::QUIET;
use crate::plan::display::Kind;
use crate::plan::{Disposition, Plan, Unit};
use crate::sys::reaper::Reaper;
use crate::{steps, sys};

/// How long reading and planning again may take: a hanging read, on a dead volume for example, must not block later
/// requests.
const LIMIT: Duration = Duration::from_secs(30);

/// Plans again and again from the same inputs, the files and the machine as they are then.
pub(super) struct Planner {
    inputs: Inputs,
    /// The mistakes that earlier plans had already.
    accepted: Vec<Problem>,
    shown: Shown,
    watch: Option<Watch>,
    memory: Memory,
    /// The drivers of the GPUs, with their versions.
    driver: String,
    /// The device nodes of the GPUs at the start.
    nodes: BTreeSet<PathBuf>,
    drivers: Drivers,
    /// The version of what desktopd has brought of NVIDIA's driver.
    brought: Option<String>,
}

/// The drivers of GPUs, and their last answers.
struct Drivers {
    reaper: Reaper,
    asked: Questions,
    answers: Answers,
}

impl Drivers {
    /// The drivers' answers. Drivers are asked again only if there is something else to ask: a device node came or went,
    /// or the libraries are in another folder. A driver costs up to two seconds, and most reloads are edits of a file.
    async fn answers(&mut self, questions: Questions) -> Answers {
        if questions != self.asked {
            self.answers = ask(&self.reaper, &questions).await;
            self.asked = questions;
        }
        self.answers.clone()
    }
}

/// The inputs besides the files and the machine.
#[derive(Clone)]
struct Inputs {
    dir: PathBuf,
    env: Environment,
    /// The command of `desktopd run`. It is in no file, so it stays as it was planned first.
    command: Option<(Service, Unit)>,
    /// The facts about the display from before our own X server ran, which must not count as a foreign one.
    display: DisplayFacts,
    /// The same for the SSH server's port, on which our own server may listen now.
    ssh_port_taken: bool,
    /// The cores and the limit of threads at the first plan: the environment of the desktop follows from them, and
    /// `docker update` must not restart the desktop.
    cpus: Cpus,
}

/// A plan, and what it was made from.
struct Made {
    config: Config,
    facts: Facts,
    plan: Plan,
}

impl Planner {
    /// Makes the first plan, off the threads that serve requests: a directory service or a disk may be slow.
    pub(super) async fn start(
        config: Config,
        shown: Shown,
        memory: Memory,
        reaper: Reaper,
    ) -> Result<(Self, Plan), Failure> {
        let mut drivers = Drivers { reaper, asked: Questions::default(), answers: Answers::default() };
        let failed = |error| Failure::new(code::FAILED, not_planned(&error));
        let read = sys::run_on_thread(move || {
            begin(&config);
            with_questions(config)
        });
        let (config, questions) = read.await.map_err(failed)?;
        let answers = drivers.answers(questions).await;
        let known = memory.clone();
        let first = move || make(*config, Before::Start(known), &answers);
        let made = sys::run_on_thread(first).await.map_err(failed)?;
        check_command(&made)?;
        let Made { config, facts, plan } = made;
        shown.take(&config.env);
        for problem in &plan.problems {
            tracing::warn!("{problem}");
        }
        for (name, reason) in skipped(&plan) {
            tracing::info!(target: QUIET, "{name} is skipped: {reason}");
        }
        for shortcoming in &plan.shortcomings {
            tracing::warn!("{shortcoming}");
        }
        for left_out in &plan.left_out {
            tracing::info!("{left_out}");
        }
        tracing::info!("display: {}", fallback::shown(&plan.display.summary(), &facts.display.failed));
        tracing::info!("encoder: {}", plan.encoder.line());
        let service = config.services.into_iter().find(Service::is_command);
        let command =
            service.and_then(|service| plan.unit(&service.name).cloned().map(|unit| (service, unit)));
        let driver = fallback::driver(&facts.gpus);
        let nodes =
            facts.gpus.gpus.iter().flat_map(|gpu| [&gpu.nodes.nvidia, &gpu.nodes.card, &gpu.nodes.render]);
        let nodes = nodes.flatten().map(PathBuf::from).collect();
        let Facts { display, ssh_port_taken, cpus, .. } = facts;
        let inputs = Inputs { dir: config.dir, env: config.env, command, display, ssh_port_taken, cpus };
        let brought = facts.gpus.nvidia.brought.version.clone();
        let accepted = plan.problems.clone();
        let mut planner =
            Self { inputs, accepted, shown, watch: None, memory, driver, nodes, drivers, brought };
        planner.look();
        Ok((planner, plan))
    }

    /// Watches the files from now on. Folders are created and removed, so each reload looks for them again.
    fn look(&mut self) {
        let watched = match &mut self.watch {
            Some(watch) => watch.look(),
            None => Watch::new(&self.inputs.dir).map(|watch| self.watch = Some(watch)),
        };
        if let Err(error) = watched {
            tracing::warn!("changes of the configuration may go unnoticed: {error}; `desktopd reload` works");
        }
    }

    /// Waits until a file was changed. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        Watch::changed_in(&mut self.watch).await;
    }

    /// The displays that failed, with reasons.
    pub(super) fn failed(&self) -> &BTreeMap<Kind, String> {
        &self.inputs.display.failed
    }

    /// The device nodes of the GPUs at the start.
    pub(super) fn nodes(&self) -> BTreeSet<PathBuf> {
        self.nodes.clone()
    }

    /// The version of NVIDIA's driver of which desktopd has brought what the container lacks, as of the last plan.
    pub(super) fn brought(&self) -> Option<String> {
        self.brought.clone()
    }

    /// Leaves a display out of the next plans.
    pub(super) fn exclude(&mut self, kind: Kind, reason: String) {
        self.inputs.display.failed.insert(kind, reason);
    }

    /// Lets the next plans choose a display again.
    pub(super) fn readmit(&mut self, kind: Kind) {
        self.inputs.display.failed.remove(&kind);
    }

    /// Lets the next plans, and the next starts, choose every display again.
    pub(super) fn readmit_all(&mut self) {
        self.inputs.display.failed.clear();
        let memory = self.memory.clone();
        tokio::task::spawn_blocking(move || memory.forget());
    }

    /// Leaves a display out of the next starts as well, as long as the GPU's driver is the same.
    pub(super) fn remember(&self, kind: Kind, reason: String) {
        if self.driver.is_empty() {
            return;
        }
        let (memory, driver) = (self.memory.clone(), self.driver.clone());
        let now = jiff::Timestamp::now().as_millisecond();
        tokio::task::spawn_blocking(move || memory.remember(&driver, kind, &reason, now));
    }

    /// Plans again. The error describes the mistakes in the new files.
    pub(super) async fn replan(&mut self) -> Result<Plan, String> {
        self.look();
        let inputs = Box::new(self.inputs.clone());
        let dir = inputs.dir.clone();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => {
                format!("reading {} and looking at the machine: {error}", dir.display())
            }
            _ => not_planned(&error),
        };
        let read = sys::run_on_thread_within(LIMIT, move || {
            let problems = inputs.env.problems();
            let mut config = Config::read(inputs.dir.clone(), inputs.env.clone(), problems);
            config.services.extend(inputs.command.as_ref().map(|(service, _)| service.clone()));
            (with_questions(config), inputs)
        });
        let ((config, questions), inputs) = read.await.map_err(failed)?;
        let answers = self.drivers.answers(questions).await;
        let made = sys::run_on_thread_within(LIMIT, move || make(*config, Before::Plan(inputs), &answers));
        let Made { config, facts, plan } = made.await.map_err(failed)?;
        let new = plan.problems.iter().filter(|problem| !self.accepted.contains(problem));
        // A wrong variable only gets its default, as at the start.
        let of_env = config.env.problems();
        let (bad, new): (Vec<_>, Vec<_>) = new.partition(|problem| of_env.contains(problem));
        let new: Vec<String> = new.into_iter().map(ToString::to_string).collect();
        if !new.is_empty() {
            return Err(new.join("; "));
        }
        self.shown.take(&config.env);
        for problem in bad {
            tracing::warn!("{problem}");
        }
        for (name, reason) in skipped(&plan) {
            tracing::debug!("{name} is skipped: {reason}");
        }
        self.accepted.clone_from(&plan.problems);
        self.inputs.env = config.env;
        self.brought = facts.gpus.nvidia.brought.version;
        Ok(plan)
    }
}

/// What was before a plan.
enum Before {
    /// Nothing but earlier starts, with the displays that failed then.
    Start(Memory),
    /// A plan, with these inputs.
    Plan(Box<Inputs>),
}

/// Removes traces of an earlier boot: no hook of this boot has run yet, no step has failed, and no encoder was
/// tried.
fn begin(config: &Config) {
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
fn with_questions(config: Config) -> (Box<Config>, Questions) {
    let config = Box::new(config.with_files());
    let questions = Questions::of(&config, Path::new("/"), false);
    (config, questions)
}

/// Probes and plans. Some inputs stay as they were at the first plan.
fn make(config: Config, before: Before, answers: &Answers) -> Made {
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

/// Refuses a command of `desktopd run` that cannot be executed: without it there is nothing to run.
fn check_command(Made { config, facts, plan }: &Made) -> Result<(), Failure> {
    let Some(service) = config.services.iter().find(|service| service.is_command()) else { return Ok(()) };
    let Some(Disposition::Skip(reason) | Disposition::Broken(reason)) =
        plan.unit(&service.name).map(|unit| &unit.disposition)
    else {
        return Ok(());
    };
    let Run::Literal(argv) = &service.run else { return Ok(()) };
    let found = argv
        .first()
        .is_some_and(|program| facts.programs.is_useless(program) || facts.programs.get(program).is_ok());
    let code = if found { code::NOT_EXECUTABLE } else { code::NOT_FOUND };
    Err(Failure::new(code, reason))
}

/// The skipped units, with the reasons.
fn skipped(plan: &Plan) -> impl Iterator<Item = (&str, &str)> {
    plan.units.iter().filter_map(|unit| match &unit.disposition {
        Disposition::Skip(reason) => Some((&*unit.name, &**reason)),
        _ => None,
    })
}

fn not_planned(error: &io::Error) -> String {
    format!("planning: starting a thread: {error}")
}
