//! What `desktopd doctor` looks at before it judges.

use std::path::Path;
use std::time::Duration;

use crate::cli::client::Client;
use crate::cli::{planned, runs};
use crate::config::Config;
use crate::facts::Facts;
use crate::facts::gpu::{Gpus, ask};
use crate::facts::resources::Resources;
use crate::plan::Plan;
use crate::plan::display::{Asked, Kind};

use super::desktop::Daemon;

/// How long the daemon may take for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What was found without the daemon.
pub struct Found {
    pub(super) config: Config,
    pub(super) facts: Facts,
    pub(super) plan: Plan,
    /// With what was drawn, unlike those of the facts.
    pub(super) gpus: Gpus,
    pub(super) resources: Resources,
}

impl Found {
    /// Looks at this machine, and plans as `desktopd plan` does.
    pub fn look(config: Config) -> Self {
        let root = Path::new("/");
        let questions = ask::Questions::of(&config, root, true);
        let mut answers = ask::ask_now(&questions);
        let gpus = Gpus::here(&config, &answers);
        if questions != ask::Questions::of(&config, root, false) {
            // The daemon's plan knows no drawing on a machine without a GPU's node.
            answers.rendered = None;
        }
        let (facts, plan) = planned(&config, root, &answers);
        let resources = Resources::look(gpus.container.shm, &facts.workspace.path);
        Self { config, facts, plan, gpus, resources }
    }

    /// The kind of display that variables ask for.
    pub(super) fn wanted(&self) -> Option<Kind> {
        let asked = Asked::of(&self.config);
        asked.kind.or((asked.count == Some(0)).then_some(Kind::Llvmpipe))
    }
}

/// Asks the daemon for its state.
pub(super) async fn ask_daemon(client: &Client, config: &Config) -> Daemon {
    match tokio::time::timeout(PATIENCE, client.status()).await {
        Ok(Ok(snapshot)) => Daemon::Answers(Box::new(snapshot)),
        Ok(Err(failure)) if failure.for_root => Daemon::Denied(failure.message),
        Ok(Err(failure)) if runs(config) => Daemon::Silent(failure.message),
        Ok(Err(failure)) => Daemon::Absent(failure.message),
        Err(_) => Daemon::Silent(format!("the daemon does not answer within {PATIENCE:?}")),
    }
}
