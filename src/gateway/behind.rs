//! The route target of a port, which may change while connections to the port are open.
//!
//! As long as the target has not changed, reading it takes no lock that is shared with other threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;

use crate::plan::routes::Route;

/// What a port serves.
#[derive(Clone)]
pub(super) enum Target {
    /// Our own pages.
    Own(Router),
    /// A service.
    Service(Arc<Route>),
}

impl Target {
    pub(super) fn of(route: &Route) -> Self {
        Self::Service(Arc::new(route.clone()))
    }
}

/// The target of a port.
pub(super) struct Behind {
    /// Grows with each change.
    version: AtomicU64,
    target: RwLock<Target>,
}

impl Behind {
    pub(super) fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { version: AtomicU64::new(0), target: RwLock::new(target) })
    }

    /// The current target.
    pub(super) fn now(&self) -> Target {
        self.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the target by the result of `change`, if that is `Ok`; later requests use the new target.
    pub(super) fn change<E>(&self, change: impl FnOnce(&Target) -> Result<Target, E>) -> Result<(), E> {
        let mut target = self.target.write().unwrap_or_else(PoisonError::into_inner);
        *target = change(&target)?;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// One connection's view of the target.
pub(super) struct View {
    behind: Arc<Behind>,
    /// The version that was seen last, and its target.
    seen: Mutex<(u64, Arc<Target>)>,
}

impl View {
    pub(super) fn of(behind: Arc<Behind>) -> Self {
        let version = behind.version.load(Ordering::Acquire);
        let target = Arc::new(behind.now());
        Self { behind, seen: Mutex::new((version, target)) }
    }

    /// The current target.
    pub(super) fn target(&self) -> Arc<Target> {
        let version = self.behind.version.load(Ordering::Acquire);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != version {
            *seen = (version, Arc::new(self.behind.now()));
        }
        Arc::clone(&seen.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_follows_changes_of_the_target() {
        let behind = Behind::new(Target::Own(Router::new()));
        let view = View::of(Arc::clone(&behind));
        let first = view.target();
        assert!(Arc::ptr_eq(&first, &view.target()), "an unchanged target is not copied again");
        assert_eq!(behind.change(|_| Err("refused")), Err("refused"));
        assert!(Arc::ptr_eq(&first, &view.target()));
        assert_eq!(behind.change::<()>(|old| Ok(old.clone())), Ok(()));
        assert!(!Arc::ptr_eq(&first, &view.target()));
    }
}
