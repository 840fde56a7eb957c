//! The sources of the answers, shared by all handlers.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::config::env::Row;
use crate::config::own::is_own;
use crate::logs::{ACCESS_LOG, Logs, OWN_LOG};
use crate::observe::{Events, Looks, Machine, Watch};
use crate::plan::X_SERVER;
use crate::portal::credentials::Login;
use crate::portal::display_state::{DisplayState, Displays};
use crate::portal::reload_request::{ReloadRequest, Reloads};
use crate::portal::screenshot::Screenshots;
use crate::portal::terminal::Terminals;
use crate::supervise::{Asker, Handle, Replanned, Request, RequestError, Taken, Verb};

use super::problem::Problem;

/// How many streams and downloads of logs there may be.
pub(super) const MOST_VIEWERS: usize = 32;

/// All variables, as of the last plan.
pub type Rows = Arc<Vec<Row>>;

/// The sources of the answers. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(super) watch: Watch,
    pub(super) events: Events,
    pub(super) logs: Logs,
    /// The permits for streams of logs.
    pub(super) viewers: Arc<Semaphore>,
    pub(super) handle: watch::Receiver<Option<Handle>>,
    /// Told of each request for the state.
    pub(super) looks: Looks,
    /// The figures of the machine.
    pub(super) machine: Machine,
    /// For requests to read the configuration again.
    reloads: Option<Reloads>,
    /// All about the display.
    pub(super) displays: Option<Displays>,
    /// Pictures of the desktop.
    pub(super) screenshots: Option<Screenshots>,
    /// Shells in the browser.
    pub(in crate::portal) terminals: Option<Terminals>,
    /// The variables, masked.
    variables: Option<watch::Receiver<Rows>>,
    /// Who is logged in, and with which credentials.
    login: Option<Login>,
}

impl Api {
    /// An API that answers before the first plan exists: until `handle` has a value, changes are refused.
    pub fn new(watch: Watch, events: Events, logs: Logs, handle: watch::Receiver<Option<Handle>>) -> Self {
        let (looks, machine) = (Looks::default(), Machine::new(watch.clone()));
        let viewers = Arc::new(Semaphore::new(MOST_VIEWERS));
        Self {
            watch,
            events,
            logs,
            viewers,
            handle,
            looks,
            machine,
            reloads: None,
            displays: None,
            screenshots: None,
            terminals: None,
            variables: None,
            login: None,
        }
    }

    /// The same API, for clients that may have the configuration read again.
    #[must_use]
    pub fn with_reloads(self, reloads: Reloads) -> Self {
        Self { reloads: Some(reloads), ..self }
    }

    /// The same API, which also answers about the display.
    #[must_use]
    pub fn with_displays(self, displays: Displays) -> Self {
        Self { displays: Some(displays), ..self }
    }

    /// The same API, which also has pictures of the desktop.
    #[must_use]
    pub fn with_screenshots(self, screenshots: Screenshots) -> Self {
        Self { screenshots: Some(screenshots), ..self }
    }

    /// The same API, which also has terminals.
    #[must_use]
    pub fn with_terminals(self, terminals: Terminals) -> Self {
        Self { terminals: Some(terminals), ..self }
    }

    /// The same API, which tells of each request for the state.
    #[must_use]
    pub fn with_looks(self, looks: Looks) -> Self {
        Self { looks, ..self }
    }

    /// The same API, which also has the variables. Secrets are masked before they get here.
    #[must_use]
    pub fn with_variables(self, variables: watch::Receiver<Rows>) -> Self {
        Self { variables: Some(variables), ..self }
    }

    /// The same API, which also answers who is logged in.
    #[must_use]
    pub fn with_login(self, login: Login) -> Self {
        Self { login: Some(login), ..self }
    }

    /// The variables, as of the last plan.
    pub(in crate::portal) fn variables(&self) -> Rows {
        self.variables.as_ref().map(|rows| Arc::clone(&rows.borrow())).unwrap_or_default()
    }

    /// Who is logged in, and with which credentials.
    pub(in crate::portal) fn login(&self) -> Result<&Login, Problem> {
        let text = "this API knows nothing about logins";
        self.login.as_ref().ok_or_else(|| Problem(StatusCode::NOT_FOUND, text.to_owned()))
    }

    /// The events.
    pub(in crate::portal) fn events(&self) -> &Events {
        &self.events
    }

    /// All about the display; `None` before the first plan.
    pub(in crate::portal) fn display(&self) -> Option<Arc<DisplayState>> {
        self.displays.as_ref().and_then(|displays| displays.borrow().clone())
    }

    /// The logs.
    pub(in crate::portal) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The figures of the machine.
    pub(in crate::portal) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The same API, with these figures of the machine: all clients share one sampler.
    #[must_use]
    pub fn with_machine(self, machine: Machine) -> Self {
        Self { machine, ..self }
    }

    /// Has the configuration read again, and returns the changes.
    pub(in crate::portal) async fn reload(&self, why: &'static str) -> Result<Replanned, Problem> {
        let (reply, answer) = oneshot::channel();
        // If the request does not reach the daemon's task, no answer comes.
        let request = ReloadRequest { why, restart: None, reply: Some(reply) };
        let _ = self.reloads.as_ref().map(|reloads| reloads.send(request));
        match answer.await {
            Ok(changes) => changes.map_err(|error| Problem(StatusCode::UNPROCESSABLE_ENTITY, error)),
            Err(_) => Err(RequestError::Stopping.into()),
        }
    }

    /// Carries out a request of a user. A restart of the X server also has the displays tried again that failed.
    pub(super) async fn request(
        &self,
        handle: &Handle,
        verb: Verb,
        mut names: Vec<String>,
        only: bool,
        by: Asker,
    ) -> Result<Taken, RequestError> {
        let snapshot = Arc::clone(&self.watch.borrow());
        let mut servers: Vec<&mut String> =
            names.iter_mut().filter(|name| snapshot.tries_displays_again(name)).collect();
        let again = verb == Verb::Restart && !servers.is_empty();
        let Some(reloads) = self.reloads.as_ref().filter(|_| again) else {
            return handle.request(verb, names, only, by).await;
        };
        for name in &mut servers {
            // Under the next plan, another unit may be the X server.
            X_SERVER.clone_into(name);
        }
        let (reply, answer) = oneshot::channel();
        let why = "a restart of the X server was requested";
        let restart = Some(Request { verb, names, only, by, reply });
        // If the request does not reach the daemon's task, no answer comes.
        let _ = reloads.send(ReloadRequest { why, restart, reply: None });
        answer.await.map_err(|_| RequestError::Stopping)?
    }

    /// The error for a name that no unit has.
    pub(super) fn unknown(&self, asked: &str) -> Problem {
        let nearest = self.watch.borrow().nearest(asked).map(str::to_owned);
        RequestError::Unknown { name: asked.to_owned(), nearest }.into()
    }

    /// The name of the log that `asked` means. Only services and existing logs have one.
    pub(in crate::portal) fn log_name(&self, asked: &str) -> Result<String, Problem> {
        let snapshot = Arc::clone(&self.watch.borrow());
        match snapshot.unit(asked) {
            // The access log's name is also an own name of the daemon: the access log is meant if it exists.
            _ if asked == ACCESS_LOG && !self.logs.tail(ACCESS_LOG, 1).is_empty() => Ok(asked.to_owned()),
            _ if is_own(asked) => Ok(OWN_LOG.to_owned()),
            Some(unit) => Ok(unit.name.clone()),
            None => Err(self.unknown(asked)),
        }
    }
}
