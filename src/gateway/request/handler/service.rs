//! Requests that go to a service, and what is answered if the service gives no answer.

use std::pin::pin;

use axum::http::header::SET_COOKIE;
use axum::http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use serde_json::json;

use super::state::RequestHandler;
use crate::gateway::auth::{Access, SessionGuard};
use crate::gateway::request::context::RequestContext;
use crate::gateway::request::{page, waiting};
use crate::gateway::upstream::body::{Reply, own_text};
use crate::gateway::upstream::failed::Failed;
use crate::gateway::upstream::{bridge, compress, forward, rewrite};
use crate::plan::routes::Route;

impl RequestHandler {
    pub(super) async fn service(
        &self,
        route: &Route,
        request: Box<Request<Incoming>>,
        access: Access,
        context: &RequestContext,
    ) -> Response<Reply> {
        let upgrades = context.upgrade.is_some();
        let page = context.navigation && !upgrades;
        let standing =
            waiting::standing(&self.watch.borrow(), route, page && !waiting::insists(request.uri()));
        // A service that has become unhealthy still gets the request, but the user's page does not wait for ever.
        let limit = (page && waiting::is_unhealthy(&self.watch.borrow(), route)).then_some(waiting::PATIENCE);
        let standing = match standing {
            Some(standing) => standing,
            None => match waiting::within(limit, pin!(self.forward(route, request, access, context))).await {
                Ok(response) => return response,
                Err(Failed::Crowded) => return page::crowded().map(Reply::from),
                Err(Failed::Unreachable(error)) => {
                    waiting::silent(&self.watch.borrow(), route, &error.to_string())
                }
                Err(Failed::Broken(why)) => {
                    tracing::debug!("{}: {why}", route.unit);
                    let error = format!("{} gave no proper answer", route.title);
                    let error = json!({ "error": error, "reason": why });
                    return page::json(StatusCode::BAD_GATEWAY, &error).map(Reply::from);
                }
            },
        };
        let base = page.then_some(&context.base);
        let mut response = waiting::answer(&standing, &self.watch.borrow(), route, &self.logs, base);
        if upgrades {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        } else if page && context.by_cloudflare {
            *response.status_mut() = StatusCode::OK;
        }
        response.map(Reply::from)
    }

    pub(super) async fn forward(
        &self,
        route: &Route,
        mut request: Box<Request<Incoming>>,
        access: Access,
        context: &RequestContext,
    ) -> Result<Response<Reply>, Failed> {
        if let Some(refusal) = rewrite::refuse(route, &request) {
            return Ok(refusal.map(Reply::from));
        }
        // Taken before the request is sent: if the session is revoked while the service works, its answer ends.
        let held = self.auth.guard(access);
        let guard = || held.clone();
        let wish = compress::Wish::of(self.settings.compress, request.method(), request.headers());
        rewrite::pages(route, request.headers_mut(), &self.settings.origins, context.secure);
        if context.upgrade.is_some() {
            self.metrics.attach(&mut request);
        }
        let mut response = if request.body().is_end_stream() {
            answer(route, request, context, guard).await?
        } else {
            // The request body may never end either. Dropping this future cancels the request to the service.
            tokio::select! {
                response = Box::pin(answer(route, request, context, guard)) => response?,
                () = held.ended().cancelled() => return Ok(over()),
            }
        };
        if held.is_revoked() {
            return Ok(over());
        }
        rewrite::answer(route, response.headers_mut());
        let headers = response.headers_mut();
        if headers.get_all(SET_COOKIE).iter().any(|cookie| self.auth.is_our_cookie(cookie)) {
            let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().cloned().collect();
            headers.remove(SET_COOKIE);
            for cookie in cookies.into_iter().filter(|cookie| !self.auth.is_our_cookie(cookie)) {
                headers.append(SET_COOKIE, cookie);
            }
        }
        Ok(compress::answer(wish, response))
    }
}

/// The answer when the session ended while the service was still working on the request.
fn over() -> Response<Reply> {
    own_text(StatusCode::SERVICE_UNAVAILABLE, "the session has ended, or desktopd is stopping")
}

/// The answer of the service, or of the bridge in front of it.
async fn answer(
    route: &Route,
    request: Box<Request<Incoming>>,
    context: &RequestContext,
    guard: impl Fn() -> SessionGuard,
) -> Result<Response<Reply>, Failed> {
    match &route.bridge {
        Some(bridge) => Box::pin(bridge::answer(bridge, route, *request, context, guard)).await,
        None => forward::forward(route, request, context, guard).await,
    }
}
