//! Sessions and their guards: everything long-lived (upgraded connections, streams) holds a session guard
//! ([`SessionGuard`]), and ends with it.
//!
//! Invariants: after a session is revoked, no guard of it stays open and no new one is given, also after a restart; a
//! guard costs nothing until the first call of [`SessionGuard::ended`], and it still notices what ended it before that
//! call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::cookie::SessionId;
use super::store::Remembered;

/// How many revoked sessions are remembered. They are not removed at their expiry time: with a clock that was wrong,
/// they would become valid again. When there are more, all sessions are ended.
const REVOKED: usize = 4096;

/// All open sessions. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Sessions {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How often everything was closed. All that began before the last time has to end.
    closings: AtomicU64,
    /// The current generation number. Only sessions of this generation are valid.
    generation: AtomicU32,
    /// Avoids the lock below until the first logout.
    any_revoked: AtomicBool,
    /// The revoked sessions, with their original expiry time.
    revoked: RwLock<HashMap<[u8; 16], u64>>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: CancellationToken,
    /// The token of each session and port that something holds a guard of. As many hold the token as are open there.
    sessions: HashMap<([u8; 16], u16), Weak<CancellationToken>>,
}

/// The session guard: held as long as something is open. A clone has the same age: an event that ended the guard ends the
/// clone as well.
#[derive(Clone)]
pub(crate) struct SessionGuard {
    sessions: Sessions,
    session: Option<SessionId>,
    port: u16,
    closings: u64,
    /// The token that ends it.
    ended: OnceLock<Arc<CancellationToken>>,
}

impl SessionGuard {
    /// Cancelled when the holder of the guard has to close.
    pub(crate) fn ended(&self) -> &CancellationToken {
        self.ended.get_or_init(|| self.sessions.enter(self.session, self.port, self.closings))
    }

    /// Waits for the end of the session's time; without a session for ever. The clock may be set, so the end is looked for
    /// once an hour at least.
    pub(crate) async fn expired(&self) {
        let Some(session) = self.session else { return std::future::pending().await };
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let Some(left) = session.end.checked_sub(now).filter(|left| *left > 0) else { return };
            tokio::time::sleep(Duration::from_secs(left.min(3600))).await;
        }
    }

    /// Whether the session has ended by now; for work that is too short to be interrupted.
    pub(crate) fn is_revoked(&self) -> bool {
        self.session.is_some_and(|session| self.sessions.is_revoked(session))
    }
}

impl Sessions {
    /// Sets the revoked sessions that were stored before.
    pub(super) fn remember(&self, revoked: HashMap<[u8; 16], u64>) {
        self.shared.any_revoked.store(!revoked.is_empty(), Ordering::Release);
        *self.shared.revoked.write().unwrap_or_else(PoisonError::into_inner) = revoked;
    }

    /// A guard for a session, or for a client without a session, of something on this port.
    pub(super) fn guard(&self, session: Option<SessionId>, port: u16) -> SessionGuard {
        let closings = self.shared.closings.load(Ordering::Acquire);
        SessionGuard { sessions: self.clone(), session, port, closings, ended: OnceLock::new() }
    }

    fn enter(&self, session: Option<SessionId>, port: u16, closings: u64) -> Arc<CancellationToken> {
        let mut open = self.open();
        let ended = Arc::new(open.all.child_token());
        // Checked under the lock. The functions that revoke or close set their flag before they take the lock or while
        // they hold it, so one of the two sides always sees the other.
        let late = closings != self.shared.closings.load(Ordering::Acquire);
        if late || session.is_some_and(|session| self.is_revoked(session)) {
            ended.cancel();
            return ended;
        }
        let Some(session) = session else { return ended };
        let place = (session.id, port);
        let shared = open.sessions.get(&place).and_then(Weak::upgrade);
        // A cancelled one was cancelled by `close_all`, which ends only what was open at that time.
        shared.filter(|token| !token.is_cancelled()).unwrap_or_else(|| {
            open.sessions.retain(|_, token| token.strong_count() > 0);
            open.sessions.insert(place, Arc::downgrade(&ended));
            ended
        })
    }

    /// What is open now: the id of each session with the port and the number of connections and streams there.
    pub(super) fn holding(&self) -> Vec<([u8; 16], u16, usize)> {
        let open = self.open();
        let all = open.sessions.iter().map(|((id, port), token)| (*id, *port, token.strong_count()));
        all.filter(|(.., count)| *count > 0).collect()
    }

    /// Ends a session. `false` if too many sessions are revoked, so that all have to end.
    pub(super) fn revoke(&self, session: SessionId) -> bool {
        {
            let mut revoked = self.shared.revoked.write().unwrap_or_else(PoisonError::into_inner);
            if revoked.len() >= REVOKED {
                return false;
            }
            revoked.insert(session.id, session.end);
            self.shared.any_revoked.store(true, Ordering::Release);
        }
        let all: Vec<_> = {
            let open = self.open();
            let of_it = open.sessions.iter().filter(|((id, _), _)| *id == session.id);
            of_it.filter_map(|(_, token)| token.upgrade()).collect()
        };
        for token in all {
            token.cancel();
        }
        true
    }

    pub(super) fn is_revoked(&self, session: SessionId) -> bool {
        if session.generation != self.shared.generation.load(Ordering::Acquire) {
            return true;
        }
        self.shared.any_revoked.load(Ordering::Acquire)
            && self.shared.revoked.read().unwrap_or_else(PoisonError::into_inner).contains_key(&session.id)
    }

    /// The values that must survive a restart, in the generation with this random id.
    pub(super) fn remembered(&self, generation_id: [u8; 16]) -> Remembered {
        let revoked = self.shared.revoked.read().unwrap_or_else(PoisonError::into_inner).clone();
        Remembered { generation_id, revoked }
    }

    /// Ends all sessions: from now on only sessions of this `generation` are valid. The list of revoked sessions is
    /// cleared, because their cookies are not valid any more.
    pub(super) fn end_all(&self, generation: u32) {
        self.shared.generation.store(generation, Ordering::Release);
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

    impl Sessions {
        fn nothing_is_open(&self) -> bool {
            self.open().sessions.values().all(|token| token.strong_count() == 0)
        }
    }

    fn is_over(guard: &SessionGuard) -> bool {
        guard.ended().is_cancelled()
    }

    #[test]
    fn revoking_ends_the_guards_of_that_session_only() {
        let sessions = Sessions::default();
        let (one, two) = (SessionId::random(), SessionId::random());
        let guards = [
            sessions.guard(Some(one), 1),
            sessions.guard(Some(one), 1),
            sessions.guard(Some(two), 1),
            sessions.guard(None, 1),
        ];
        assert!(!guards.iter().any(is_over));
        assert!(sessions.revoke(one));
        assert_eq!(guards.each_ref().map(is_over), [true, true, false, false]);
        assert!(sessions.is_revoked(one) && !sessions.is_revoked(two));
        assert!(is_over(&sessions.guard(Some(one), 1)));
        assert_eq!(guards.each_ref().map(SessionGuard::is_revoked), [true, true, false, false]);
        sessions.close_all();
        assert!(guards.iter().all(is_over));
        let later = sessions.guard(Some(two), 1);
        drop(guards);
        assert!(!is_over(&later));
        sessions.revoke(two);
        assert!(is_over(&later));
        drop(later);
        assert!(sessions.nothing_is_open());
        let next = sessions.guard(Some(SessionId::random()), 1);
        assert!(!is_over(&next));
        assert_eq!(sessions.open().sessions.len(), 1, "the entries of ended guards are removed");
    }

    #[test]
    fn unused_guard_is_ended_by_earlier_events() {
        for end in [
            (|sessions, one| assert!(sessions.revoke(one))) as fn(&Sessions, SessionId),
            |sessions, _| sessions.close_all(),
            |sessions, _| sessions.end_all(1),
        ] {
            let (sessions, one) = (Sessions::default(), SessionId::random());
            let guard = sessions.guard(Some(one), 1);
            end(&sessions, one);
            assert!(is_over(&guard) && is_over(&guard.clone()));
            drop(guard);
            assert!(sessions.nothing_is_open());
        }
    }

    #[test]
    fn what_is_open_is_counted_by_session_and_port() {
        let (sessions, one) = (Sessions::default(), SessionId::random());
        let mut guards: Vec<_> = [1, 1, 2].map(|port| sessions.guard(Some(one), port)).into();
        assert_eq!(sessions.holding(), [], "nothing long-lived has begun");
        assert!(!guards.iter().any(is_over));
        let counted = || {
            let mut counted: Vec<_> =
                sessions.holding().into_iter().map(|(_, port, count)| (port, count)).collect();
            counted.sort_unstable();
            counted
        };
        assert_eq!(counted(), [(1, 2), (2, 1)]);
        assert!(sessions.revoke(one) && guards.iter().all(is_over), "on each port");
        guards.truncate(1);
        assert_eq!(counted(), [(1, 1)], "the others are not held any more");
    }

    #[test]
    fn sessions_of_another_generation_are_invalid() {
        let (sessions, one) = (Sessions::default(), SessionId::random());
        sessions.end_all(1);
        assert!(sessions.is_revoked(one) && is_over(&sessions.guard(Some(one), 1)));
        assert!(!is_over(&sessions.guard(None, 1)));
    }

    #[test]
    fn revocations_are_kept_and_limited_in_number() {
        let sessions = Sessions::default();
        let first = SessionId::random();
        assert!(sessions.revoke(first));
        assert!((1..REVOKED).all(|_| sessions.revoke(SessionId::random())));
        assert!(!sessions.revoke(SessionId::random()));
        assert!(sessions.is_revoked(first), "however long ago it would have ended");
        assert_eq!(sessions.remembered([0; 16]).revoked.len(), REVOKED);
    }
}
