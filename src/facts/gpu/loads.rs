//! What NVIDIA's GPUs do, once a second: a child process asks NVML and prints the answers.
//!
//! Starting NVML takes longer than asking it, so the child stays. It runs only while figures are wanted. A child that is
//! silent for too long is ended: a library can hang in a GPU that has failed.

use std::future::pending;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::answer;
use super::ask::{PATIENT, Questions};
use super::line::Line;
use super::load::Load;
use crate::sys::reaper::Reaper;
use crate::sys::subcommands;
use crate::sys::subprocess::{self, Question};

/// How long the child may be silent between two answers.
const SILENCE: Duration = Duration::from_secs(5);

/// How long a child runs at most; it ends by itself before, so that it does not print without end.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The library in reasons.
const LIBRARY: &str = "NVML's library";

/// Passes answers on until the child ends. The error says why there are no answers; without one the child has ended
/// after many answers, and another one can go on. When the future is dropped, the child ends.
pub async fn watch(
    reaper: &Reaper,
    questions: &Questions,
    mut each: impl FnMut(Vec<Load>),
) -> Result<(), String> {
    let words = [subcommands::PROBE, answer::LOADS];
    let question = Question { words: &words, env: questions.env(), deadline: Instant::now() + LONGEST };
    // The first answer may have to wait for the driver to start its GPUs.
    let (heard, mut last) = watch::channel((Instant::now(), PATIENT));
    let mut failed = None;
    let asked = subprocess::ask(reaper, &question, |line| match serde_json::from_str(line) {
        Ok(Line::Loads(loads)) => {
            heard.send_replace((Instant::now(), SILENCE));
            each(loads);
            ControlFlow::Continue(())
        }
        Ok(Line::Failed(reason)) => {
            failed = Some(reason);
            ControlFlow::Break(())
        }
        Ok(Line::Done) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let silent = async {
        loop {
            let (since, limit) = *last.borrow_and_update();
            tokio::select! {
                () = sleep_until(since + limit) => return limit,
                changed = last.changed() => if changed.is_err() { pending::<()>().await },
            }
        }
    };
    let ended = tokio::select! {
        ended = asked => ended,
        limit = silent => return Err(format!("{LIBRARY} timed out after {} s", limit.as_secs())),
    };
    match ended {
        Ok(()) => failed.map_or(Ok(()), Err),
        Err(unanswered) => Err(unanswered.reason(LIBRARY, LONGEST)),
    }
}
