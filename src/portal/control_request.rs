//! Control requests that only the composition root can carry out.

use tokio::sync::oneshot;

use crate::supervise::Replanned;

/// Control requests: carried out by the composition root.
pub enum ControlRequest {
    /// Stop all services and end the daemon.
    Shutdown,
    /// Read the configuration again. The answer lists the changes, or names the mistake.
    Reload(oneshot::Sender<Result<Replanned, String>>),
    /// The same, asked for by a boot step that changed what the plan is made of.
    Changed(oneshot::Sender<Result<Replanned, String>>),
}
