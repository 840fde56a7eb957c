//! Reloads of the configuration, by request, by signal, or because a file changed: plans again, and has the new plan
//! carried out and shown. The same happens when a display does not work, when failed displays are to be tried again, and
//! when the drivers of GPUs say something new.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::fallback::{Evidence, Failure, Fallback, Next};
use super::front::Front;
use super::loss::{Loss, News, Noticed};
use super::planner::{How, Planner};
use crate::facts::gpu::Answers;
use crate::observe::{Events, What};
use crate::plan::Plan;
use crate::plan::display::Kind;
use crate::portal::{DisplayFailure, ReloadRequest};
use crate::supervise::{Asker, Replanned, Request, Supervisor, UnitState, Verb};

pub(super) struct Reloader {
    planner: Planner,
    supervisor: Supervisor,
    front: Front,
    /// Asks for another look-up of the public address.
    look_up: Arc<Notify>,
    fallback: Fallback,
    loss: Loss,
    events: Events,
    /// Displays whose desktop did not start: the cause is elsewhere unless a desktop starts on another display.
    doubtful: Vec<(Kind, String)>,
}

impl Reloader {
    pub(super) fn new(
        planner: Planner,
        supervisor: Supervisor,
        front: Front,
        look_up: Arc<Notify>,
        fallback: Fallback,
        loss: Loss,
        events: Events,
    ) -> Self {
        let doubtful = Vec::new();
        let mut reloader = Self { planner, supervisor, front, look_up, fallback, loss, events, doubtful };
        reloader.watch_gpus();
        // A driver that starts a GPU can need more time than the start of the desktop has for it.
        if reloader.planner.drivers().are_late() && !reloader.planner.found().gpus.is_empty() {
            reloader.ask_drivers();
        }
        reloader
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
                noticed = self.loss.next() => match noticed {
                    Noticed::News(news) => self.show_lost(news),
                    Noticed::Answers(answers) => self.answered(*answers).await,
                },
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
        // A restart ends the desktop in any case, so the best display is chosen by what the drivers say now.
        let how = How { keep: !again && self.fallback.is_up(), ask: again, insist: false };
        let result = match self.planner.replan(how).await {
            Ok(plan) => {
                if again {
                    self.judge_gpus();
                }
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

    async fn apply(&mut self, plan: &Plan, request: Option<Request>) -> Result<Replanned, String> {
        let units = plan.units.clone();
        let taken = self.supervisor.replan(units, request).await.ok_or("everything is being stopped")?;
        self.fallback.watch(plan, taken.after);
        self.watch_gpus();
        self.front.show_plan(plan, self.planner.failed(), self.planner.next());
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
        // The cause may be a GPU that was lost, which the drivers know.
        let plan = match self.planner.replan(How { keep: false, ask: true, insist: true }).await {
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
        self.judge_gpus();
        let given_up = self.given_up(&failure);
        match self.apply(&plan, given_up).await {
            Ok(changes) => {
                tracing::warn!("display: {reason}; the display is now {}", plan.display.summary());
                tracing::info!("the display changed: {changes}");
                self.announce(&plan, &reason);
                if !self.loss.sentences().is_empty() {
                    // The display may work again when the GPU does.
                } else if failure.of_desktop {
                    self.doubtful.push((kind, reason));
                } else {
                    self.planner.remember(kind, reason);
                }
            }
            Err(error) => tracing::debug!("display: {reason}; {error}"),
        }
    }

    /// The drivers of GPUs have answered again.
    async fn answered(&mut self, answers: Answers) {
        self.planner.drivers().take(answers);
        let before = self.planner.display();
        let how = How { keep: self.fallback.is_up(), ask: false, insist: true };
        let mut plan = match self.planner.replan(how).await {
            Ok(plan) => plan,
            Err(error) => {
                return tracing::warn!("the drivers have answered, but nothing was changed: {error}");
            }
        };
        self.judge_gpus();
        let frozen = self.planner.draws().filter(|_| plan.display.chosen == Some(Kind::Xorg));
        let frozen = frozen.and_then(|address| self.loss.dead(&address));
        if let Some(reason) = &frozen {
            self.planner.exclude(Kind::Xorg, reason.clone());
            match self.planner.replan(How { keep: false, ..how }).await {
                Ok(next) if next.display.chosen.is_some() => plan = next,
                Ok(_) | Err(_) => self.planner.readmit(Kind::Xorg),
            }
        }
        if self.apply(&plan, None).await.is_ok() && plan.display.summary() != before {
            let reason = frozen.unwrap_or_else(|| "the GPU's driver has answered".to_owned());
            tracing::warn!("display: {reason}; the display is now {}", plan.display.summary());
            self.announce(&plan, &reason);
        }
    }

    /// Judges the GPUs by the answers of the drivers that the last plan was made from.
    fn judge_gpus(&mut self) {
        let answers = self.planner.drivers().last().clone();
        let news = self.loss.answered(self.planner.found(), &answers);
        self.show_lost(news);
    }

    /// Shows what is lost, and has the drivers asked if they may know more.
    fn show_lost(&mut self, news: News) {
        let now = jiff::Timestamp::now().as_millisecond();
        if let Some(told) = news.told {
            tracing::info!("{told}");
        }
        for (gpu, reason) in news.lost {
            tracing::error!("{reason}");
            self.events.record(now, What::Gpu { gpu, lost: true, reason });
        }
        for gpu in news.back {
            tracing::info!("{gpu} can be used again");
            self.events.record(now, What::Gpu { gpu, lost: false, reason: String::new() });
        }
        self.front.show_lost(self.loss.sentences());
        if news.ask {
            self.ask_drivers();
        }
    }

    fn ask_drivers(&mut self) {
        self.loss.ask(self.planner.drivers().asked());
    }

    /// Watches the GPUs of the last plan.
    fn watch_gpus(&mut self) {
        let draws = self.planner.draws();
        let (found, questions) = (self.planner.found().clone(), self.planner.drivers().asked().clone());
        self.loss.watch(&found, draws, &questions);
        self.front.show_gpus(&found, &questions);
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
