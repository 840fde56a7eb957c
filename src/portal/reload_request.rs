//! Requests that the configuration be read again. The composition root carries them out.

use tokio::sync::{mpsc, oneshot};

use crate::supervise::Replanned;

/// A request that the configuration be read again.
pub struct ReloadRequest {
    /// The reason, for the log.
    pub why: &'static str,
    /// Gets the changes, or the mistake because of which nothing was changed.
    pub reply: Option<oneshot::Sender<Result<Replanned, String>>>,
}

/// Sends such requests.
pub type Reloads = mpsc::UnboundedSender<ReloadRequest>;
