//! What is open on behalf of whom: everything long-lived (tunnels, streams) holds a lease, and ends with it.
//!
//! Invariants: once a session is revoked, no lease of it stays open and none is given any more, also after a restart;
//! a lease costs nothing until somebody asks when it ends, and still ends by what happened before that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;

use super::cookie::SessionId;
use super::kept::Remembered;

/// Revoked sessions that are remembered. They are not forgotten when they would have ended: a clock that was wrong
/// would bring them back. Rather than forget one, all sessions are ended.
const REVOKED: usize = 4096;

/// All open sessions. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Sessions {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How often everything was closed. Whatever began before the last time has to end.
    closings: AtomicU64,
    /// The sessions that are good are those of this era.
    era: AtomicU32,
    /// Spares everybody the lock below until the first log-out.
    any_revoked: AtomicBool,
    /// With the time at which they would have ended.
    revoked: RwLock<HashMap<[u8; 16], u64>>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: CancellationToken,
    sessions: HashMap<[u8; 16], (CancellationToken, usize)>,
}

/// Held as long as something is open.
pub(crate) struct Lease {
    sessions: Sessions,
    session: Option<SessionId>,
    closings: u64,
    /// When it ends, and whether it is counted among its session's.
    ended: OnceLock<(CancellationToken, bool)>,
}

impl Lease {
    /// Cancelled when whatever holds the lease has to close.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended.get_or_init(|| self.sessions.enter(self.session, self.closings)).0
    }

    /// Whether the session is over by now, for what is too short to be ended.
    pub(crate) fn is_revoked(&self) -> bool {
        self.session.is_some_and(|session| self.sessions.is_revoked(session))
    }
}

impl Clone for Lease {
    /// Another one as old as this one: what has ended it since ends that, too.
    fn clone(&self) -> Self {
        let (sessions, ended) = (self.sessions.clone(), OnceLock::new());
        Self { sessions, session: self.session, closings: self.closings, ended }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(session), Some((_, true))) = (self.session, self.ended.get()) else { return };
        let mut open = self.sessions.open();
        if let Some((_, leases)) = open.sessions.get_mut(&session.id()) {
            *leases -= 1;
            if *leases == 0 {
                open.sessions.remove(&session.id());
            }
        }
    }
}

impl Sessions {
    /// Revoked ones that are remembered from before.
    pub(super) fn remember(&self, revoked: HashMap<[u8; 16], u64>) {
        self.shared.any_revoked.store(!revoked.is_empty(), Ordering::Release);
        *self.shared.revoked.write().unwrap_or_else(PoisonError::into_inner) = revoked;
    }

    /// A lease for a session, or for somebody who came without one.
    pub(super) fn lease(&self, session: Option<SessionId>) -> Lease {
        let closings = self.shared.closings.load(Ordering::Acquire);
        Lease { sessions: self.clone(), session, closings, ended: OnceLock::new() }
    }

    fn enter(&self, session: Option<SessionId>, closings: u64) -> (CancellationToken, bool) {
        let mut open = self.open();
        // Under the lock, which whoever revokes or closes takes after saying so: one of the two sees the other.
        let late = closings != self.shared.closings.load(Ordering::Acquire);
        if late || session.is_some_and(|session| self.is_revoked(session)) {
            let ended = CancellationToken::new();
            ended.cancel();
            return (ended, false);
        }
        let ended = open.all.child_token();
        let Some(session) = session else { return (ended, false) };
        let (token, leases) = open.sessions.entry(session.id()).or_insert_with(|| (ended.clone(), 0));
        *leases += 1;
        // Cancelled by `close_all`, which ends what was open then and nothing later.
        if token.is_cancelled() {
            *token = ended;
        }
        (token.clone(), true)
    }

    /// Ends a session that would have lasted until `end`. `false` when so many are revoked that all have to end.
    pub(super) fn revoke(&self, session: SessionId, end: u64) -> bool {
        {
            let mut revoked = self.shared.revoked.write().unwrap_or_else(PoisonError::into_inner);
            if revoked.len() >= REVOKED {
                return false;
            }
            revoked.insert(session.id(), end);
            self.shared.any_revoked.store(true, Ordering::Release);
        }
        if let Some((token, _)) = self.open().sessions.get(&session.id()) {
            token.cancel();
        }
        true
    }

    pub(super) fn is_revoked(&self, session: SessionId) -> bool {
        if session.era() != self.shared.era.load(Ordering::Acquire) {
            return true;
        }
        self.shared.any_revoked.load(Ordering::Acquire)
            && self.shared.revoked.read().unwrap_or_else(PoisonError::into_inner).contains_key(&session.id())
    }

    /// What has to be known after a restart, in the epoch that it belongs to.
    pub(super) fn remembered(&self, epoch: [u8; 16]) -> Remembered {
        let revoked = self.shared.revoked.read().unwrap_or_else(PoisonError::into_inner).clone();
        Remembered { epoch, revoked }
    }

    /// Ends all sessions: only those of `era` are good from now on. What was revoked is no cookie any more.
    pub(super) fn end_all(&self, era: u32) {
        self.shared.era.store(era, Ordering::Release);
        self.remember(HashMap::new());
        self.close_all();
    }

    /// Closes everything that is open now.
    pub(super) fn close_all(&self) {
        let all = {
            let mut open = self.open();
            self.shared.closings.fetch_add(1, Ordering::AcqRel);
            std::mem::take(&mut open.all)
        };
        all.cancel();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_over(lease: &Lease) -> bool {
        lease.ended().is_cancelled()
    }

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
        assert!(!leases.iter().any(is_over));
        assert!(sessions.revoke(one, 0));
        assert_eq!(leases.each_ref().map(is_over), [true, true, false, false]);
        assert!(sessions.is_revoked(one) && !sessions.is_revoked(two));
        assert!(is_over(&sessions.lease(Some(one))));
        assert_eq!(leases.each_ref().map(Lease::is_revoked), [true, true, false, false]);
        sessions.close_all();
        assert!(leases.iter().all(is_over));
        let later = sessions.lease(Some(two));
        drop(leases);
        assert!(!is_over(&later));
        sessions.revoke(two, 0);
        assert!(is_over(&later));
        drop(later);
        assert!(sessions.open().sessions.is_empty());
    }

    #[test]
    fn a_lease_that_nobody_has_asked_ends_all_the_same() {
        for end in [
            (|sessions, one| assert!(sessions.revoke(one, 0))) as fn(&Sessions, SessionId),
            |sessions, _| sessions.close_all(),
            |sessions, _| sessions.end_all(1),
        ] {
            let (sessions, one) = (Sessions::default(), SessionId::random());
            let lease = sessions.lease(Some(one));
            end(&sessions, one);
            assert!(is_over(&lease) && is_over(&lease.clone()));
            drop(lease);
            assert!(sessions.open().sessions.is_empty());
        }
    }

    #[test]
    fn sessions_of_another_era_are_over() {
        let (sessions, one) = (Sessions::default(), SessionId::random());
        sessions.end_all(1);
        assert!(sessions.is_revoked(one) && is_over(&sessions.lease(Some(one))));
        assert!(!is_over(&sessions.lease(None)));
    }

    #[test]
    fn revocations_are_not_forgotten_but_there_may_be_too_many() {
        let sessions = Sessions::default();
        let first = SessionId::random();
        assert!(sessions.revoke(first, 0));
        assert!((1..REVOKED).all(|_| sessions.revoke(SessionId::random(), u64::MAX)));
        assert!(!sessions.revoke(SessionId::random(), 0));
        assert!(sessions.is_revoked(first), "however long ago it would have ended");
        assert_eq!(sessions.remembered([0; 16]).revoked.len(), REVOKED);
    }
}
