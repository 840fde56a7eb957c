//! The visitor: the client of one request to our own pages, for handlers that must know more than that a login was
//! shown. A handler can have the visitor's password checked again, and open a WebSocket that ends with the session.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::Request;

use super::browser_address::BrowserAddress;
use super::context::{ConnectionResources, RequestContext};
use crate::gateway::auth::{Access, Auth, Denied, SessionGuard, SessionId};

/// The client of one request.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The session whose cookie the request has; `None` for all other ways to authenticate.
    pub(crate) session: Option<SessionId>,
    /// Ends with the session.
    pub(crate) guard: SessionGuard,
    /// The address that the request came from.
    pub(crate) peer: IpAddr,
    /// The browser, if the right password was typed in it before.
    browser: Option<SessionId>,
    /// What its connection occupies.
    pub(in crate::gateway) resources: Arc<ConnectionResources>,
}

impl Visitor {
    /// Adds to an admitted request its client, and the address that the client's browser shows.
    pub(in crate::gateway) fn attach<B>(
        request: &mut Request<B>,
        auth: &Auth,
        access: Access,
        context: &RequestContext<'_>,
    ) {
        let address = BrowserAddress::of(request.headers(), context.secure, context.connection.port);
        let visitor = Self {
            session: access.session(),
            guard: auth.guard(access, context.connection.port),
            peer: context.peer,
            browser: auth.browser(request.headers(), context.secure),
            resources: Arc::clone(&context.connection.resources),
        };
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(visitor);
    }

    /// Checks the password again, as the login page does: a wrong one counts as a guess.
    pub(crate) async fn confirm(&self, auth: &Auth, password: &[u8]) -> Result<(), Denied> {
        let (user, _) = auth.user();
        auth.password(user.as_bytes(), password, self.peer, self.browser).await
    }
}
