//! The environment as users see it. It is made anew with each plan.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Environment;
use crate::logs::Logs;
use crate::portal::Rows;

/// Receives an environment: its variables are shown, and its secrets are hidden in the logs.
pub(super) struct Shown {
    logs: Logs,
    rows: watch::Sender<Rows>,
}

impl Shown {
    /// Shows `env` from now on to the readers of the receiver.
    pub(super) fn new(env: &Environment, logs: Logs) -> (Self, watch::Receiver<Rows>) {
        let (rows, seen) = watch::channel(Rows::default());
        let shown = Self { logs, rows };
        shown.take(env);
        (shown, seen)
    }

    /// Replaces the environment.
    pub(super) fn take(&self, env: &Environment) {
        self.logs.hide(env.secrets());
        self.rows.send_replace(Arc::new(env.rows()));
    }
}
