//! Who may enter: a session's cookie, Basic, a bearer token, or the provider's `?token=`.
//!
//! Invariants: nothing secret is compared in a time that depends on it; what authenticated to us is never shown to a
//! service; a valid session or token is never refused or delayed for the address that it comes from.

mod cookie;
mod credentials;
mod digest;
mod failures;
mod hashers;
mod header;
mod password;
mod session;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, Uri};

pub use bcrypt::DEFAULT_COST;
pub(crate) use cookie::SessionId;
pub use credentials::{Credentials, Password};
pub(crate) use session::Lease;

use super::uri;
use digest::{Digest, Key, digest, same};
use header::Presented;

/// How somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// With a session's cookie.
    Session(SessionId),
    /// With Basic, Bearer or `?token=`: with something that no browser sends by itself to a foreign page's request,
    /// except Basic, which therefore never comes together with a foreign Origin.
    Credentials,
    /// With nothing, because the port is open.
    Open,
}

impl Access {
    pub(crate) fn session(self) -> Option<SessionId> {
        match self {
            Self::Session(session) => Some(session),
            Self::Credentials | Self::Open => None,
        }
    }
}

/// Why somebody did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Nothing was shown.
    Stranger,
    /// What was shown is wrong.
    Wrong,
    /// Too many attempts wait already.
    TooMany(Duration),
}

/// The doorkeeper. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    user: String,
    enabled: bool,
    excluded: Vec<u16>,
    cookies: cookie::Cookies,
    sessions: session::Sessions,
    passwords: password::Passwords,
    failures: failures::Failures,
    token_key: Key,
    tokens: Vec<Digest>,
}

impl Auth {
    /// A doorkeeper. `cookie_key` signs sessions: keep it, and sessions outlive a restart. `cost` is that of bcrypt
    /// ([`DEFAULT_COST`]) for a password that came in plain text.
    pub fn new(credentials: Credentials, cookie_key: &[u8; 32], cost: u32) -> Self {
        let Credentials { user, password, tokens, enabled, excluded, cookie } = credentials;
        let known = match &password {
            Password::Plain(secret) | Password::Hash(secret) => secret.reveal().as_bytes(),
        };
        let cookies = cookie::Cookies::new(cookie, cookie_key, &[b"session", user.as_bytes(), known]);
        let token_key = rand::random();
        let tokens = tokens.iter().map(|token| token.reveal().as_bytes()).filter(|token| !token.is_empty());
        let inner = Inner {
            tokens: tokens.map(|token| digest(&token_key, &[token])).collect(),
            token_key,
            passwords: password::Passwords::new(&user, password, cost),
            user,
            enabled,
            excluded,
            cookies,
            sessions: session::Sessions::default(),
            failures: failures::Failures::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Hashes the password in the background, if nobody's login has done so yet: that takes a processor for a good
    /// part of a second, which a start has better uses for. Must be called within a runtime.
    pub fn hash_ahead(&self) {
        let auth = self.clone();
        tokio::spawn(async move { auth.inner.passwords.hash().await });
    }

    /// Closes every open tunnel and stream. Sessions stay valid.
    pub fn close_all(&self) {
        self.inner.sessions.close_all();
    }

    /// Whether strangers may use this port.
    pub(crate) fn is_open(&self, port: u16) -> bool {
        !self.inner.enabled || self.inner.excluded.contains(&port)
    }

    /// Decides about one request.
    pub(crate) async fn admit(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: IpAddr,
        port: u16,
    ) -> Result<Access, Denied> {
        if let Some((session, _)) = self.session(headers) {
            return Ok(Access::Session(session));
        }
        if self.without_token(uri).is_some() {
            return Ok(Access::Credentials);
        }
        let verdict = match headers.get(AUTHORIZATION).and_then(Presented::read) {
            Some(Presented::Bearer(token)) if self.is_token(&token) => Ok(Access::Credentials),
            // Meant for the service behind an open port: no reason to hash it, or to count it as a guess.
            Some(Presented::Basic { user, .. })
                if self.is_open(port) && user != self.inner.user.as_bytes() =>
            {
                Err(Denied::Stranger)
            }
            Some(Presented::Basic { user, password }) => {
                self.password(&user, &password, peer).await.map(|()| Access::Credentials)
            }
            Some(Presented::Bearer(_)) if self.is_open(port) => Err(Denied::Stranger),
            Some(Presented::Bearer(_)) => {
                self.inner.failures.turn(peer).await.map_err(Denied::TooMany)?.end(false);
                Err(Denied::Wrong)
            }
            None => Err(Denied::Stranger),
        };
        if verdict.is_err() && self.is_open(port) { Ok(Access::Open) } else { verdict }
    }

    /// Checks user and password, slowly for those who were wrong often.
    pub(crate) async fn password(&self, user: &[u8], password: &[u8], peer: IpAddr) -> Result<(), Denied> {
        if self.inner.passwords.remembers(user, password) {
            return Ok(());
        }
        let inner = Arc::clone(&self.inner);
        let (user, password) = (user.to_vec(), password.to_vec());
        // In a task of its own: whoever hangs up while it runs has guessed all the same, and gives neither the thread
        // nor the place in the queue back before its time.
        let attempt = tokio::spawn(async move {
            let turn = inner.failures.turn(peer).await.map_err(Denied::TooMany)?;
            let right = inner.passwords.check(&user, &password).await;
            turn.end(right);
            if right { Ok(()) } else { Err(Denied::Wrong) }
        });
        attempt.await.unwrap_or(Err(Denied::Wrong))
    }

    /// The session that a request shows, and its end.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<(SessionId, SystemTime)> {
        let sessions = self.inner.cookies.sessions(headers, SystemTime::now());
        sessions.into_iter().find(|(session, _)| !self.inner.sessions.is_revoked(*session))
    }

    /// The cookie of a new session, as the value of `Set-Cookie`. `secure`: the login came by https.
    pub(crate) fn log_in(&self, _secure: bool) -> Option<HeaderValue> {
        HeaderValue::try_from(self.inner.cookies.issue(SystemTime::now())).ok()
    }

    /// Ends the request's session; the value of `Set-Cookie` that removes its cookie.
    pub(crate) fn log_out(&self, headers: &HeaderMap, _secure: bool) -> Option<HeaderValue> {
        for (session, end) in self.inner.cookies.sessions(headers, SystemTime::now()) {
            self.inner.sessions.revoke(session, end);
        }
        HeaderValue::try_from(self.inner.cookies.clear()).ok()
    }

    /// The address without our token, if that is in it.
    pub(crate) fn without_token(&self, uri: &Uri) -> Option<String> {
        uri::without_token(uri, |token| self.is_token(token))
    }

    /// Removes what authenticates to us from a request that goes to a service. Credentials that name our user count
    /// as ours even if wrong: a password with a typing mistake is nobody's business either.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        self.inner.cookies.strip(headers);
        let ours = headers.get(AUTHORIZATION).and_then(Presented::read).is_some_and(|shown| match shown {
            Presented::Basic { user, .. } => user == self.inner.user.as_bytes(),
            Presented::Bearer(token) => self.is_token(&token),
        });
        if ours {
            headers.remove(AUTHORIZATION);
        }
    }

    /// Whether a service's `Set-Cookie` would replace our cookie.
    pub(crate) fn is_our_cookie(&self, set_cookie: &HeaderValue) -> bool {
        self.inner.cookies.is_ours(set_cookie)
    }

    /// A lease for something long-lived.
    pub(crate) fn lease(&self, access: Access) -> Lease {
        self.inner.sessions.lease(access.session())
    }

    fn is_token(&self, token: &[u8]) -> bool {
        let shown = digest(&self.inner.token_key, &[token]);
        self.inner.tokens.iter().fold(false, |found, token| found | same(token, &shown))
    }
}
