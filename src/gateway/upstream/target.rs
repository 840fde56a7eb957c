//! The route target of a port, which may change while connections to the port are open.
//!
//! As long as the target has not changed, reading it takes no lock that is shared with other threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;

use crate::plan::routes::Route;

/// What a port serves.
#[derive(Clone)]
pub(crate) enum Target {
    /// Our own pages.
    Own(Router),
    /// A service.
    Service(Arc<Route>),
}

impl Target {
    pub(crate) fn of(route: &Route) -> Self {
        Self::Service(Arc::new(route.clone()))
    }
}

/// The target of a port.
pub(crate) struct SharedTarget {
    /// Grows with each change.
    version: AtomicU64,
    target: RwLock<Target>,
}

impl SharedTarget {
    pub(crate) fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { version: AtomicU64::new(0), target: RwLock::new(target) })
    }

    /// The current target.
    pub(crate) fn now(&self) -> Target {
        self.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the target by the result of `change`, if that is `Ok`; later requests use the new target.
    pub(crate) fn change<E>(&self, change: impl FnOnce(&Target) -> Result<Target, E>) -> Result<(), E> {
        let mut target = self.target.write().unwrap_or_else(PoisonError::into_inner);
        *target = change(&target)?;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// One connection's cached copy of the target.
pub(crate) struct CachedTarget {
    shared: Arc<SharedTarget>,
    /// The version that was seen last, and its target.
    seen: Mutex<(u64, Arc<Target>)>,
}

impl CachedTarget {
    pub(crate) fn of(shared: Arc<SharedTarget>) -> Self {
        let version = shared.version.load(Ordering::Acquire);
        let target = Arc::new(shared.now());
        Self { shared, seen: Mutex::new((version, target)) }
    }

    /// The current target.
    pub(crate) fn target(&self) -> Arc<Target> {
        let version = self.shared.version.load(Ordering::Acquire);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0 != version {
            *seen = (version, Arc::new(self.shared.now()));
        }
        Arc::clone(&seen.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_target_follows_changes() {
        let shared = SharedTarget::new(Target::Own(Router::new()));
        let cached = CachedTarget::of(Arc::clone(&shared));
        let first = cached.target();
        assert!(Arc::ptr_eq(&first, &cached.target()), "an unchanged target is not copied again");
        assert_eq!(shared.change(|_| Err("refused")), Err("refused"));
        assert!(Arc::ptr_eq(&first, &cached.target()));
        assert_eq!(shared.change::<()>(|old| Ok(old.clone())), Ok(()));
        assert!(!Arc::ptr_eq(&first, &cached.target()));
    }
}
