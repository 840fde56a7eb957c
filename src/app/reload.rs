//! Reloads of the configuration, by request, by signal, or because a file changed: plans again, and has the new plan
//! carried out and shown.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use super::front::Front;
use super::planner::Planner;
use crate::plan::Plan;
use crate::portal::ReloadRequest;
use crate::supervise::{Replanned, Supervisor};

pub(super) struct Reloader {
    pub(super) planner: Planner,
    pub(super) supervisor: Supervisor,
    pub(super) front: Front,
    /// Asks for another look-up of the public address.
    pub(super) look_up: Arc<Notify>,
}

impl Reloader {
    /// Plans on request and when a file changed, one plan after the other. This is a task of its own: the task that
    /// receives the stop signal must not wait for a dead disk.
    pub(super) async fn run(mut self, mut requests: mpsc::UnboundedReceiver<ReloadRequest>) {
        loop {
            tokio::select! {
                Some(request) = requests.recv() => self.reload(request).await,
                () = self.planner.changed() => {
                    self.reload(ReloadRequest { why: "the configuration changed", reply: None }).await;
                }
                Ok(()) = self.front.certificate.changed() => self.front.show_problems(),
            }
        }
    }

    /// Applies the changes of the configuration. A configuration with a mistake changes nothing.
    async fn reload(&mut self, ReloadRequest { why, reply }: ReloadRequest) {
        let result = match self.planner.replan().await {
            Ok(plan) => self.apply(plan).await,
            Err(error) => Err(error),
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

    async fn apply(&mut self, plan: Plan) -> Result<Replanned, String> {
        let changes =
            self.supervisor.replan(plan.units.clone()).await.ok_or("everything is being stopped")?;
        self.front.show_plan(&plan);
        self.front.set_routes(&plan).await;
        self.look_up.notify_one();
        Ok(changes)
    }
}
