//! The one way to a plan, at the start and at each reload: read the files, probe the machine, plan.
//!
//! A new plan with a mistake that the old plan did not have is refused as a whole: a typo must not stop running
//! services. The machine is probed again as well, so that a program that was installed meanwhile is found.
//!
//! A display that works stays as it is: if only the GPUs speak for another one, the plan is made with the GPUs as they
//! were, and says to which display a restart of the X server leads.

mod make;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::drivers::Drivers;
use super::fallback::{self, Memory};
use super::variables::Shown;
use crate::cli::{Failure, code};
use crate::config::service::Run;
use crate::config::watch::Watch;
use crate::config::{Config, Problem, Service};
use crate::facts::Facts;
use crate::facts::gpu::{Gpus, Vendor};
use crate::logs::QUIET;
use crate::plan::display::Kind;
use crate::plan::{Disposition, Plan};
use crate::sys;
use crate::sys::reaper::Reaper;
use make::{Again, Before, InUse, Inputs, Made, asked_of, begin, make, make_again, with_questions};

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
    drivers: Drivers,
    /// The display of the last plan, and the GPUs that it was made from.
    in_use: InUse,
    /// The GPUs as they were found last.
    found: Gpus,
    /// The display to which a restart of the X server leads, if that is another one.
    next: Option<String>,
    /// The last configuration without a new mistake. Kept where a display can fail or a GPU be lost.
    good: Option<Box<Config>>,
}

/// How a plan is made again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// The display stays unless the configuration asks for another one.
    pub(super) keep: bool,
    /// The drivers of GPUs are asked again.
    pub(super) ask: bool,
    /// A configuration with a new mistake is replaced by the last good one: the plan must not wait for a person.
    pub(super) insist: bool,
}

impl Planner {
    /// Makes the first plan, off the threads that serve requests: a directory service or a disk may be slow.
    pub(super) async fn start(
        config: Config,
        shown: Shown,
        memory: Memory,
        reaper: Reaper,
    ) -> Result<(Self, Plan), Failure> {
        let mut drivers = Drivers::new(reaper);
        let failed = |error| Failure::new(code::FAILED, not_planned(&error));
        let read = sys::run_on_thread(move || {
            begin(&config);
            with_questions(config)
        });
        let (config, questions) = read.await.map_err(failed)?;
        let answers = drivers.answers(questions, false).await;
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
        let good = good(&config, &plan, &facts.gpus);
        let service = config.services.into_iter().find(Service::is_command);
        let command =
            service.and_then(|service| plan.unit(&service.name).cloned().map(|unit| (service, unit)));
        let driver = fallback::driver(&facts.gpus);
        let Facts { display, ssh_port_taken, gpus, cpus, .. } = facts;
        let inputs =
            Inputs { dir: config.dir, env: config.env, command, display, ssh_port_taken, cpus, gpus: None };
        let accepted = plan.problems.clone();
        let in_use = InUse { display: plan.display.clone(), gpus: gpus.clone() };
        let mut planner = Self {
            inputs,
            accepted,
            shown,
            watch: None,
            memory,
            driver,
            drivers,
            in_use,
            found: gpus,
            next: None,
            good,
        };
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

    /// The GPUs as they were found last.
    pub(super) fn found(&self) -> &Gpus {
        &self.found
    }

    /// The PCI address of the GPU of NVIDIA's that draws by the last plan.
    pub(super) fn draws(&self) -> Option<String> {
        let InUse { display, gpus } = &self.in_use;
        display.gpu(&gpus.gpus).filter(|gpu| gpu.vendor == Vendor::Nvidia)?.pci.clone()
    }

    /// The display to which a restart of the X server leads, if that is another one than the display of the last plan.
    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// The display of the last plan in one line.
    pub(super) fn display(&self) -> String {
        self.in_use.display.summary()
    }

    /// The drivers.
    pub(super) fn drivers(&mut self) -> &mut Drivers {
        &mut self.drivers
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
    pub(super) async fn replan(&mut self, how: How) -> Result<Plan, String> {
        self.look();
        let error = match self.plan(how, None).await {
            Err(error) if how.insist => error,
            planned => return planned,
        };
        let Some(good) = self.good.clone() else { return Err(error) };
        // The drivers have been asked for the first attempt.
        let plan = self.plan(How { ask: false, ..how }, Some(good)).await?;
        tracing::error!("the last configuration without a mistake is used: {error}");
        Ok(plan)
    }

    /// Plans again, from the files or from an earlier configuration.
    async fn plan(&mut self, how: How, from: Option<Box<Config>>) -> Result<Plan, String> {
        let inputs = Box::new(self.inputs.clone());
        let keep = how.keep.then(|| self.in_use.clone());
        let dir = inputs.dir.clone();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => {
                format!("reading {} and looking at the machine: {error}", dir.display())
            }
            _ => not_planned(&error),
        };
        let read = sys::run_on_thread_within(LIMIT, move || {
            if let Some(config) = from {
                return (asked_of(config), inputs);
            }
            let problems = inputs.env.problems();
            let mut config = Config::read(inputs.dir.clone(), inputs.env.clone(), problems);
            config.services.extend(inputs.command.as_ref().map(|(service, _)| service.clone()));
            (with_questions(config), inputs)
        });
        let ((config, questions), inputs) = read.await.map_err(failed)?;
        let answers = self.drivers.answers(questions, how.ask).await;
        let made = sys::run_on_thread_within(LIMIT, move || make_again(*config, inputs, &answers, keep));
        let Again { made: Made { config, facts, plan }, found, next } = made.await.map_err(failed)?;
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
        self.good = good(&config, &plan, &facts.gpus);
        self.inputs.env = config.env;
        self.in_use = InUse { display: plan.display.clone(), gpus: facts.gpus };
        if next.is_some() && next != self.next {
            let summary = plan.display.summary();
            tracing::warn!("{}", fallback::stays(&summary, next.as_deref().unwrap_or_default()));
        }
        (self.found, self.next) = (found, next);
        Ok(plan)
    }
}

/// The configuration to keep for a plan that must not wait for a person, if there can be such a plan.
fn good(config: &Config, plan: &Plan, gpus: &Gpus) -> Option<Box<Config>> {
    let can_fail = plan.display.chosen.is_some_and(|kind| kind != Kind::Llvmpipe) || !gpus.gpus.is_empty();
    can_fail.then(|| Box::new(config.clone()))
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
