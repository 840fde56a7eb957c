//! Requests that the configuration be read again, or that failed displays be tried again. The composition root carries them out.

use tokio::sync::{mpsc, oneshot};

use crate::supervise::{Replanned, Request};

/// A request that the configuration be read again.
pub struct ReloadRequest {
    /// The reason, for the log.
    pub why: &'static str,
    /// A restart of the X server, to be carried out together with the new plan: displays that failed are tried again.
    pub restart: Option<Request>,
    /// Gets the changes, or the mistake because of which nothing was changed.
    pub reply: Option<oneshot::Sender<Result<Replanned, String>>>,
}

/// Sends such requests.
pub type Reloads = mpsc::UnboundedSender<ReloadRequest>;
