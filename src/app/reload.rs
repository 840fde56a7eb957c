//! Reloads of the configuration, by request, by signal, or because a file changed: plans again, and has the new plan
//! carried out and shown. The same happens when a display does not work, and when failed displays are to be tried again.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::fallback::{Evidence, Failure, Fallback, Next};
use super::front::Front;
use super::planner::Planner;
use crate::observe::{Events, What};
use crate::plan::Plan;
use crate::plan::display::Kind;
use crate::portal::{DisplayFailure, ReloadRequest};
use crate::supervise::{Asker, Replanned, Request, Supervisor, UnitState, Verb};
use crate::sys::nodes::NodeWatch;

pub(super) struct Reloader {
    planner: Planner,
    supervisor: Supervisor,
    front: Front,
    /// Asks for another look-up of the public address.
    look_up: Arc<Notify>,
    fallback: Fallback,
    events: Events,
    /// The device nodes of the GPUs.
    nodes: Option<NodeWatch>,
    /// Displays whose desktop did not start: the cause is elsewhere unless a desktop starts on another display.
    doubtful: Vec<(Kind, String)>,
    /// The display of the plan that is carried out.
    kind: Option<Kind>,
}

impl Reloader {
    pub(super) fn new(
        planner: Planner,
        supervisor: Supervisor,
        front: Front,
        look_up: Arc<Notify>,
        fallback: Fallback,
        events: Events,
        kind: Option<Kind>,
    ) -> Self {
        let nodes = planner.nodes();
        // Without a GPU there is nothing to watch.
        let watch = (!nodes.is_empty()).then(|| NodeWatch::new(nodes));
        let nodes = watch.and_then(|watch| {
            watch.inspect_err(|error| tracing::warn!("a GPU that vanishes may go unnoticed: {error}")).ok()
        });
        Self { planner, supervisor, front, look_up, fallback, events, nodes, doubtful: Vec::new(), kind }
    }

    /// Plans on request, when a file changed and when a display failed, one plan after the other. This is a task of its
    /// own: the task that receives the stop signal must not wait for a dead disk.
    pub(super) async fn run(mut self, mut requests: mpsc::UnboundedReceiver<ReloadRequest>) {
        loop {
            tokio::select! {
                Some(request) = requests.recv() => self.reload(request).await,
                () = self.planner.changed() => {
                    let why = "the configuration changed";
                    self.reload(ReloadRequest { why, restart: None, reply: None }).await;
                }
                Ok(()) = self.front.certificate.changed() => self.front.show_problems(),
                vanished = NodeWatch::changed_in(&mut self.nodes) => self.front.show_vanished(&vanished),
                next = self.fallback.next() => match next {
                    Next::Excluded(failure, evidence) => self.fall_back(failure, evidence).await,
                    Next::Works => self.confirm(),
                },
            }
        }
    }

    /// Applies the changes of the configuration. A configuration with a mistake changes nothing; a requested restart is
    /// carried out all the same.
    async fn reload(&mut self, ReloadRequest { why, restart, reply }: ReloadRequest) {
        if restart.is_some() {
            self.planner.readmit_all();
            self.front.forget_failures();
            self.fallback.begin_again();
            self.doubtful.clear();
        }
        let again = restart.is_some();
        let result = match self.replan(again).await {
            Ok(plan) => {
                let applied = self.apply(&plan, restart).await;
                if again && applied.is_ok() {
                    self.announce(&plan, why);
                }
                applied
            }
            Err(error) => {
                if let Some(restart) = restart {
                    self.supervisor.handle.forward(restart).await;
                }
                Err(error)
            }
        };
        match &result {
            Ok(changes) if *changes == Replanned::default() => tracing::debug!("{why}: {changes}"),
            Ok(changes) => tracing::info!("{why}: {changes}"),
            Err(error) => tracing::error!("{why}, but nothing was changed: {error}"),
        }
        if let Some(reply) = reply {
            // The requester may have disconnected.
            let _ = reply.send(result);
        }
    }

    /// Plans again. What was brought of NVIDIA's driver while the desktop runs may make a better display possible: the
    /// desktop keeps its display then, and with it people keep their open programs, until a person asks for a restart.
    async fn replan(&mut self, asked: bool) -> Result<Plan, String> {
        let before = self.planner.brought();
        let mut plan = self.planner.replan().await?;
        let brought = self.planner.brought().filter(|_| self.planner.brought() != before);
        let Some(version) = brought.filter(|_| !asked && self.server_has_started()) else { return Ok(plan) };
        let mut held = Vec::new();
        while let Some(kind) = plan.display.chosen.filter(|kind| self.kind.is_some_and(|old| *kind < old)) {
            let reason = format!(
                "NVIDIA's driver {version} was brought after the desktop had started; `desktopd restart x-server` moves \
                 the desktop to the GPU"
            );
            tracing::info!("display: {} is possible now: {reason}", plan.display.summary());
            self.planner.exclude(kind, reason.clone());
            held.push((kind, reason));
            plan = self.planner.replan().await?;
        }
        if let Some((_, reason)) = held.first() {
            self.announce(&plan, reason);
        }
        Ok(plan)
    }

    /// Whether the X server was started, and programs may be open on it.
    fn server_has_started(&self) -> bool {
        let states = self.supervisor.watch.borrow();
        states
            .units
            .iter()
            .any(|unit| unit.is_x_server() && [UnitState::Starting, UnitState::Ready].contains(&unit.state))
    }

    async fn apply(&mut self, plan: &Plan, request: Option<Request>) -> Result<Replanned, String> {
        let units = plan.units.clone();
        let taken = self.supervisor.replan(units, request).await.ok_or("everything is being stopped")?;
        self.kind = plan.display.chosen;
        self.fallback.watch(plan, taken.after);
        self.front.show_plan(plan, self.planner.failed());
        self.front.set_routes(plan).await;
        self.look_up.notify_one();
        Ok(taken.changes)
    }

    /// A display does not work: takes the next one.
    async fn fall_back(&mut self, failure: Failure, Evidence { reason, lines }: Evidence) {
        let kind = failure.kind;
        let at = jiff::Timestamp::now().as_millisecond();
        let unit = failure.unit.clone();
        self.front.show_failure(DisplayFailure { at, kind, unit, reason: reason.clone(), lines });
        self.planner.exclude(kind, reason.clone());
        let plan = match self.planner.replan().await {
            Ok(plan) if plan.display.chosen.is_some() => plan,
            Ok(_) => {
                // A display that fails is better than none.
                self.planner.readmit(kind);
                return tracing::error!("display: {reason}; no other display is possible");
            }
            Err(error) => {
                return tracing::error!("display: {reason}; no other display was chosen: {error}");
            }
        };
        let given_up = self.given_up(&failure);
        match self.apply(&plan, given_up).await {
            Ok(changes) => {
                tracing::warn!("display: {reason}; the display is now {}", plan.display.summary());
                tracing::info!("the display changed: {changes}");
                self.announce(&plan, &reason);
                if failure.of_desktop {
                    self.doubtful.push((kind, reason));
                } else {
                    self.planner.remember(kind, reason);
                }
            }
            Err(error) => tracing::debug!("display: {reason}; {error}"),
        }
    }

    /// A request to start the unit of a failure again, if it was given up: the next plan may not change it.
    fn given_up(&self, failure: &Failure) -> Option<Request> {
        let states = self.supervisor.watch.borrow();
        let unit = states.units.iter().find(|unit| unit.name == failure.unit)?;
        let (reply, _) = oneshot::channel();
        (unit.state == UnitState::Failed).then(|| Request {
            verb: Verb::Start,
            names: vec![failure.unit.clone()],
            only: false,
            by: Asker::default(),
            reply,
        })
    }

    /// A desktop has come up on this display, so the others were the cause of their failures.
    fn confirm(&mut self) {
        for (kind, reason) in self.doubtful.drain(..) {
            self.planner.remember(kind, reason);
        }
    }

    /// Records that a display was chosen.
    fn announce(&self, plan: &Plan, reason: &str) {
        let what = What::Display { display: plan.display.summary(), reason: reason.to_owned() };
        self.events.record(jiff::Timestamp::now().as_millisecond(), what);
    }
}
