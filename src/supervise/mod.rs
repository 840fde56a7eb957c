//! The supervisor: runs units as processes. A pure core decides ([`lifecycle`]), a driver acts and reports back.

mod backoff;
mod driver;
mod guards;
pub mod lifecycle;
pub mod notify;
mod output;
mod process;
mod publisher;
mod ready;
mod request;
mod status;
#[cfg(test)]
pub(crate) mod testing;

use std::path::PathBuf;
use std::time::Instant;

use rand::RngExt;
use tokio::sync::{mpsc, oneshot, watch};

use crate::logs::Logs;
use crate::plan::Unit;
use crate::sys::reaper::Reaper;

pub(crate) use request::Command;
pub use request::{Asker, Replanned, Request, RequestError, Taken, TakenOver, Verb};
pub use status::{Change, Published, Sink, UnitChange, UnitHealth, UnitInfo, UnitState, UnitStatus};

/// Sends requests to the supervisor. Used by the stages after it. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

/// The environment of a supervisor.
pub struct Context {
    /// Starts and collects processes.
    pub reaper: Reaper,
    /// Takes the units' output.
    pub logs: Logs,
    /// The folder for the sockets of this boot.
    pub run_dir: PathBuf,
    /// When the daemon started, by the monotonic clock and in milliseconds since the Unix epoch.
    pub began: (Instant, i64),
    /// Receives every change, in order.
    pub changes: Sink,
}

/// Starts to supervise `units`. The task ends, and the watch shows `finished`, after [`Supervisor::shutdown`].
pub fn spawn(units: Vec<Unit>, context: Context) -> Supervisor {
    let (events, events_in) = mpsc::unbounded_channel();
    // A shutdown must not wait behind requests, each of which may start processes.
    let (shutdowns, shutdowns_in) = mpsc::unbounded_channel();
    let (commands, commands_in) = mpsc::channel(16);
    let (published, watch) = watch::channel(Published::default());
    let Context { reaper, logs, run_dir, began, changes } = context;
    let driver = driver::Driver {
        slots: units.iter().map(|_| driver::Slot::default()).collect(),
        core: lifecycle::Core::new(units, rand::rng().random(), began.1),
        publisher: publisher::Publisher { published, changes, logs: logs.clone() },
        reaper,
        logs,
        run_dir,
        events,
        finished: false,
        began: began.0,
    };
    tokio::spawn(driver.run(shutdowns_in, commands_in, events_in));
    Supervisor { handle: Handle::new(commands), watch, shutdowns }
}

/// The supervisor for its owner, who may stop everything.
#[derive(Clone)]
pub struct Supervisor {
    /// For all other users of the supervisor.
    pub handle: Handle,
    /// The state of all units.
    pub watch: watch::Receiver<Published>,
    shutdowns: mpsc::UnboundedSender<()>,
}

impl Supervisor {
    /// Takes over a new plan: unchanged units are not touched. A request is carried out together with the plan, so that
    /// no unit starts only to be restarted. `None` if everything is being stopped.
    pub async fn replan(&self, units: Vec<Unit>, request: Option<Request>) -> Option<TakenOver> {
        let (reply, answer) = oneshot::channel();
        self.handle.commands.send(Command::Plan(units, request, reply)).await.ok()?;
        answer.await.ok()
    }

    /// Stops everything, dependents first; a second call kills everything.
    pub fn shutdown(&self) {
        // If the driver has ended, nothing is left to stop.
        let _ = self.shutdowns.send(());
    }
}

impl Handle {
    pub(crate) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }

    /// Requests `verb` for all `names` (units or aliases): for all of them or, if one is wrong, for none. Returns the
    /// names of the units that it applies to. The answer says that the request was accepted, not that it is done: the
    /// snapshot shows that. A restart with `only` leaves out the unit in the units' `restart-with`.
    pub async fn request(
        &self,
        verb: Verb,
        names: Vec<String>,
        only: bool,
        by: Asker,
    ) -> Result<Taken, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.forward(Request { verb, names, only, by, reply }).await;
        answer.await.map_err(|_| RequestError::Stopping)?
    }

    /// Forwards a request, whose answer goes to the requester. Without an answer, everything is being stopped.
    pub async fn forward(&self, request: Request) {
        // The dropped request is the answer.
        let _ = self.commands.send(Command::Request(request)).await;
    }
}
