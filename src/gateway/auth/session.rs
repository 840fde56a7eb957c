//! What is open on behalf of whom: everything long-lived (tunnels, streams) holds a lease, and ends with it.
//!
//! Invariant: once a session is revoked, no lease of it stays open and none is given any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::cookie::SessionId;

/// Revoked sessions that are remembered until they would have ended anyway.
const REVOKED: usize = 10_000;

/// All open sessions. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Sessions {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    all: CancellationToken,
    open: HashMap<SessionId, (CancellationToken, usize)>,
    revoked: HashMap<SessionId, SystemTime>,
}

/// Held as long as something is open.
pub(crate) struct Lease {
    sessions: Sessions,
    session: Option<SessionId>,
    ended: CancellationToken,
}

impl Lease {
    /// Cancelled when whatever holds the lease has to close.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(session) = self.session else { return };
        let mut inner = self.sessions.lock();
        if let Some((_, leases)) = inner.open.get_mut(&session) {
            *leases -= 1;
            if *leases == 0 {
                inner.open.remove(&session);
            }
        }
    }
}

impl Sessions {
    /// A lease for a session, or for somebody who came without one.
    pub(super) fn lease(&self, session: Option<SessionId>) -> Lease {
        let mut inner = self.lock();
        let mut ended = inner.all.child_token();
        if let Some(session) = session {
            let revoked = inner.revoked.contains_key(&session);
            let (token, leases) = inner.open.entry(session).or_insert_with(|| (ended.clone(), 0));
            *leases += 1;
            // Cancelled by `close_all`, which ends what was open then and nothing later.
            if token.is_cancelled() {
                *token = ended;
            }
            if revoked {
                token.cancel();
            }
            ended = token.clone();
        }
        Lease { sessions: self.clone(), session, ended }
    }

    /// Ends a session that would have lasted until `end`.
    pub(super) fn revoke(&self, session: SessionId, end: SystemTime) {
        let mut inner = self.lock();
        let now = SystemTime::now();
        inner.revoked.retain(|_, end| now < *end);
        if inner.revoked.len() >= REVOKED
            && let Some(next) = inner.revoked.iter().min_by_key(|(_, end)| **end).map(|(id, _)| *id)
        {
            inner.revoked.remove(&next);
        }
        inner.revoked.insert(session, end);
        if let Some((token, _)) = inner.open.get(&session) {
            token.cancel();
        }
    }

    pub(super) fn is_revoked(&self, session: SessionId) -> bool {
        self.lock().revoked.contains_key(&session)
    }

    /// Closes everything that is open now.
    pub(super) fn close_all(&self) {
        std::mem::take(&mut self.lock().all).cancel();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn revoking_ends_the_leases_of_that_session_only() {
        let sessions = Sessions::default();
        let (one, two) = (SessionId::random(), SessionId::random());
        let leases = [
            sessions.lease(Some(one)),
            sessions.lease(Some(one)),
            sessions.lease(Some(two)),
            sessions.lease(None),
        ];
        sessions.revoke(one, SystemTime::now() + Duration::from_secs(60));
        assert_eq!(leases.each_ref().map(|l| l.ended().is_cancelled()), [true, true, false, false]);
        assert!(sessions.is_revoked(one) && !sessions.is_revoked(two));
        assert!(sessions.lease(Some(one)).ended().is_cancelled());
        sessions.close_all();
        assert!(leases.iter().all(|l| l.ended().is_cancelled()));
        let later = sessions.lease(Some(two));
        drop(leases);
        assert!(!later.ended().is_cancelled());
        sessions.revoke(two, SystemTime::now() + Duration::from_secs(60));
        assert!(later.ended().is_cancelled());
        drop(later);
        assert!(sessions.lock().open.is_empty());
    }

    #[test]
    fn revocations_are_forgotten_when_they_no_longer_matter() {
        let sessions = Sessions::default();
        sessions.revoke(SessionId::random(), SystemTime::now() - Duration::from_secs(1));
        sessions.revoke(SessionId::random(), SystemTime::now() + Duration::from_secs(60));
        assert_eq!(sessions.lock().revoked.len(), 1);
    }
}
