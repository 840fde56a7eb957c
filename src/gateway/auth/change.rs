//! Changes at run time: sessions end, and credentials are replaced.
//!
//! Invariants: after the response that confirms a logout or new credentials, the change also holds after a restart, or
//! the response or a warning says that it does not; changes are made one after the other.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use axum::http::{HeaderMap, HeaderValue};

use super::cookie::Purpose;
use super::credentials::{Password, password_problems, user_problems};
use super::known::Known;
use super::store::Remembered;
use super::{Auth, SessionId};
use crate::config::secret::Secret;

/// Which sessions are to end.
pub(super) enum Ended {
    /// These.
    These(Vec<SessionId>),
    /// All, also those that are in no list. `by` is the session that asks for it, unless that has ended before.
    All {
        /// The session.
        by: Option<SessionId>,
    },
}

impl Auth {
    /// Replaces the credentials, ends all sessions and closes everything that is open. Returns a note for the caller,
    /// if there is one. The error lists all reasons why the new credentials are not acceptable.
    pub async fn replace(&self, user: &str, password: Secret) -> Result<Option<String>, String> {
        let problems = [user_problems(user), password_problems(password.reveal())].concat();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let internal = || "an internal error of desktopd".to_owned();
        // In a separate task: the caller may disconnect, and the change must not stop halfway.
        let (auth, user, known) = (self.clone(), user.to_owned(), self.known());
        let work = tokio::spawn(async move {
            let cost = known.making.cost;
            let made = known.making.hashers.run(move || bcrypt::hash(password.reveal(), cost)).await;
            let hash = made.ok_or_else(internal)?.map_err(|error| format!("hash the password: {error}"))?;
            Ok::<_, String>(auth.take_over(&user, hash).await)
        });
        work.await.unwrap_or_else(|_| Err(internal()))
    }

    async fn take_over(&self, user: &str, hash: String) -> Option<String> {
        let _lock = self.inner.changes.lock().await;
        let sessions = Remembered { generation_id: rand::random(), revoked: HashMap::new() };
        let written = self.inner.store.write_chosen(user, &hash, &sessions).await;
        let password = Password::Hash(Secret::new(hash));
        self.put(self.known().chosen(user, password, sessions.generation_id));
        tracing::info!("the credentials of the web services were changed; all sessions have ended");
        let error = written.err()?;
        tracing::warn!("the new credentials of the web services do not survive a restart: {error}");
        Some(format!("they do not survive a restart: {error}"))
    }

    /// Makes these credentials of a new generation the current ones, and ends all sessions.
    fn put(&self, next: Known) {
        let generation = next.generation;
        *self.inner.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        // After the replacement: all requests that were accepted before it belong to an older generation.
        self.inner.sessions.end_all(generation);
    }

    /// Ends the sessions whose cookies the request has. Returns the `Set-Cookie` values that remove these cookies. A
    /// request by http does not have the https cookie, so an https session is not ended by it.
    pub(crate) async fn log_out(&self, headers: &HeaderMap, secure: bool) -> Vec<HeaderValue> {
        let shown = self.shown(headers, secure);
        if !shown.is_empty() {
            self.finish(Ended::These(shown)).await;
        }
        self.inner.cookie_names.clear(secure)
    }

    fn shown(&self, headers: &HeaderMap, secure: bool) -> Vec<SessionId> {
        let known = self.known();
        let schemes: &[bool] = if secure { &[true, false] } else { &[false] };
        let all = schemes.iter().flat_map(|secure| self.opened(&known, headers, Purpose::Session, *secure));
        all.filter(|session| !self.inner.sessions.is_revoked(*session)).collect()
    }

    /// Ends sessions, in a task of its own: they also end if the client disconnects. Returns the credentials that are
    /// valid from then on; `None` if the session that asks for it has ended before.
    pub(super) async fn finish(&self, ended: Ended) -> Option<Arc<Known>> {
        let auth = self.clone();
        tokio::spawn(async move { auth.revoke(ended).await }).await.ok().flatten()
    }

    async fn revoke(&self, ended: Ended) -> Option<Arc<Known>> {
        let inner = &self.inner;
        let by = if let Ended::All { by } = &ended { *by } else { None };
        let all = match ended {
            Ended::All { .. } => true,
            Ended::These(sessions) => {
                let room = sessions.iter().all(|session| inner.sessions.revoke(*session));
                if !room {
                    // The table of revoked sessions is full. All sessions are ended, because a revoked session must
                    // not become valid again.
                    tracing::warn!("too many sessions were ended one by one; all sessions are ended");
                }
                !room
            }
        };
        let _lock = inner.changes.lock().await;
        // Credentials are replaced under the same lock: no session of the old ones opens a new one.
        if by.is_some_and(|by| inner.sessions.is_revoked(by)) {
            return None;
        }
        if all {
            self.put(Known::clone(&self.known()).renewed(rand::random()));
        }
        let remembered = inner.sessions.remembered(self.known().generation_id);
        if let Err(error) = inner.store.write_sessions(&remembered).await {
            tracing::warn!("ended sessions may be valid again after the next start: {error}");
        }
        Some(self.known())
    }
}
