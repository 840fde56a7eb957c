//! The configuration, read again: by request, by signal, or because a file changed.
//!
//! A new plan with a mistake that the old one did not have is refused as a whole: a typo must not take down what
//! runs. The machine is looked at again, too, so that a program that was installed meanwhile is found.

use std::path::PathBuf;

use crate::config::watch::Watch;
use crate::config::{Config, Environment, Problem};
use crate::facts::{DisplayFacts, Facts};
use crate::plan::{Fate, Plan};

pub(super) struct Reloader {
    dir: PathBuf,
    env: Environment,
    /// What was wrong with the environment, which stays as it was.
    env_problems: Vec<Problem>,
    /// The display was decided on before our own X server ran; it must not be in its own way.
    display: DisplayFacts,
    /// The mistakes that we live with.
    accepted: Vec<Problem>,
    watch: Option<Watch>,
}

impl Reloader {
    /// Remembers what the first plan was made of, and watches for changes.
    pub(super) fn new(config: &Config, facts: &Facts, plan: &Plan) -> Self {
        let in_files = |problem: &&Problem| problem.place.starts_with(&*config.dir.to_string_lossy());
        let mut reloader = Self {
            dir: config.dir.clone(),
            env: config.env.clone(),
            env_problems: config.problems.iter().filter(|problem| !in_files(problem)).cloned().collect(),
            display: facts.display.clone(),
            accepted: plan.problems.clone(),
            watch: None,
        };
        reloader.look();
        reloader
    }

    /// Watches from now on. Folders come and go, so it is set up anew after each reload.
    fn look(&mut self) {
        self.watch = match Watch::new(&self.dir) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(
                    "changes of the configuration will not be noticed: {error}; `desktopd reload` works"
                );
                None
            }
        };
    }

    /// Waits until somebody changed a file.
    pub(super) async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Plans again. The error says what is wrong with the new files.
    pub(super) async fn plan(&mut self) -> Result<Plan, String> {
        self.look();
        let (dir, env, problems) = (self.dir.clone(), self.env.clone(), self.env_problems.clone());
        let display = self.display.clone();
        let made = tokio::task::spawn_blocking(move || {
            let config = Config::read(dir, env, problems);
            let facts = Facts { display, ..Facts::probe(&config) };
            Plan::build(&config, &facts)
        });
        let plan = made.await.map_err(|error| format!("planning: {error}"))?;
        let new: Vec<String> = plan
            .problems
            .iter()
            .filter(|problem| !self.accepted.contains(problem))
            .map(ToString::to_string)
            .collect();
        if !new.is_empty() {
            return Err(new.join("; "));
        }
        self.accepted.clone_from(&plan.problems);
        for unit in &plan.units {
            if let Fate::Skip(reason) = &unit.fate {
                tracing::debug!("{} is skipped: {reason}", unit.name);
            }
        }
        Ok(plan)
    }
}
