//! The chain of displays while the daemon runs: an X server that does not work excludes its kind of display, and the
//! next plan takes the next kind.
//!
//! `chain` decides, from the events of units alone; `words` has the sentences for people; `memory` keeps what failed
//! over a restart of the container. This file waits for the next decision, and adds the last lines of the log to it.
//! What follows from a decision is a plan with other inputs, which `reload.rs` makes.
//!
//! Each exclusion removes one kind, and the last kind is never excluded, so the chain ends.

mod chain;
mod memory;
mod words;

use std::time::Duration;

use tokio::time::Instant;

use crate::logs::Logs;
use crate::observe::Events;
use crate::observe::events::{Followed, Follower};
use crate::plan::Plan;

pub(super) use chain::Failure;
use chain::{Chain, Verdict, Watched};
pub(super) use memory::{Memory, driver};
pub(super) use words::{leads_to, shortcomings, shown, stays};

/// How long to wait after a failure: the last lines may still be in a pipe.
const LAST_LINES: Duration = Duration::from_millis(100);

/// How many lines of the log are searched for the error.
const LINES: usize = 60;

/// How many of these lines people see.
const SHOWN: usize = 20;

/// How many characters of each.
const LONGEST: usize = 300;

/// Watches the X server and the desktop.
pub(super) struct Fallback {
    chain: Chain,
    follower: Follower,
    logs: Logs,
    /// A failure whose last lines are waited for.
    failure: Option<(Failure, Instant)>,
}

/// A decision.
#[derive(Debug)]
pub(super) enum Next {
    /// The display does not work.
    Excluded(Failure, Evidence),
    /// The desktop has come up, so the display works.
    Works,
}

/// What is known about a failure.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Why the display does not work, in one sentence.
    pub(super) reason: String,
    /// The last lines of the log of the failed run.
    pub(super) lines: Vec<String>,
}

impl Fallback {
    /// Watches from the first event on.
    pub(super) fn new(events: &Events, logs: Logs, plan: &Plan) -> Self {
        let mut chain = Chain::default();
        chain.watch(Watched::of(plan), 0);
        Self { chain, follower: events.follow(Some(0)), logs, failure: None }
    }

    /// From now on, a plan that was taken over after event number `after`.
    pub(super) fn watch(&mut self, plan: &Plan, after: u64) {
        self.chain.watch(Watched::of(plan), after);
    }

    /// The chain begins again with the first kind.
    pub(super) fn begin_again(&mut self) {
        self.failure = None;
        self.chain.begin_again();
    }

    /// Whether the desktop is up, so that people may have programs open in it.
    pub(super) fn is_up(&self) -> bool {
        self.chain.is_up()
    }

    /// Waits for the next decision. Cancel-safe.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            let due = self.failure.as_ref().map(|(_, due)| *due);
            tokio::select! {
                followed = self.follower.next() => match followed {
                    Some(Followed::Event(event)) => match self.chain.take(&event) {
                        Some(Verdict::Failed(failure)) => {
                            self.failure = Some((failure, Instant::now() + LAST_LINES));
                        }
                        Some(Verdict::Works) => return Next::Works,
                        None => {}
                    },
                    Some(Followed::Lost(_)) => {}
                    None => return std::future::pending().await,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if let Some((failure, _)) = self.failure.take().filter(|_| !self.chain.is_over()) {
                        let evidence = self.evidence(&failure);
                        return Next::Excluded(failure, evidence);
                    }
                }
            }
        }
    }

    fn evidence(&self, failure: &Failure) -> Evidence {
        let lines = self.logs.tail(&failure.unit, LINES);
        let of_run = lines.iter().filter(|line| line.at >= failure.began).map(|line| &*line.text);
        let of_run: Vec<&str> = of_run.collect();
        let shown = of_run[of_run.len().saturating_sub(SHOWN)..].iter();
        let cut = |line: &&str| self.logs.mask(line).chars().take(LONGEST).collect();
        Evidence {
            reason: self.logs.mask(&words::sentence(failure, &of_run)),
            lines: shown.map(cut).collect(),
        }
    }
}
