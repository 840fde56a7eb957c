//! All about the display, for pages: the decision with its reasons, what the machine has, and what failed while the
//! daemon ran. The composition root writes it after each plan.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use crate::plan::display::{Kind, Report};

/// A display that failed while the daemon ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DisplayFailure {
    /// When it was given up, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The kind of display.
    pub kind: Kind,
    /// The unit that died, whose log says more.
    pub unit: String,
    /// What happened, in one sentence.
    pub reason: String,
    /// The last lines of the unit's log, without secrets.
    pub lines: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DisplayState {
    /// The decision of the last plan.
    #[serde(flatten)]
    pub report: Arc<Report>,
    /// What failed since the start, or since displays were last tried again, oldest first.
    pub failures: Vec<DisplayFailure>,
}

/// The newest answer; `None` before the first plan.
pub type Displays = watch::Receiver<Option<Arc<DisplayState>>>;
