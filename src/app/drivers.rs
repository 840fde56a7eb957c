//! The drivers of GPUs, and their last answers.

use crate::facts::gpu::Answers;
use crate::facts::gpu::ask::{LIMIT, PATIENT, Questions, ask};
use crate::sys::reaper::Reaper;

/// Asks drivers, and keeps their answers: a driver costs up to seconds, and most reloads are edits of a file.
pub(super) struct Drivers {
    reaper: Reaper,
    asked: Questions,
    answers: Answers,
    /// Whether the drivers have once answered only when they had much time.
    slow: bool,
}

impl Drivers {
    pub(super) fn new(reaper: Reaper) -> Self {
        Self { reaper, asked: Questions::default(), answers: Answers::default(), slow: false }
    }

    /// The drivers' answers. Drivers are asked again only if there is something else to ask, because a device node came or
    /// went or the libraries are in another folder, or if `anew` is set.
    pub(super) async fn answers(&mut self, questions: Questions, anew: bool) -> Answers {
        if anew || questions != self.asked {
            let limit = if self.slow && questions == self.asked { PATIENT } else { LIMIT };
            self.answers = ask(&self.reaper, &questions, limit).await;
            self.asked = questions;
        }
        self.answers.clone()
    }

    /// Takes over answers that were waited for elsewhere, with much time.
    pub(super) fn take(&mut self, answers: Answers) {
        self.slow |= self.answers.late && !answers.late;
        self.answers = answers;
    }

    /// Whether an answer did not come in time.
    pub(super) fn are_late(&self) -> bool {
        self.answers.late
    }

    /// The last answers.
    pub(super) fn last(&self) -> &Answers {
        &self.answers
    }

    /// What was asked last.
    pub(super) fn asked(&self) -> &Questions {
        &self.asked
    }
}
