//! What changes while requests come in: sessions end, and the credentials become others.
//!
//! Invariants: whoever is told that a session is over, or that credentials have changed, can rely on it also after a
//! restart, or is told that they cannot; one change after the other.

use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;

use super::credentials::{Password, password_problems, user_problems};
use super::jar::Purpose;
use super::{Auth, SessionId};
use crate::config::secret::Secret;

/// Who writes, and in which epoch sessions are.
pub(super) struct Writing {
    epoch: Mutex<[u8; 16]>,
}

impl Writing {
    pub(super) fn new(epoch: [u8; 16]) -> Self {
        Self { epoch: Mutex::new(epoch) }
    }
}

impl Auth {
    /// Makes other credentials those that are right, and ends every session and everything that is open. Returns what
    /// there is to say besides; the error says what cannot be taken, all of it.
    pub async fn replace(&self, user: &str, password: Secret) -> Result<Option<String>, String> {
        let problems = [user_problems(user), password_problems(password.reveal())].concat();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let inner = &self.inner;
        // In a task of its own: whoever asked may hang up, and half a change is none.
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
        let mut current = inner.writing.epoch.lock().await;
        let epoch = rand::random();
        let mut sessions = inner.sessions.remembered(epoch);
        sessions.revoked.clear();
        let written = inner.kept.write_chosen(user, &hash, &sessions).await;
        let password = Password::Hash(Secret::new(hash));
        let next = self.known().chosen((user, &password), &inner.making, &epoch);
        let era = next.era;
        *inner.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        *current = epoch;
        // After it: whatever was let in before belongs to another era.
        inner.sessions.end_all(era);
        tracing::info!("the credentials of the web services were changed; every session is over");
        let error = written.err()?;
        tracing::warn!("the new credentials of the web services do not survive a restart: {error}");
        Some(format!("they do not survive a restart: {error}"))
    }

    /// Ends the sessions that a request shows; the values of `Set-Cookie` that remove their cookies. A cookie of https
    /// is not shown by http, and its session goes on.
    pub(crate) async fn log_out(&self, headers: &HeaderMap, secure: bool) -> Vec<HeaderValue> {
        let shown = self.shown(headers, secure);
        if !shown.is_empty() {
            // Whoever asked may hang up, and it is over all the same.
            let auth = self.clone();
            let _ = tokio::spawn(async move { auth.revoke(shown).await }).await;
        }
        self.inner.jar.clear(secure)
    }

    fn shown(&self, headers: &HeaderMap, secure: bool) -> Vec<(SessionId, u64)> {
        let (known, now) = (self.known(), SystemTime::now());
        let schemes: &[bool] = if secure { &[true, false] } else { &[false] };
        let of = |secure: &bool| {
            let secure = *secure;
            let values = self.inner.jar.values(headers, Purpose::Session, secure);
            let sessions = values.filter_map(|value| known.signers.sessions.open(value, now, secure));
            sessions.filter(|(session, _)| !self.inner.sessions.is_revoked(*session)).collect::<Vec<_>>()
        };
        schemes.iter().flat_map(of).collect()
    }

    async fn revoke(&self, shown: Vec<(SessionId, u64)>) {
        let inner = &self.inner;
        let room = shown.iter().all(|(session, end)| inner.sessions.revoke(*session, *end));
        let mut current = inner.writing.epoch.lock().await;
        if !room {
            // Rather than forget one that is over.
            tracing::warn!("so many people have logged out that every session is ended");
            let epoch = rand::random();
            let next = self.known().in_epoch(&inner.making, &epoch);
            let era = next.era;
            *inner.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
            *current = epoch;
            inner.sessions.end_all(era);
        }
        if let Err(error) = inner.kept.write_sessions(&inner.sessions.remembered(*current)).await {
            tracing::warn!("who has logged out is forgotten at the next start: {error}");
        }
    }
}
