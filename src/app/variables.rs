//! What people see of the environment: it is made anew with each plan.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Environment;
use crate::logs::Logs;
use crate::portal::Rows;

/// Where an environment is shown, and where its secrets are not.
pub(super) struct Shown {
    logs: Logs,
    rows: watch::Sender<Rows>,
}

impl Shown {
    /// Shows `env` from now on, to whoever asks the receiver.
    pub(super) fn new(env: &Environment, logs: Logs) -> (Self, watch::Receiver<Rows>) {
        let (rows, seen) = watch::channel(Rows::default());
        let shown = Self { logs, rows };
        shown.take(env);
        (shown, seen)
    }

    /// The logs that hide its secrets.
    pub(super) fn logs(&self) -> Logs {
        self.logs.clone()
    }

    /// Takes over another one.
    pub(super) fn take(&self, env: &Environment) {
        self.logs.hide(env.secrets());
        self.rows.send_replace(Arc::new(env.rows()));
    }
}
