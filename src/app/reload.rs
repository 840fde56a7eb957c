//! Reloads of the configuration: by request, by signal, or because a file changed.
//!
//! A new plan with a mistake that the old plan did not have is refused as a whole: a typo must not stop running
//! services. The machine is probed again as well, so that a program that was installed meanwhile is found.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::watch::Watch;
use crate::config::{Config, Environment, Problem, Service};
use crate::facts::{DisplayFacts, Facts};
use crate::plan::{Disposition, Plan, Unit};
use crate::supervise::Replanned;
use crate::sys;

use super::portal_file;
use super::variables::Shown;

/// How long reading and planning may take: a hanging read, on a dead volume for example, must not block later requests.
const LIMIT: Duration = Duration::from_secs(30);

/// The number of readings that have not ended.
static LATE: AtomicUsize = AtomicUsize::new(0);

/// Where to report the result of a reload.
pub(super) type Reply = oneshot::Sender<Result<Replanned, String>>;

/// A request to read the configuration again: the reason, and where to report the result.
pub(super) type ReloadRequest = (&'static str, Option<Reply>);

/// The result of reading the configuration and planning again.
pub(super) struct PlanResult {
    /// The request that caused it.
    pub(super) request: ReloadRequest,
    /// The new plan, or what is wrong with the files.
    pub(super) plan: Result<Plan, String>,
}

/// The message for a plan that could not even be started.
pub(super) fn not_planned(error: &std::io::Error) -> String {
    format!("planning: starting a thread: {error}")
}

pub(super) struct Reloader {
    dir: PathBuf,
    env: Environment,
    /// The command of `desktopd run`. It is in no file, so it stays as it was planned first.
    command: Option<(Service, Unit)>,
    /// The facts about the display from before our own X server ran, which must not count as a foreign one.
    display: DisplayFacts,
    /// The same for the SSH server's port, on which our own server may listen now.
    ssh_port_taken: bool,
    /// The mistakes that earlier plans had already.
    accepted: Vec<Problem>,
    watch: Option<Watch>,
    shown: Shown,
}

impl Reloader {
    /// Remembers the inputs of the first plan, and watches for changes.
    pub(super) fn new(config: &Config, facts: &Facts, plan: &Plan, shown: Shown) -> Self {
        let mut reloader = Self {
            dir: config.dir.clone(),
            env: config.env.clone(),
            command: command(config, plan),
            display: facts.display.clone(),
            ssh_port_taken: facts.ssh_port_taken,
            accepted: plan.problems.clone(),
            watch: None,
            shown,
        };
        reloader.look();
        reloader
    }

    /// Watches from now on. Folders are created and removed, so each reload looks for them again.
    fn look(&mut self) {
        let watched = match &mut self.watch {
            Some(watch) => watch.look(),
            None => Watch::new(&self.dir).map(|watch| self.watch = Some(watch)),
        };
        if let Err(error) = watched {
            tracing::warn!("changes of the configuration may go unnoticed: {error}; `desktopd reload` works");
        }
    }

    /// Reads on request and when a file changed, one reading after the other. This is a task of its own: the task that
    /// collects processes and receives the stop signal must not wait for a dead disk.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<ReloadRequest>,
        results: mpsc::Sender<PlanResult>,
    ) {
        loop {
            let request = tokio::select! {
                Some(request) = requests.recv() => request,
                () = self.changed() => ("the configuration changed", None),
            };
            let plan = self.plan().await;
            if results.send(PlanResult { request, plan }).await.is_err() {
                return;
            }
        }
    }

    /// Waits until a file was changed.
    async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Plans again. The error describes the mistakes in the new files.
    async fn plan(&mut self) -> Result<Plan, String> {
        self.look();
        let (dir, env) = (self.dir.clone(), self.env.clone());
        let (display, command) = (self.display.clone(), self.command.clone());
        let ssh_port_taken = self.ssh_port_taken;
        let (plan, env) = sys::run_on_thread_within(LIMIT, &LATE, move || {
            let problems = env.problems();
            let mut config = Config::read(dir, env, problems).with_files();
            config.services.extend(command.as_ref().map(|(service, _)| service.clone()));
            // Scripts remove or empty the file to have it made anew.
            portal_file::make(&config);
            let facts = Facts { display, ssh_port_taken, ..Facts::probe(&config) };
            let mut plan = Plan::build(&config, &facts);
            for unit in &mut plan.units {
                if let Some((_, kept)) = command.as_ref().filter(|(_, kept)| kept.name == unit.name) {
                    unit.clone_from(kept);
                }
            }
            (plan, config.env)
        })
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => {
                format!("reading {} and looking at the machine: {error}", self.dir.display())
            }
            _ => not_planned(&error),
        })?;
        let new = plan.problems.iter().filter(|problem| !self.accepted.contains(problem));
        // A wrong variable only gets its default, as at the start.
        let of_env = env.problems();
        let (bad, new): (Vec<_>, Vec<_>) = new.partition(|problem| of_env.contains(problem));
        let new: Vec<String> = new.into_iter().map(ToString::to_string).collect();
        if !new.is_empty() {
            return Err(new.join("; "));
        }
        for problem in bad {
            tracing::warn!("{problem}");
        }
        self.accepted.clone_from(&plan.problems);
        self.shown.take(&env);
        self.env = env;
        for unit in &plan.units {
            if let Disposition::Skip(reason) = &unit.disposition {
                tracing::debug!("{} is skipped: {reason}", unit.name);
            }
        }
        Ok(plan)
    }
}

/// The command of `desktopd run`, if there is one.
fn command(config: &Config, plan: &Plan) -> Option<(Service, Unit)> {
    let service = config.services.iter().find(|service| service.is_command())?;
    Some((service.clone(), plan.unit(&service.name)?.clone()))
}
