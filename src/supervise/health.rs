//! Carries out the checks of units that are ready. [`super::lifecycle`] decides when a check is due and what its result
//! means.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::config::service::Probe;

use super::lifecycle::Event;
use super::ready::probe::{self, HelperStarter};

/// Begins check `number` of unit `at`. Dropping the handle ends the check; a command ends with its process group.
pub(super) fn check(
    (at, number): (usize, u64),
    probe: Probe,
    start_helper: HelperStarter,
    events: mpsc::UnboundedSender<Event>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let attempt = AssertUnwindSafe(probe::attempt(&probe, &start_helper)).catch_unwind();
        // A panic is a bug of desktopd; the core still gets an answer.
        let result = attempt.await.unwrap_or_else(|_| Err("an internal error of desktopd".to_owned()));
        // The driver exists as long as there are units to check.
        let _ = events.send(Event::Checked(at, number, result));
    }))
}
