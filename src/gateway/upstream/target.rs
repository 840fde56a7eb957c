//! The route target of a port, which may change while connections to the port are open.
//!
//! As long as the target has not changed, reading it takes no lock that is shared with other threads.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use tokio::sync::watch;

use crate::plan::routes::Route;

/// What a port serves.
#[derive(Clone)]
pub(crate) enum Target {
    /// Our own pages.
    Own(Router),
    /// A service.
    Service(Arc<Route>),
}

/// One connection's cached copy of its port's target, and where changes of the target come from.
pub(crate) struct CachedTarget(Mutex<(Arc<Target>, watch::Receiver<Arc<Target>>)>);

impl CachedTarget {
    pub(crate) fn of(mut changes: watch::Receiver<Arc<Target>>) -> Self {
        let target = Arc::clone(&changes.borrow_and_update());
        Self(Mutex::new((target, changes)))
    }

    /// The current target.
    pub(crate) fn target(&self) -> Arc<Target> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, changes) = &mut *seen;
        if changes.has_changed().unwrap_or(false) {
            *target = Arc::clone(&changes.borrow_and_update());
        }
        Arc::clone(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_target_follows_changes() {
        let port = watch::Sender::new(Arc::new(Target::Own(Router::new())));
        let cached = CachedTarget::of(port.subscribe());
        let first = cached.target();
        assert!(Arc::ptr_eq(&first, &cached.target()), "an unchanged target is not copied again");
        port.send_replace(Arc::new(Target::Own(Router::new())));
        assert!(!Arc::ptr_eq(&first, &cached.target()));
        drop(port);
        cached.target();
    }
}
