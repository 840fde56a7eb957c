//! The request handler: decides how each request is answered.
//!
//! The order of the checks is essential for security: malformed requests are rejected first, then the client is
//! authenticated, then the origin of the request is checked, and only then the target is chosen.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, REFERER, SET_COOKIE, UPGRADE};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};
use serde_json::json;

use super::access_log::Entry;
use super::context::{self, ConnectionInfo, RequestContext};
use super::visitor::Visitor;
use super::{builtin, cors, errors, https, login, origin, own, page, uri, waiting, webrtc};
use crate::gateway::auth::{Access, Denied, How, Way};
use crate::gateway::metrics;
use crate::gateway::state::RequestHandler;
use crate::gateway::upstream::body::Reply;
use crate::gateway::upstream::connect::Failed;
use crate::gateway::upstream::target::Target;
use crate::gateway::upstream::{compress, forward};
use crate::plan::routes::Route;
use crate::supervise::Asker;

impl RequestHandler {
    /// Answers a request. A panic becomes a 500; other requests are not affected.
    pub(crate) async fn answer(
        &self,
        target: &Target,
        connection: &ConnectionInfo,
        request: Request<Incoming>,
    ) -> Response<Reply> {
        let context = &RequestContext::of(&request, target, connection, &self.settings.proxies);
        let asks_upgrade = request.headers().contains_key(UPGRADE);
        let entry = self.settings.access_log.then(|| Box::new(Entry::begin(&self.logs, &request, context)));
        let reader = errors::Reader::of(self, context, &request);
        let grant = cors::grant(&self.settings, request.headers());
        // Boxed, because this future is moved through several callers; rarely used branches are boxed as well.
        let deciding = Box::pin(self.decide(context, Box::new(request)));
        let answered = AssertUnwindSafe(deciding).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            tracing::error!("a request to port {} made the gateway panic", connection.port);
            page::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        });
        if let Some(reader) = reader {
            response = reader.show(context, response);
        }
        if asks_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // The following bytes may belong to the refused protocol; they must not be read as a request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(grant) = grant {
            grant.apply(response.headers_mut());
        }
        connection.resources.answers.count(response.status());
        if let Some(mut entry) = entry {
            entry.status = response.status();
            response.body_mut().entry = Some(entry);
        }
        response
    }

    async fn decide(&self, context: &RequestContext<'_>, request: Box<Request<Incoming>>) -> Response<Reply> {
        if let Err((status, why)) = context::well_formed(&request) {
            return page::text(status, why);
        }
        if context.upgrade.is_some() && !request.body().is_end_stream() {
            return page::text(StatusCode::BAD_REQUEST, "an upgrade cannot carry a body");
        }
        if let Some(response) = cors::preflight(&self.settings, &request) {
            return response;
        }
        if *request.method() == Method::OPTIONS
            && let Some(response) = builtin::preflight(request.uri().path())
        {
            return response;
        }
        let reads = context::reads(request.method());
        if reads && let Some(response) = builtin::open(request.uri().path(), &context.base) {
            let wish = compress::Wish::of(self.settings.compress, request.method(), request.headers());
            return compress::asset(wish, response);
        }
        let insists = self.insists(context);
        if reads && request.uri().path() == builtin::READY {
            return Box::pin(self.ready(&request, context, insists)).await;
        }
        // This comes before any of our own pages can be shown under an address that contains a token.
        if !context.secure
            && !insists
            && context.page
            && let Some(clean) = self.auth.token_in(request.uri())
        {
            let session = self.auth.session(request.headers(), context.secure);
            let crosses = matches!(context.target, Target::Service(route) if route.secure_context);
            return login::exchange(&self.auth, &clean, session, context, crosses);
        }
        if !context.secure
            && (insists || context.page)
            && let Some(response) = Box::pin(https::instead(&self.auth, insists, context, &request)).await
        {
            return response;
        }
        if self.auth.is_open(context.connection.port)
            && !origin::is_known_host(request.headers(), &self.settings.names)
        {
            let why =
                "this port needs no login and therefore answers only under an address or a configured name";
            return page::text(StatusCode::MISDIRECTED_REQUEST, why);
        }
        if matches!(request.uri().path(), login::PATH | login::LOGOUT) {
            return Box::pin(self.login(*request, context)).await;
        }
        let changes_ours = context.changes(request.method()) && matches!(context.target, Target::Own(_));
        let slot = &context.connection.resources.slot;
        // Checking the credentials may take some time, so it needs a permit.
        let checks = !slot.is_trusted() && request.headers().contains_key(AUTHORIZATION);
        let checking = if checks { Some(slot.permit(true)) } else { None };
        if let Some(None) = checking {
            return page::crowded();
        }
        let admitted = self.admit(&request, context, changes_ours).await;
        drop(checking);
        let access = match admitted {
            Ok(access) => access,
            Err(_) if reads && context.upgrade.is_none() && builtin::is_public(request.uri().path()) => {
                // Many services do not read the body of a GET and take its bytes for the next request.
                if !request.body().is_end_stream() {
                    return page::text(StatusCode::BAD_REQUEST, "without a login no body is allowed here");
                }
                let Some(permit) = slot.permit(true) else { return page::crowded() };
                let response = Box::pin(self.public(request, context)).await;
                return response.map(|body| body.permitted(permit));
            }
            Err(denied) => return login::deny(context, denied, &request),
        };
        if access.is_inside() {
            slot.trust();
            self.auth.record(access, context.peer, &context.connection.resources.recorded);
            return self.admitted(request, access, context).await;
        }
        let Some(permit) = slot.permit(true) else { return page::crowded() };
        let response = self.admitted(request, access, context).await;
        response.map(|body| body.permitted(permit))
    }

    /// Answers whether the machine is ready; the reason is included only for clients with a login. Credentials that
    /// came unencrypted although https is required are not checked.
    async fn ready(
        &self,
        request: &Request<Incoming>,
        context: &RequestContext<'_>,
        insists: bool,
    ) -> Response<Reply> {
        let Some(_permit) = context.connection.resources.slot.permit(true) else { return page::crowded() };
        let checks = context.secure || !insists;
        let inside = checks && self.admit(request, context, false).await.is_ok_and(Access::is_inside);
        builtin::ready(&self.watch.borrow(), inside)
    }

    async fn admit(
        &self,
        request: &Request<Incoming>,
        context: &RequestContext<'_>,
        changes_ours: bool,
    ) -> Result<Access, Denied> {
        let (port, secure, navigation) = (context.connection.port, context.secure, context.page);
        let way = Way { port, secure, navigation, changes_ours };
        self.auth.admit(request.uri(), request.headers(), context.peer, way).await
    }

    /// Whether requests to a port have to come by https. Ports that are open on loopback only are exempt: users reach
    /// them through their own SSH port forwarding, which encrypts.
    fn insists(&self, context: &RequestContext<'_>) -> bool {
        let inside = match context.target {
            Target::Own(_) => self.settings.inside,
            Target::Service(route) => route.inner,
        };
        self.settings.https && inside != Some(context.connection.port)
    }

    /// Handles a request that authentication has admitted.
    async fn admitted(
        &self,
        mut request: Box<Request<Incoming>>,
        access: Access,
        context: &RequestContext<'_>,
    ) -> Response<Reply> {
        let mut token_shown = false;
        if let Some(clean) = self.auth.without_token(request.uri(), access) {
            if context.page {
                return login::exchange(&self.auth, &clean, access.session(), context, false);
            }
            if access == Access::Credentials && context.upgrade.is_none() {
                token_shown = self.auth.sets_cookies_for_tokens();
            }
            match clean.parse() {
                Ok(uri) => *request.uri_mut() = uri,
                Err(_) => return page::text(StatusCode::BAD_REQUEST, "the address cannot be read"),
            }
        }
        if context.changes(request.method())
            && !cors::trusts(&self.settings, request.headers(), access)
            && let Err(why) = origin::may_change(request.headers(), access, &self.settings.origins)
        {
            return page::json(StatusCode::FORBIDDEN, &json!({ "error": why }));
        }
        let mut response = self.inside(request, access, context).await;
        if token_shown && let Some(cookie) = self.auth.log_in(How::Token, context.secure) {
            response.headers_mut().append(SET_COOKIE, cookie);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }

    /// Chooses the target of a request that has passed all checks.
    async fn inside(
        &self,
        mut request: Box<Request<Incoming>>,
        access: Access,
        context: &RequestContext<'_>,
    ) -> Response<Reply> {
        let own = request.uri().path().starts_with(builtin::PREFIX);
        let guard = || self.auth.guard(access, context.connection.port);
        match context.target {
            Target::Service(route) if request.uri().path() == waiting::EVENTS => {
                let response = waiting::events(Arc::clone(route), self.watch.clone(), &self.logs);
                response.map(|body| body.guarded(&guard()))
            }
            Target::Service(_) if request.uri().path() == waiting::START && access == Access::Open => {
                login::deny(context, Denied::Stranger, &request)
            }
            Target::Service(route)
                if request.uri().path() == waiting::START && *request.method() == Method::POST =>
            {
                let (pages, asker) = (self.pages.get(), self.asker(context));
                let page = context.wants_page.then_some(&context.base);
                let started = waiting::start(route, &self.watch, pages, asker, page);
                Box::pin(started).await
            }
            Target::Service(route) if request.uri().path() == webrtc::PATH && route.webrtc == Some(true) => {
                Box::pin(webrtc::answer(route, request.method(), &context.base)).await
            }
            Target::Own(_) if request.uri().path() == metrics::PATH => {
                let text = Box::pin(self.metrics.text(|| Arc::clone(&self.watch.borrow()))).await;
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                page::answer(StatusCode::OK, kind, text)
            }
            // The portal's port may need no login where the desktop's port needs one.
            Target::Own(_)
                if builtin::is_private(request.uri().path())
                    && access == Access::Open
                    && self.auth.is_required() =>
            {
                login::deny(context, Denied::Stranger, &request)
            }
            Target::Own(router) if request.uri().path() == builtin::SCREENSHOT => {
                Box::pin(own::answer(router.clone(), *request, guard(), self.settings.compress)).await
            }
            _ if own => page::text(StatusCode::NOT_FOUND, "there is nothing here"),
            Target::Own(_) if context.changes(request.method()) && access == Access::Open => {
                login::deny(context, Denied::Stranger, &request)
            }
            Target::Own(router) => {
                match context.upgrade {
                    Some(_) => self.metrics.attach(&mut request),
                    // The page must not take the request for an upgrade that was checked.
                    None => drop(request.headers_mut().remove(UPGRADE)),
                }
                Visitor::attach(&mut request, &self.auth, access, context);
                request.extensions_mut().insert(self.asker(context));
                Box::pin(own::answer(router.clone(), *request, guard(), self.settings.compress)).await
            }
            Target::Service(route) if context.upgrade.is_none() && context::is_moved(route, &request) => {
                page::redirect(&context.base.to(uri::local(&route.path)))
            }
            Target::Service(route) => self.service(route, request, access, context).await,
        }
    }

    /// Sends a request to a service; in place of an answer that the service does not give there is the waiting page.
    async fn service(
        &self,
        route: &Route,
        request: Box<Request<Incoming>>,
        access: Access,
        context: &RequestContext<'_>,
    ) -> Response<Reply> {
        let page = context.page;
        let standing =
            waiting::standing(&self.watch.borrow(), route, page && !waiting::insists(request.uri()));
        // A service that has become unhealthy still gets the request, but the user's page does not wait for ever.
        let limit = (page && waiting::is_unhealthy(&self.watch.borrow(), route)).then_some(waiting::PATIENCE);
        let standing = match standing {
            Some(standing) => standing,
            None => {
                match waiting::within(limit, pin!(forward::forward(self, route, request, access, context)))
                    .await
                {
                    Ok(response) => return response,
                    Err(Failed::Crowded) => return page::crowded(),
                    Err(Failed::Unreachable(error)) => {
                        waiting::silent(&self.watch.borrow(), route, &error.to_string())
                    }
                    Err(Failed::Broken(why)) => {
                        tracing::debug!("{}: {why}", route.unit);
                        let error = format!("{} gave no proper answer", route.title);
                        let error = json!({ "error": error, "reason": why });
                        return page::json(StatusCode::BAD_GATEWAY, &error);
                    }
                }
            }
        };
        let base = page.then_some(&context.base);
        let mut response = waiting::answer(&standing, &self.watch.borrow(), route, &self.logs, base);
        if context.upgrade.is_some() {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        } else if page && context.by_cloudflare {
            *response.status_mut() = StatusCode::OK;
        }
        response
    }

    /// The name of the requester, as messages about the result show it.
    fn asker(&self, context: &RequestContext<'_>) -> Asker {
        Asker(format!("{} (portal, from {})", self.auth.user().0, context.peer))
    }

    /// Answers a request for a path that is public. The answer reveals nothing about the state of the service.
    async fn public(
        &self,
        mut request: Box<Request<Incoming>>,
        context: &RequestContext<'_>,
    ) -> Response<Reply> {
        // The login was refused, so any token may be one of ours: the right one of a banned client, for example.
        if let Some(clean) = uri::without_token(request.uri(), |_| true) {
            match clean.parse() {
                Ok(uri) => *request.uri_mut() = uri,
                Err(_) => return page::text(StatusCode::BAD_REQUEST, "the address cannot be read"),
            }
        }
        let referer = request.headers().get(REFERER);
        if referer.is_some_and(|value| uri::referer_without_token(value.as_bytes(), |_| true).is_some()) {
            request.headers_mut().remove(REFERER);
        }
        let ready = |route: &Route| waiting::standing(&self.watch.borrow(), route, false).is_none();
        match context.target {
            Target::Own(router) => {
                let guard = self.auth.guard(Access::Open, context.connection.port);
                own::answer(router.clone(), *request, guard, self.settings.compress).await
            }
            Target::Service(route) => {
                let forwarded = if ready(route) {
                    forward::forward(self, route, request, Access::Open, context).await.ok()
                } else {
                    None
                };
                forwarded.unwrap_or_else(|| page::text(StatusCode::BAD_GATEWAY, "not available"))
            }
        }
    }

    async fn login(&self, request: Request<Incoming>, context: &RequestContext<'_>) -> Response<Reply> {
        let page = request.uri().path() == login::PATH;
        match *request.method() {
            Method::GET | Method::HEAD if page => login::show(&self.auth, &request, context),
            Method::POST => {
                // The form contains the credentials; here we only check that the form came from our own page.
                let origins = &self.settings.origins;
                if let Err(why) = origin::may_change(request.headers(), Access::Open, origins) {
                    return page::text(StatusCode::FORBIDDEN, why);
                }
                if page {
                    login::enter(&self.auth, request, context).await
                } else {
                    login::leave(&self.auth, request.headers(), context).await
                }
            }
            _ => page::text(StatusCode::METHOD_NOT_ALLOWED, "this address takes a form"),
        }
    }
}
