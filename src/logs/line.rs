//! One line of a log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One line of a unit's output.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Line {
    /// When it was read, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The text without its newline; secrets are masked, bytes that are not UTF-8 are replaced.
    pub text: Arc<str>,
    /// Whether the row has not ended: the next line of the same log takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}
