//! What each candidate is before one is chosen.

use crate::facts::gpu::Gpu;

/// Whether a candidate may be taken, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing speaks against it.
    Possible(String),
    /// It is taken only if the user asked for its kind.
    Doubtful(String),
    /// It cannot work, or it would harm the host.
    Impossible(String),
}

/// A candidate before one is chosen.
#[derive(Clone, Debug)]
pub(super) struct Considered<'a> {
    pub(super) gpu: Option<&'a Gpu>,
    pub(super) device: Option<String>,
    pub(super) verdict: Verdict,
}

impl Considered<'_> {
    /// A candidate that no GPU can help.
    pub(super) fn impossible(reason: impl Into<String>) -> Self {
        Self { gpu: None, device: None, verdict: Verdict::Impossible(reason.into()) }
    }
}
