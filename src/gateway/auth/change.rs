//! Changes at run time: sessions end, and credentials are replaced.
//!
//! Invariants: after the response that confirms a logout or new credentials, the change also holds after a restart, or
//! the response or a warning says that it does not; changes are made one after the other.

use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue};

use super::cookie_names::Purpose;
use super::credentials::{Password, password_problems, user_problems};
use super::{Auth, SessionId};
use crate::config::secret::Secret;

impl Auth {
    /// Replaces the credentials, ends all sessions and closes everything that is open. Returns a note for the caller,
    /// if there is one. The error lists all reasons why the new credentials are not acceptable.
    pub async fn replace(&self, user: &str, password: Secret) -> Result<Option<String>, String> {
        let problems = [user_problems(user), password_problems(password.reveal())].concat();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let inner = &self.inner;
        // In a separate task: the caller may disconnect, and the change must not stop halfway.
        let (auth, user, cost) = (self.clone(), user.to_owned(), inner.making.cost);
        let work = tokio::spawn(async move {
            let made = auth.inner.making.hashers.run(move || bcrypt::hash(password.reveal(), cost)).await;
            let hash = match made {
                Some(Ok(hash)) => hash,
                Some(Err(error)) => return Err(format!("hash the password: {error}")),
                None => return Err("an internal error of desktopd".to_owned()),
            };
            Ok(auth.take_over(&user, hash).await)
        });
        work.await.unwrap_or_else(|_| Err("an internal error of desktopd".to_owned()))
    }

    async fn take_over(&self, user: &str, hash: String) -> Option<String> {
        let inner = &self.inner;
        let mut current = inner.writing.generation_id.lock().await;
        let generation_id = rand::random();
        let mut sessions = inner.sessions.remembered(generation_id);
        sessions.revoked.clear();
        let written = inner.store.write_chosen(user, &hash, &sessions).await;
        let password = Password::Hash(Secret::new(hash));
        let next = self.known().chosen((user, &password), &inner.making, &generation_id);
        let generation = next.generation;
        *inner.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        *current = generation_id;
        // After the replacement: all requests that were accepted before it belong to an older generation.
        inner.sessions.end_all(generation);
        tracing::info!("the credentials of the web services were changed; all sessions have ended");
        let error = written.err()?;
        tracing::warn!("the new credentials of the web services do not survive a restart: {error}");
        Some(format!("they do not survive a restart: {error}"))
    }

    /// Ends the sessions whose cookies the request has. Returns the `Set-Cookie` values that remove these cookies. A
    /// request by http does not have the https cookie, so an https session is not ended by it.
    pub(crate) async fn log_out(&self, headers: &HeaderMap, secure: bool) -> Vec<HeaderValue> {
        let shown = self.shown(headers, secure);
        if !shown.is_empty() {
            // In a separate task: the session also ends if the client disconnects.
            let auth = self.clone();
            let _ = tokio::spawn(async move { auth.revoke(shown).await }).await;
        }
        self.inner.cookie_names.clear(secure)
    }

    fn shown(&self, headers: &HeaderMap, secure: bool) -> Vec<(SessionId, u64)> {
        let (known, now) = (self.known(), SystemTime::now());
        let schemes: &[bool] = if secure { &[true, false] } else { &[false] };
        let of = |secure: &bool| {
            let secure = *secure;
            let values = self.inner.cookie_names.values(headers, Purpose::Session, secure);
            let sessions = values.filter_map(|value| known.signers.sessions.open(value, now, secure));
            sessions.filter(|(session, _)| !self.inner.sessions.is_revoked(*session)).collect::<Vec<_>>()
        };
        schemes.iter().flat_map(of).collect()
    }

    async fn revoke(&self, shown: Vec<(SessionId, u64)>) {
        let inner = &self.inner;
        let room = shown.iter().all(|(session, end)| inner.sessions.revoke(*session, *end));
        let mut current = inner.writing.generation_id.lock().await;
        if !room {
            // The table of revoked sessions is full. All sessions are ended, because a revoked session must not become
            // valid again.
            tracing::warn!("too many sessions were ended one by one; all sessions are ended");
            let generation_id = rand::random();
            let next = self.known().with_generation_id(&inner.making, &generation_id);
            let generation = next.generation;
            *inner.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
            *current = generation_id;
            inner.sessions.end_all(generation);
        }
        if let Err(error) = inner.store.write_sessions(&inner.sessions.remembered(*current)).await {
            tracing::warn!("ended sessions may be valid again after the next start: {error}");
        }
    }
}
