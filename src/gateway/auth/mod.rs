//! Authentication of requests: by a session cookie, by HTTP Basic, by a bearer token, or by the provider's `?token=`.
//!
//! Invariants: secrets are compared in constant time; a request that is forwarded to a service does not contain the
//! credentials that authenticated it to the gateway; a valid session or token is never refused or delayed because of
//! the client's address; credentials can be replaced while requests are served, and after the replacement the old
//! credentials and the old sessions are not accepted any more; each password is counted as a guess, in whichever form
//! it is sent, unless the same password was verified from the same network a short time ago; a flood of guesses uses a
//! bounded part of memory and of the processors, and during the flood a user who knows the password can still log in.

mod admit;
mod attempts;
mod change;
mod cookie;
mod cookie_names;
mod counters;
mod credentials;
mod digest;
mod failures;
mod hashers;
mod header;
mod known;
mod password;
mod session;
mod store;
mod traffic;
mod visitors;
mod visits;

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::header::{AUTHORIZATION, REFERER};
use axum::http::{HeaderMap, HeaderValue, Uri};

pub(crate) use attempts::Denied;
pub use bcrypt::DEFAULT_COST;
pub use cookie::{How, SessionId};
pub use counters::Counters;
pub use credentials::{Credentials, Password, password_problems, user_problems};
pub(crate) use session::SessionGuard;
pub(crate) use visits::Recorded;
pub use visits::{OpenAt, Program, Visit};

use super::request::uri;
use crate::state::State;
use digest::{Key, Keyed};
use header::Presented;
use known::{Known, Making};

/// How a request was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// By a session cookie.
    Session(SessionId),
    /// By a cookie whose value is a token, as the guide of a provider describes. Browsers send such a cookie
    /// automatically.
    TokenCookie,
    /// By Basic, Bearer or `?token=`. A browser does not add these automatically to a request that a page of another
    /// origin sends, except Basic; therefore Basic is never accepted together with a foreign Origin.
    Credentials,
    /// Not authenticated: the port is open.
    Open,
}

impl Access {
    pub(crate) fn session(self) -> Option<SessionId> {
        if let Self::Session(session) = self { Some(session) } else { None }
    }

    /// Whether the client has authenticated.
    pub(crate) fn is_inside(self) -> bool {
        self != Self::Open
    }
}

/// The properties of a request that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The gateway port on which the request came in.
    pub(crate) port: u16,
    /// Whether the request came by https, as the client sees it.
    pub(crate) secure: bool,
    /// Whether the request is a page navigation. Such a request is redirected to the login page.
    pub(crate) navigation: bool,
    /// Whether the request needs a login even if its port is open, because the request changes something in desktopd.
    pub(crate) changes_ours: bool,
}

/// The authenticator. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    enabled: bool,
    excluded: Vec<u16>,
    /// Whether the configuration gives the cookie name of a provider. The guide of that provider then allows more uses
    /// of the cookie.
    of_provider: bool,
    cookie_names: cookie_names::CookieNames,
    sessions: session::Sessions,
    attempts: Arc<attempts::Attempts>,
    counts: Arc<counters::Counts>,
    known: RwLock<Arc<Known>>,
    visits: visits::Visits,
    store: store::CredentialStore,
    /// Held while something is changed: changes are made one after the other.
    changes: tokio::sync::Mutex<()>,
}

impl Auth {
    /// An authenticator that stores nothing on disk. `cookie_key` signs the sessions. `cost` is the bcrypt cost
    /// ([`DEFAULT_COST`]) for a password that is given in plain text.
    pub fn new(credentials: Credentials, cookie_key: &[u8; 32], cost: u32) -> Self {
        Self::with(credentials, *cookie_key, cost, store::CredentialStore::default())
    }

    /// An authenticator that stores in `state` what must survive a restart: ended sessions, and credentials that
    /// replaced the given ones.
    pub fn stored_in(state: Arc<State>, credentials: Credentials, cost: u32) -> Self {
        let cookie_key = state.key("cookie-key");
        let store = store::CredentialStore::new(state, &credentials);
        Self::with(credentials, cookie_key, cost, store)
    }

    fn with(given: Credentials, cookie_key: Key, cost: u32, store: store::CredentialStore) -> Self {
        let counts = Arc::<counters::Counts>::default();
        let hashers = Arc::new(hashers::Hashers::new(hashers::THREADS, Arc::clone(&counts)));
        let making = Making { cookie_key, token_key: Keyed::random(), cost, hashers };
        let remembered = store.sessions();
        let mut known = Known::given(&given, making, remembered.generation_id);
        if let Some((user, password)) = store.chosen() {
            known = known.chosen(&user, password, remembered.generation_id);
        }
        let sessions = session::Sessions::default();
        sessions.end_all(known.generation);
        sessions.remember(remembered.revoked);
        let inner = Inner {
            enabled: given.enabled,
            of_provider: given.cookie.is_some(),
            cookie_names: cookie_names::CookieNames::new(given.cookie.as_deref(), &cookie_key),
            excluded: given.excluded,
            sessions,
            attempts: Arc::new(attempts::Attempts::new(hashers::THREADS, Arc::clone(&counts))),
            counts,
            known: RwLock::new(Arc::new(known)),
            store,
            visits: visits::Visits::default(),
            changes: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Hashes the password in the background, unless a login has already caused that. Hashing uses a processor for a
    /// considerable part of a second, so it is not done during the start. Must be called within a runtime.
    pub fn hash_ahead(&self) {
        let known = self.known();
        tokio::spawn(async move { known.passwords.hash().await });
    }

    /// The user who may log in, and whether this user was set at run time instead of given at the start.
    pub fn user(&self) -> (String, bool) {
        let known = self.known();
        (known.passwords.user.clone(), known.chosen)
    }

    /// The authentication counters since the start.
    pub fn counters(&self) -> Counters {
        self.inner.counts.read()
    }

    /// Closes every open upgraded connection and stream. Sessions stay valid.
    pub fn close_all(&self) {
        self.inner.sessions.close_all();
    }

    /// Whether a login is required anywhere.
    pub(crate) fn is_required(&self) -> bool {
        self.inner.enabled
    }

    /// Whether clients without a login may use this port.
    pub(crate) fn is_open(&self, port: u16) -> bool {
        !self.inner.enabled || self.inner.excluded.contains(&port)
    }

    /// The URI without our token, or without the value that replaces our token; `None` if the URI contains neither.
    pub(crate) fn without_token(&self, uri: &Uri, access: Access) -> Option<String> {
        uri::without_token(uri, |token| self.known().is_ours(token, access.is_inside()))
    }

    /// Removes the credentials of the gateway from a request that is forwarded to a service. Basic credentials with our
    /// user's name are removed even if the password is wrong: a service must not see a mistyped password either.
    /// `inside`: the client of this request has authenticated.
    pub fn strip(&self, headers: &mut HeaderMap, inside: bool) {
        self.inner.cookie_names.strip(headers);
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
            // Also if the user name is not ours: the password may be ours.
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

    /// Whether the `Set-Cookie` of a service would replace one of our cookies.
    pub fn is_our_cookie(&self, set_cookie: &HeaderValue) -> bool {
        self.inner.cookie_names.is_ours(set_cookie)
    }

    /// A session guard for something long-lived on this port. The guard costs almost nothing until its first call of
    /// [`SessionGuard::ended`].
    pub(crate) fn guard(&self, access: Access, port: u16) -> SessionGuard {
        self.inner.sessions.guard(access.session(), port)
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.inner.known.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
