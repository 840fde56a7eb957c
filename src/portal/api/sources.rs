//! The sources of the answers, shared by all handlers.

use tokio::sync::{mpsc, watch};

use crate::config::own::is_own;
use crate::logs::{ACCESS_LOG, Logs, OWN_LOG};
use crate::observe::{Events, Watch};
use crate::portal::ControlRequest;
use crate::supervise::{Handle, RequestError};

use super::nearest::nearest;
use super::problem::Problem;

/// The sources of the answers. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(super) watch: Watch,
    pub(super) events: Events,
    pub(super) logs: Logs,
    pub(super) handle: watch::Receiver<Option<Handle>>,
    /// For control requests to read the configuration again.
    pub(super) control_requests: Option<mpsc::Sender<ControlRequest>>,
}

impl Api {
    /// An API that answers before the first plan exists: until `handle` has a value, changes are refused.
    pub fn new(watch: Watch, events: Events, logs: Logs, handle: watch::Receiver<Option<Handle>>) -> Self {
        Self { watch, events, logs, handle, control_requests: None }
    }

    /// The same API, for clients that may have the configuration read again.
    #[must_use]
    pub fn with_control_requests(self, control_requests: mpsc::Sender<ControlRequest>) -> Self {
        Self { control_requests: Some(control_requests), ..self }
    }

    /// The name of the log that `asked` means. Only existing logs have one, because following a log creates it.
    pub(super) fn log_name(&self, asked: &str) -> Result<String, Problem> {
        let snapshot = self.watch.borrow();
        match snapshot.unit(asked) {
            // The access log's name is also an own name of the daemon: the access log is meant if it exists.
            _ if asked == ACCESS_LOG && !self.logs.tail(ACCESS_LOG, 1).is_empty() => Ok(asked.to_owned()),
            _ if is_own(asked) => Ok(OWN_LOG.to_owned()),
            Some(unit) => Ok(unit.name.clone()),
            None => {
                Err(RequestError::Unknown { name: asked.to_owned(), nearest: nearest(&snapshot, asked) }
                    .into())
            }
        }
    }
}
