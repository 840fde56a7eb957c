//! Who may enter: a session's cookie, Basic, a bearer token, or the provider's `?token=`.
//!
//! Invariants: nothing secret is compared in a time that depends on it; what authenticated to us is never shown to a
//! service; a valid session or token is never refused or delayed for the address that it comes from; what is right can
//! be changed while requests come in, and from then on nothing that was right before lets anybody in; a password is a
//! counted guess under whatever name it comes, except where it was right a while ago; a flood of guesses takes a bounded
//! part of memory and of the processors, and whoever knows the password gets in all the same.

mod admit;
mod change;
mod cookie;
mod counters;
mod credentials;
mod digest;
mod failures;
mod hashers;
mod header;
mod jar;
mod kept;
mod known;
mod network;
mod password;
mod queue;
mod session;
mod traffic;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::header::{AUTHORIZATION, REFERER};
use axum::http::{HeaderMap, HeaderValue, Uri};

pub use bcrypt::DEFAULT_COST;
pub use cookie::SessionId;
pub use counters::Counters;
pub use credentials::{Credentials, Password, password_problems, user_problems};
pub(super) use network::is_shared;
pub(crate) use session::Lease;

use super::uri;
use crate::state::State;
use digest::{Key, Keyed};
use header::Presented;
use known::{Known, Making};

/// How somebody came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// With a session's cookie.
    Session(SessionId),
    /// With a cookie whose value is a token, where a provider's guide says so. Browsers send it by themselves.
    TokenCookie,
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
            Self::TokenCookie | Self::Credentials | Self::Open => None,
        }
    }

    /// Whether somebody has shown who they are.
    pub(crate) fn is_inside(self) -> bool {
        self != Self::Open
    }
}

/// How a request comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The port of ours.
    pub(crate) port: u16,
    /// Whether it came by https, as the client sees it.
    pub(crate) secure: bool,
    /// Whether a person waits for a page, who is led to the login.
    pub(crate) navigation: bool,
    /// Whether the request needs a login also where its port is open.
    pub(crate) changes_ours: bool,
}

/// Why somebody did not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Nothing was shown.
    Stranger,
    /// What was shown is wrong.
    Wrong,
    /// Too many attempts: they may come back after that time.
    TooMany(Duration),
}

/// The doorkeeper. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    enabled: bool,
    excluded: Vec<u16>,
    /// Whether a provider's name was given for the cookie, whose guide then says how else that cookie may be used.
    of_provider: bool,
    jar: jar::Jar,
    sessions: session::Sessions,
    failures: failures::Failures,
    counts: Arc<counters::Counts>,
    known: RwLock<Arc<Known>>,
    making: Making,
    kept: kept::Kept,
    writing: change::Writing,
}

impl Auth {
    /// A doorkeeper without a memory. `cookie_key` signs sessions. `cost` is that of bcrypt ([`DEFAULT_COST`]) for a
    /// password that came in plain text.
    pub fn new(credentials: Credentials, cookie_key: &[u8; 32], cost: u32) -> Self {
        Self::with(credentials, *cookie_key, cost, kept::Kept::default())
    }

    /// One that remembers over restarts, in `state`: sessions and their end, and credentials that took the place of
    /// these.
    pub fn kept_in(state: Arc<State>, credentials: Credentials, cost: u32) -> Self {
        let cookie_key = state.key("cookie-key");
        let kept = kept::Kept::new(state, &credentials);
        Self::with(credentials, cookie_key, cost, kept)
    }

    fn with(given: Credentials, cookie_key: Key, cost: u32, kept: kept::Kept) -> Self {
        let counts = Arc::<counters::Counts>::default();
        let hashers = Arc::new(hashers::Hashers::new(hashers::THREADS, Arc::clone(&counts)));
        let making = Making { cookie_key, token_key: Keyed::random(), cost, hashers };
        let remembered = kept.sessions();
        let mut known = Known::given(&given, &making, &remembered.epoch);
        if let Some((user, password)) = kept.chosen() {
            known = known.chosen((&user, &password), &making, &remembered.epoch);
        }
        let sessions = session::Sessions::default();
        sessions.end_all(known.era);
        sessions.remember(remembered.revoked);
        let inner = Inner {
            enabled: given.enabled,
            of_provider: given.cookie.is_some(),
            jar: jar::Jar::new(given.cookie.as_deref(), &cookie_key),
            excluded: given.excluded,
            sessions,
            failures: failures::Failures::new(Arc::clone(&counts)),
            counts,
            known: RwLock::new(Arc::new(known)),
            making,
            kept,
            writing: change::Writing::new(remembered.epoch),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Hashes the password in the background, if nobody's login has done so yet: that takes a processor for a good
    /// part of a second, which a start has better uses for. Must be called within a runtime.
    pub fn hash_ahead(&self) {
        let known = self.known();
        tokio::spawn(async move { known.passwords.hash().await });
    }

    /// The user who may log in, and whether that is somebody's choice instead of what was given at the start.
    pub fn user(&self) -> (String, bool) {
        let known = self.known();
        (known.user.clone(), known.chosen)
    }

    /// What has happened at the door so far.
    pub fn counters(&self) -> Counters {
        self.inner.counts.read()
    }

    /// Closes every open tunnel and stream. Sessions stay valid.
    pub fn close_all(&self) {
        self.inner.sessions.close_all();
    }

    /// Whether strangers may use this port.
    pub(crate) fn is_open(&self, port: u16) -> bool {
        !self.inner.enabled || self.inner.excluded.contains(&port)
    }

    /// The address without our token, or what stands in its place, if that is in it.
    pub(crate) fn without_token(&self, uri: &Uri, access: Access) -> Option<String> {
        uri::without_token(uri, |token| self.known().is_ours(token, access.is_inside()))
    }

    /// Removes what authenticates to us from a request that goes to a service. Credentials that name our user count
    /// as ours even if wrong: a password with a typing mistake is nobody's business either. `inside`: it comes from
    /// somebody who has shown who they are.
    pub fn strip(&self, headers: &mut HeaderMap, inside: bool) {
        self.inner.jar.strip(headers);
        if let Some(referer) = headers.get(REFERER) {
            let ours = |token: &[u8]| self.known().is_ours(token, inside);
            if let Some(clean) = uri::referer_without_token(referer.as_bytes(), ours) {
                match HeaderValue::try_from(clean) {
                    Ok(clean) => headers.insert(REFERER, clean),
                    Err(_) => headers.remove(REFERER),
                };
            }
        }
        let Some(value) = headers.get(AUTHORIZATION) else { return };
        let ours = Presented::read(value).is_some_and(|shown| match shown {
            // Also what was typed together with a name that is not ours: the password is.
            Presented::Basic(pair) => {
                let known = self.known();
                known.is_user(pair.user()) || known.is_our_password(pair.password(), inside)
            }
            Presented::Bearer(token) => self.known().is_ours(token, inside),
        });
        if ours {
            headers.remove(AUTHORIZATION);
        }
    }

    /// Whether a service's `Set-Cookie` would replace our cookie.
    pub fn is_our_cookie(&self, set_cookie: &HeaderValue) -> bool {
        self.inner.jar.is_ours(set_cookie)
    }

    /// A lease for something long-lived. It costs next to nothing until somebody asks when it ends.
    pub(crate) fn lease(&self, access: Access) -> Lease {
        self.inner.sessions.lease(access.session())
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.inner.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
