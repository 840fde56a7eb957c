//! What stands behind a port, which may change while connections to it are open.
//!
//! Looking at it costs a connection nothing that other threads would have to wait for, as long as nothing has changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::door::Target;

/// What stands behind a port.
pub(super) struct Behind {
    /// Grows with each change.
    version: AtomicU64,
    target: RwLock<Target>,
}

impl Behind {
    pub(super) fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { version: AtomicU64::new(0), target: RwLock::new(target) })
    }

    /// What it is now.
    pub(super) fn now(&self) -> Target {
        self.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts something else there, if `change` makes it; requests from then on find it.
    pub(super) fn change<E>(&self, change: impl FnOnce(&Target) -> Result<Target, E>) -> Result<(), E> {
        let mut target = self.target.write().unwrap_or_else(PoisonError::into_inner);
        *target = change(&target)?;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// One connection's view of it.
pub(super) struct View {
    behind: Arc<Behind>,
    /// The version that was seen last, and what it was.
    seen: Mutex<(u64, Arc<Target>)>,
}

impl View {
    pub(super) fn of(behind: Arc<Behind>) -> Self {
        let version = behind.version.load(Ordering::Acquire);
        let target = Arc::new(behind.now());
        Self { behind, seen: Mutex::new((version, target)) }
    }

    /// What stands there now.
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
    use axum::Router;

    #[test]
    fn a_view_follows_what_changes() {
        let behind = Behind::new(Target::Own(Router::new()));
        let view = View::of(Arc::clone(&behind));
        let first = view.target();
        assert!(Arc::ptr_eq(&first, &view.target()), "nothing is made anew for nothing");
        assert_eq!(behind.change(|_| Err("refused")), Err("refused"));
        assert!(Arc::ptr_eq(&first, &view.target()));
        assert_eq!(behind.change::<()>(|old| Ok(old.clone())), Ok(()));
        assert!(!Arc::ptr_eq(&first, &view.target()));
    }
}
