//! Reports to the supervisor about one run of one unit.

use tokio::sync::mpsc;

use crate::supervise::lifecycle::{Event, UnitId};

/// Sends what is learned about one run of one unit to the supervisor.
pub(in crate::supervise) struct Reporter {
    at: UnitId,
    events: mpsc::UnboundedSender<Event>,
    /// The last reported attempt: repetitions are not reported.
    tried: String,
}

impl Reporter {
    pub(in crate::supervise) fn new(at: UnitId, events: mpsc::UnboundedSender<Event>) -> Self {
        Self { at, events, tried: String::new() }
    }

    fn send(&self, event: Event) {
        // The driver outlives every run; sending fails only when the daemon ends.
        let _ = self.events.send(event);
    }

    pub(super) fn ready(&self) {
        self.send(Event::Ready(self.at));
    }

    pub(super) fn status_text(&self, text: String) {
        self.send(Event::StatusText(self.at, text));
    }

    pub(super) fn probe_failed(&mut self, what: String) {
        if self.tried != what {
            self.tried.clone_from(&what);
            self.send(Event::ProbeFailed(self.at, what));
        }
    }
}
