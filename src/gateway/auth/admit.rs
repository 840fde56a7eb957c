//! Authentication of one request or of one login form.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, Uri};

use super::attempts::Standing;
use super::cookie::{self, How, Purpose};
use super::header::Presented;
use super::known::Known;
use super::password::usable;
use super::{Access, Auth, Denied, SessionId, Way, uri};
use crate::gateway::network::Network;

impl Auth {
    /// Decides whether one request is accepted.
    pub(crate) async fn admit(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: IpAddr,
        way: Way,
    ) -> Result<Access, Denied> {
        match self.session(headers, way.secure) {
            Some(session) => Ok(Access::Session(session)),
            // Boxed: the future that checks a password is large, and every request would need the space.
            None => Box::pin(self.admit_without_session(uri, headers, peer, way)).await,
        }
    }

    async fn admit_without_session(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        peer: IpAddr,
        way: Way,
    ) -> Result<Access, Denied> {
        let known = self.known();
        let is_token = |token: &[u8]| known.is_token(token) || (way.secure && known.is_crossing(token));
        if uri::without_token(uri, is_token).is_some() {
            return Ok(Access::Credentials);
        }
        if self.token_cookies(headers).any(|shown| known.is_token(shown)) {
            return Ok(Access::TokenCookie);
        }
        let open = self.is_open(way.port);
        let verdict = match headers.get(AUTHORIZATION).and_then(Presented::read) {
            Some(Presented::Bearer(token)) if known.is_token(token) => Ok(Access::Credentials),
            // These credentials are meant for the service behind the open port, so they are not hashed and not counted
            // as a guess. This does not depend on the user name: the response time would tell a client without a login
            // the name of our user.
            Some(Presented::Basic(_)) if open && !way.changes_ours => Err(Denied::Stranger),
            Some(Presented::Basic(pair)) => {
                self.password(pair.user(), pair.password(), peer, None).await.map(|()| Access::Credentials)
            }
            Some(Presented::Bearer(shown)) => self.no_token(vec![shown.to_vec()], peer, open).await,
            // A service may have tokens of its own. They are forwarded unchanged for an authenticated client. From a
            // client without a login such a token is not accepted here, so it is counted as a guess. The page that the
            // user sees is the same.
            None => match uri::token_shown(uri) {
                Some(readings) => match self.no_token(readings, peer, open).await {
                    Err(Denied::Wrong) => Err(Denied::Stranger),
                    verdict => verdict,
                },
                None if open => Err(Denied::Stranger),
                None => Err(self.no_token_cookie(headers, peer, way.navigation).await),
            },
        };
        if verdict.is_err() && open { Ok(Access::Open) } else { verdict }
    }

    /// Checks user and password, with a delay for networks with many failures. `browser` is the browser in which they
    /// were typed, if the right password was typed in that browser before: the attempts of such a browser are counted
    /// separately from all other attempts.
    pub(crate) async fn password(
        &self,
        user: &[u8],
        password: &[u8],
        peer: IpAddr,
        browser: Option<SessionId>,
    ) -> Result<(), Denied> {
        let (known, place) = (self.known(), Network::of(peer));
        let from = browser.map_or(place, |browser| Network::of_browser(browser.id, peer));
        if known.passwords.remembers(user, password, place) && !self.inner.attempts.is_under_attack(from) {
            return Ok(());
        }
        let standing = browser.map(|_| Standing::KnownBrowser);
        self.attempt(&known, user, vec![password.to_vec()], place, from, standing).await
    }

    /// Handles a value that was sent as a token and is not a token. The value may be the password, where the password
    /// is accepted as a token; otherwise the value is counted as a guess. `readings` has the possible decodings of the
    /// value, at least one.
    async fn no_token(&self, readings: Vec<Vec<u8>>, peer: IpAddr, open: bool) -> Result<Access, Denied> {
        let known = self.known();
        let (user, from) = (known.passwords.user.as_bytes(), Network::of(peer));
        let right = |shown: &Vec<u8>| known.passwords.remembers(user, shown, from);
        if known.password_as_token && readings.iter().any(right) && !self.inner.attempts.is_under_attack(from)
        {
            return Ok(Access::Credentials);
        }
        if open {
            // Meant for the service, as in `admit_without_session`.
            return Err(Denied::Stranger);
        }
        if known.password_as_token && readings.iter().any(|shown| usable(shown)) {
            let attempt = self.attempt(&known, user, readings, from, from, None);
            return attempt.await.map(|()| Access::Credentials);
        }
        let fingerprint = known.fingerprint(readings.first().map_or(&[], Vec::as_slice));
        Err(self.inner.attempts.wrong(from, fingerprint).await)
    }

    /// The cookie values that may be tokens themselves. The cookie name of http is used over https as well, as the
    /// guide of the provider says.
    fn token_cookies<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a [u8]> {
        let names = self.inner.of_provider.then_some(&self.inner.cookie_names);
        names.into_iter().flat_map(|names| names.values(headers, Purpose::Session, false))
    }

    /// Handles cookie values that are not tokens. Such a value is counted as a guess, except a value of an ended
    /// session. A server on another port of this host can set such cookies in the user's browser, so these guesses are
    /// counted separately: they do not cause a ban for logins, and a page navigation is still redirected to the login
    /// page.
    async fn no_token_cookie(&self, headers: &HeaderMap, peer: IpAddr, navigation: bool) -> Denied {
        let Some(shown) = self.token_cookies(headers).find(|shown| !cookie::is_shaped(shown)) else {
            return Denied::Stranger;
        };
        let fingerprint = self.known().fingerprint(shown);
        match self.inner.attempts.wrong(Network::of(peer).aside(), fingerprint).await {
            Denied::TooMany(wait) if !navigation => Denied::TooMany(wait),
            _ => Denied::Stranger,
        }
    }

    /// One guess with one or more decodings of the sent value. It comes from the network `place`, and is counted as one
    /// from the network `from`.
    async fn attempt(
        &self,
        known: &Arc<Known>,
        user: &[u8],
        readings: Vec<Vec<u8>>,
        place: Network,
        from: Network,
        standing: Option<Standing>,
    ) -> Result<(), Denied> {
        let fingerprint = known.passwords.fingerprint(user, readings.first().map_or(&[], Vec::as_slice));
        let standing = standing.unwrap_or_else(|| known.passwords.standing(place));
        let pass = self.inner.attempts.enter(from, standing, fingerprint).await?;
        let (user, checked) = (user.to_vec(), Arc::clone(known));
        // In a separate task: if the client disconnects while the check runs, the attempt still counts, and neither the
        // thread nor the turn is released too early.
        let attempt = tokio::spawn(async move {
            let mut right = false;
            for password in readings {
                right = right || checked.passwords.check(&user, &password, place).await;
            }
            pass.end((!right).then_some(fingerprint));
            right
        });
        let right = attempt.await.unwrap_or(false);
        if right && self.is_current(known) { Ok(()) } else { Err(Denied::Wrong) }
    }

    /// The valid session of a request, found by its cookies.
    pub fn session(&self, headers: &HeaderMap, secure: bool) -> Option<SessionId> {
        let mut shown = self.inner.cookie_names.values(headers, Purpose::Session, secure).peekable();
        shown.peek()?;
        // Read under the lock, without cloning the `Arc`: its reference count would be contended between threads.
        let known = self.inner.known.read().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let mut sessions = shown.filter_map(|value| known.signer.open(Purpose::Session, value, now, secure));
        sessions.find(|session| !self.inner.sessions.is_revoked(*session))
    }

    /// The cookie of a new session, as the value of `Set-Cookie`. `secure`: the login came by https.
    pub fn log_in(&self, how: How, secure: bool) -> Option<HeaderValue> {
        self.inner.counts.add(|counts| counts.logins += 1);
        let value = self.known().signer.open_session(how, SystemTime::now(), secure);
        self.inner.cookie_names.set(Purpose::Session, &value, secure)
    }

    /// The browser that sends a login, if the right password was typed in that browser before.
    pub(crate) fn browser(&self, headers: &HeaderMap, secure: bool) -> Option<SessionId> {
        self.opened(&self.known(), headers, Purpose::Browser, secure).next()
    }

    /// What the cookies of a request for this purpose identify.
    pub(super) fn opened<'a>(
        &'a self,
        known: &'a Known,
        headers: &'a HeaderMap,
        purpose: Purpose,
        secure: bool,
    ) -> impl Iterator<Item = SessionId> {
        let (shown, now) = (self.inner.cookie_names.values(headers, purpose, secure), SystemTime::now());
        shown.filter_map(move |value| known.signer.open(purpose, value, now, secure))
    }

    /// The cookie that identifies a browser after a login, as the value of `Set-Cookie` in the response of the login
    /// page.
    pub(crate) fn know_browser(&self, secure: bool) -> Option<HeaderValue> {
        self.issue(Purpose::Browser, secure)
    }

    fn issue(&self, purpose: Purpose, secure: bool) -> Option<HeaderValue> {
        let value = self.known().signer.issue(purpose, SystemTime::now(), secure);
        self.inner.cookie_names.set(purpose, &value, secure)
    }

    /// The URI without its token, if the URI contains a valid token.
    pub(crate) fn token_in(&self, uri: &Uri) -> Option<String> {
        uri::without_token(uri, |token| self.known().is_token(token))
    }

    /// Whether a token sets a cookie even if the request is not a page navigation, as the guide of the provider says.
    pub(crate) fn sets_cookies_for_tokens(&self) -> bool {
        self.inner.of_provider
    }

    /// The cookie for the change from http to https after a client has sent a token by http, as the value of
    /// `Set-Cookie`.
    pub(crate) fn cross(&self) -> Option<HeaderValue> {
        self.issue(Purpose::Crossing, false)
    }

    /// The value that replaces that token in a link to https.
    pub(crate) fn crossing(&self, headers: &HeaderMap) -> Option<String> {
        let known = self.known();
        let mut shown = self.inner.cookie_names.values(headers, Purpose::Crossing, false);
        String::from_utf8(shown.find(|shown| known.is_crossing(shown))?.to_vec()).ok()
    }

    /// Whether `known` is still the current generation of credentials.
    pub(super) fn is_current(&self, known: &Known) -> bool {
        self.known().generation == known.generation
    }
}
