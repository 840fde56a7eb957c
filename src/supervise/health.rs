//! Carries out the checks of units that are ready; when one is due and what comes of it is [`super::lifecycle`]'s.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::config::service::Probe;

use super::lifecycle::Event;
use super::ready::probe::{self, Beside};

/// Begins check `number` of unit `at`. When the handle is dropped the check ends, a command with its process group.
pub(super) fn check(
    (at, number): (usize, u64),
    probe: Probe,
    beside: Beside,
    events: mpsc::UnboundedSender<Event>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let attempt = AssertUnwindSafe(probe::attempt(&probe, &beside)).catch_unwind();
        // A panic is a mistake of ours; that no answer ever came would be one more.
        let result = attempt.await.unwrap_or_else(|_| Err("an internal error of desktopd".to_owned()));
        // The driver is there as long as there is anything to check.
        let _ = events.send(Event::Checked(at, number, result));
    }))
}
