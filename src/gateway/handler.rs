//! The request handler: decides how each request is answered.
//!
//! The order of the checks is essential for security: malformed requests are rejected first, then the client is
//! authenticated, then the origin of the request is checked, and only then the target is chosen.

mod service;
mod state;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, SET_COOKIE};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use futures_util::FutureExt;
use hyper::body::{Body as _, Incoming};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::json;

use super::access_log::Entry;
use super::auth::{Access, Denied, Way};
use super::body::{Reply, own_text};
use super::context::{self, ConnectionInfo, RequestContext};
use super::target::Target;
use super::{
    compress, cors, errors, https, login, metrics, origin, own, page, rewrite, uri, waiting, webrtc,
};
use crate::plan::routes::Route;
use crate::supervise::Asker;
pub(super) use state::RequestHandler;

impl RequestHandler {
    /// Answers a request. A panic becomes a 500; other requests are not affected.
    pub(super) async fn answer(
        &self,
        target: &Target,
        connection: &ConnectionInfo,
        request: Request<Incoming>,
    ) -> Response<Reply> {
        let asks_upgrade = request.headers().contains_key(axum::http::header::UPGRADE);
        let port = connection.port;
        let entry = self
            .settings
            .access_log
            .then(|| Entry::begin(&self.logs, &request, connection, &self.settings.proxies));
        let reader = errors::Reader::of(self, connection, &request);
        let grant = cors::grant(&self.settings, request.headers());
        // Boxed, because this future is moved through several callers; rarely used branches are boxed as well.
        let deciding = Box::pin(self.decide(target, connection, Box::new(request)));
        let answered = AssertUnwindSafe(deciding).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            tracing::error!("a request to port {port} made the gateway panic");
            own_text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        });
        if let Some(reader) = reader {
            response = reader.show(target, response);
        }
        if asks_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // The following bytes may belong to the refused protocol; they must not be read as a request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(grant) = grant {
            grant.apply(response.headers_mut());
        }
        connection.resources.answers.count(response.status());
        match entry {
            Some(entry) => entry.follow(response),
            None => response,
        }
    }

    async fn decide(
        &self,
        target: &Target,
        connection: &ConnectionInfo,
        request: Box<Request<Incoming>>,
    ) -> Response<Reply> {
        if let Err((status, why)) = context::well_formed(&request) {
            return own_text(status, why);
        }
        let context = RequestContext::of(&request, connection, &self.settings.proxies);
        if context.upgrade.is_some() && !request.body().is_end_stream() {
            return own_text(StatusCode::BAD_REQUEST, "an upgrade cannot carry a body");
        }
        if let Some(response) = cors::preflight(&self.settings, &request) {
            return response.map(Reply::from);
        }
        if *request.method() == Method::OPTIONS
            && let Some(response) = own::preflight(request.uri().path())
        {
            return response.map(Reply::from);
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if reads && let Some(response) = own::open(request.uri().path(), &context.base) {
            let wish = compress::Wish::of(self.settings.compress, request.method(), request.headers());
            return compress::asset(wish, response.map(Reply::from));
        }
        let insists = self.insists(target, context.port);
        if reads && request.uri().path() == own::READY {
            return Box::pin(self.ready(&request, &context, insists)).await.map(Reply::from);
        }
        // This comes before any of our own pages can be shown under an address that contains a token.
        if !context.secure
            && !insists
            && context.is_page()
            && let Some(clean) = self.auth.token_in(request.uri())
        {
            let session = self.auth.session(request.headers(), context.secure);
            let crosses = matches!(target, Target::Service(route) if route.secure_context);
            return login::exchange(&self.auth, &clean, session, &context, crosses).map(Reply::from);
        }
        if !context.secure
            && (insists || context.navigation)
            && let Some(response) =
                Box::pin(https::instead(&self.auth, insists, target, &context, &request)).await
        {
            return response.map(Reply::from);
        }
        let open = self.auth.is_open(context.port);
        if open && !origin::is_known_host(request.headers(), &self.settings.names) {
            let why =
                "this port needs no login and therefore answers only under an address or a configured name";
            return own_text(StatusCode::MISDIRECTED_REQUEST, why);
        }
        if matches!(request.uri().path(), login::PATH | login::LOGOUT) {
            return Box::pin(self.login(*request, &context)).await;
        }
        let changes = context.changes(request.method());
        let way = Way {
            port: context.port,
            secure: context.secure,
            navigation: context.is_page(),
            changes_ours: changes && matches!(target, Target::Own(_)),
        };
        let slot = &context.resources.slot;
        // Checking the credentials may take some time, so it needs a permit.
        let checks = !slot.is_trusted() && request.headers().contains_key(AUTHORIZATION);
        let checking = if checks { Some(slot.permit(true)) } else { None };
        if let Some(None) = checking {
            return page::crowded().map(Reply::from);
        }
        let admitted = self.auth.admit(request.uri(), request.headers(), context.peer, way).await;
        drop(checking);
        let access = match admitted {
            Ok(access) => access,
            Err(_) if reads && context.upgrade.is_none() && own::is_public(request.uri().path()) => {
                // Many services do not read the body of a GET and take its bytes for the next request.
                if !request.body().is_end_stream() {
                    return own_text(StatusCode::BAD_REQUEST, "without a login no body is allowed here");
                }
                let Some(permit) = slot.permit(true) else { return page::crowded().map(Reply::from) };
                let response = Box::pin(self.public(target, request, &context)).await;
                return response.map(|body| body.permitted(permit));
            }
            Err(denied) => return context.deny(denied, &request).map(Reply::from),
        };
        if access.is_inside() {
            slot.trust();
            return self.admitted(target, request, access, &context).await;
        }
        let Some(permit) = slot.permit(true) else { return page::crowded().map(Reply::from) };
        let response = self.admitted(target, request, access, &context).await;
        response.map(|body| body.permitted(permit))
    }

    /// Answers whether the machine is ready; the reason is included only for clients with a login. Credentials that
    /// came unencrypted although https is required are not checked.
    async fn ready(
        &self,
        request: &Request<Incoming>,
        context: &RequestContext,
        insists: bool,
    ) -> Response<Body> {
        let Some(_permit) = context.resources.slot.permit(true) else { return page::crowded() };
        let mut inside = false;
        if context.secure || !insists {
            let way = Way {
                port: context.port,
                secure: context.secure,
                navigation: context.is_page(),
                changes_ours: false,
            };
            let access = self.auth.admit(request.uri(), request.headers(), context.peer, way).await;
            inside = access.is_ok_and(Access::is_inside);
        }
        own::ready(&self.watch.borrow(), inside)
    }

    /// Whether requests to a port have to come by https. Ports that are open on loopback only are exempt: users reach
    /// them through their own SSH port forwarding, which encrypts.
    fn insists(&self, target: &Target, port: u16) -> bool {
        let inside = match target {
            Target::Own(_) => self.settings.inside,
            Target::Service(route) => route.inner,
        };
        self.settings.https && inside != Some(port)
    }

    /// Handles a request that authentication has admitted.
    async fn admitted(
        &self,
        target: &Target,
        mut request: Box<Request<Incoming>>,
        access: Access,
        context: &RequestContext,
    ) -> Response<Reply> {
        let mut token_shown = false;
        if let Some(clean) = self.auth.without_token(request.uri(), access) {
            if context.is_page() {
                return login::exchange(&self.auth, &clean, access.session(), context, false)
                    .map(Reply::from);
            }
            if access == Access::Credentials && context.upgrade.is_none() {
                token_shown = self.auth.sets_cookies_for_tokens();
            }
            match clean.parse() {
                Ok(uri) => *request.uri_mut() = uri,
                Err(_) => return own_text(StatusCode::BAD_REQUEST, "the address cannot be read"),
            }
        }
        let changes = context.changes(request.method());
        if changes
            && !cors::trusts(&self.settings, request.headers(), access)
            && let Err(why) = origin::may_change(request.headers(), access, &self.settings.origins)
        {
            return page::json(StatusCode::FORBIDDEN, &json!({ "error": why })).map(Reply::from);
        }
        self.auth.strip(request.headers_mut(), access.is_inside());
        let mut response = self.inside(target, request, access, context).await;
        if token_shown && let Some(cookie) = self.auth.log_in(context.secure) {
            response.headers_mut().append(SET_COOKIE, cookie);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }

    /// Chooses the target of a request that has passed all checks.
    async fn inside(
        &self,
        target: &Target,
        mut request: Box<Request<Incoming>>,
        access: Access,
        context: &RequestContext,
    ) -> Response<Reply> {
        let own = request.uri().path().starts_with(own::PREFIX);
        match target {
            Target::Service(route) if request.uri().path() == waiting::EVENTS => {
                let response = waiting::events(Arc::clone(route), self.watch.clone(), &self.logs);
                response.map(|body| Reply::from(body).guarded(|| self.auth.guard(access)))
            }
            Target::Service(_) if request.uri().path() == waiting::START && access == Access::Open => {
                context.deny(Denied::Stranger, &request).map(Reply::from)
            }
            Target::Service(route)
                if request.uri().path() == waiting::START && *request.method() == Method::POST =>
            {
                let (pages, asker) = (self.pages.get(), self.asker(context));
                let page = context::wants_page(request.headers()).then_some(&context.base);
                let started = waiting::start(route, &self.watch, pages, asker, page);
                Box::pin(started).await.map(Reply::from)
            }
            Target::Service(route) if request.uri().path() == webrtc::PATH && route.webrtc == Some(true) => {
                Box::pin(webrtc::answer(route, request.method(), &context.base)).await.map(Reply::from)
            }
            Target::Own(_) if request.uri().path() == metrics::PATH => {
                let text = self.metrics.all.text(&self.watch.borrow());
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                page::answer(StatusCode::OK, kind, text).map(Reply::from)
            }
            _ if own => own_text(StatusCode::NOT_FOUND, "there is nothing here"),
            Target::Own(_) if context.changes(request.method()) && access == Access::Open => {
                context.deny(Denied::Stranger, &request).map(Reply::from)
            }
            Target::Own(router) => {
                request.extensions_mut().insert(self.asker(context));
                Box::pin(self.pages(router.clone(), *request, access)).await
            }
            Target::Service(route) if context.upgrade.is_none() && rewrite::is_moved(route, &request) => {
                page::redirect(&context.base.to(uri::local(&route.path))).map(Reply::from)
            }
            Target::Service(route) => self.service(route, request, access, context).await,
        }
    }

    /// The name of the requester, as messages about the result show it.
    fn asker(&self, context: &RequestContext) -> Asker {
        Asker(format!("{} (portal, from {})", self.auth.user().0, context.peer))
    }

    async fn pages(&self, router: Router, request: Request<Incoming>, access: Access) -> Response<Reply> {
        let guard = self.auth.guard(access);
        let wish = compress::Wish::of(self.settings.compress, request.method(), request.headers());
        let response = match TowerToHyperService::new(router).call(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        compress::asset(wish, response.map(|body| Reply::from(body).guarded(|| guard)))
    }

    /// Answers a request for a path that is public. The answer reveals nothing about the state of the service.
    async fn public(
        &self,
        target: &Target,
        mut request: Box<Request<Incoming>>,
        context: &RequestContext,
    ) -> Response<Reply> {
        self.auth.strip(request.headers_mut(), false);
        request.headers_mut().remove(AUTHORIZATION);
        let ready = |route: &Route| waiting::standing(&self.watch.borrow(), route, false).is_none();
        match target {
            Target::Own(router) => self.pages(router.clone(), *request, Access::Open).await,
            Target::Service(route) if ready(route) => self
                .forward(route, request, Access::Open, context)
                .await
                .unwrap_or_else(|_| own_text(StatusCode::BAD_GATEWAY, "not available")),
            Target::Service(_) => own_text(StatusCode::BAD_GATEWAY, "not available"),
        }
    }

    async fn login(&self, request: Request<Incoming>, context: &RequestContext) -> Response<Reply> {
        let page = request.uri().path() == login::PATH;
        match *request.method() {
            Method::GET | Method::HEAD if page => login::show(&self.auth, &request, context).map(Reply::from),
            Method::POST => {
                // The form contains the credentials; here we only check that the form came from our own page.
                let origins = &self.settings.origins;
                if let Err(why) = origin::may_change(request.headers(), Access::Open, origins) {
                    return own_text(StatusCode::FORBIDDEN, why);
                }
                if page {
                    login::enter(&self.auth, request, context).await.map(Reply::from)
                } else {
                    login::leave(&self.auth, request.headers(), context).await.map(Reply::from)
                }
            }
            _ => own_text(StatusCode::METHOD_NOT_ALLOWED, "this address takes a form"),
        }
    }
}
