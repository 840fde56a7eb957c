//! Who is connected, and how their sessions are ended from the portal.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue};

use super::change::Ended;
use super::cookie::Purpose;
use super::visits::{Client, Program, Recorded, Visit};
use super::{Access, Auth, SessionId};

impl Auth {
    /// Records a request of an authenticated client. Cheap: a connection takes a lock once a second.
    pub(crate) fn record(&self, access: Access, peer: IpAddr, on: &Recorded) {
        let client = match access {
            Access::Open => return,
            Access::Session(session) => Client::Session(session),
            Access::TokenCookie | Access::Credentials => {
                Client::Program { cookie: access == Access::TokenCookie }
            }
        };
        let busy =
            || -> HashSet<_> { self.inner.sessions.holding().into_iter().map(|(id, ..)| id).collect() };
        self.inner.visits.record(client, peer, now(), on, busy);
    }

    /// The valid sessions that were seen, `own` and the last used first, and the clients without a session.
    pub(crate) fn visitors(&self, own: Option<SessionId>) -> (Vec<Visit>, Vec<Program>) {
        let now = now();
        let is_valid = |session: SessionId| session.end > now && !self.inner.sessions.is_revoked(session);
        let sessions = self.inner.visits.sessions(own, is_valid, &self.inner.sessions.holding());
        (sessions, self.inner.visits.programs())
    }

    /// Ends the session that is shown with this id, with everything that it has open. `false` if there is none.
    pub(crate) async fn end(&self, id: &str) -> bool {
        let session = self.inner.visits.named(id).filter(|session| !self.inner.sessions.is_revoked(*session));
        let Some(session) = session else { return false };
        self.finish(Ended::These(vec![session])).await;
        true
    }

    /// Ends all sessions, those that are not remembered too, and opens a new one in place of `own`, which ends when
    /// `own` would have ended. Returns the `Set-Cookie` values for the client that has that session; `None` if `own` has
    /// ended before.
    pub(crate) async fn end_others(
        &self,
        headers: &HeaderMap,
        own: Option<SessionId>,
        secure: bool,
    ) -> Option<Vec<HeaderValue>> {
        // The cookie by which a login knows this browser is signed anew, because it ends with the sessions.
        let browser = own.and_then(|_| self.browser(headers, secure));
        let known = self.finish(Ended::All { by: own }).await?;
        // Signed by the credentials of that moment: newer ones make the cookies worthless.
        let set = |purpose, old: Option<SessionId>| {
            let value = known.signer.renew(purpose, old?, secure);
            self.inner.cookie_names.set(purpose, &value, secure)
        };
        let cookies = [set(Purpose::Session, own), set(Purpose::Browser, browser)];
        Some(cookies.into_iter().flatten().collect())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
