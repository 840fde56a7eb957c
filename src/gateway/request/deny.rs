//! The answer to a request that is not admitted: the login page for users, 401 or 429 for programs.

use axum::body::Body;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use serde_json::json;

use super::context::RequestContext;
use super::{login, page};
use crate::gateway::auth::Denied;
use crate::gateway::upstream::headers::SEC_FETCH_MODE;

impl RequestContext {
    /// The answer to a request that is not admitted.
    pub(crate) fn deny<B>(&self, denied: Denied, request: &Request<B>) -> Response<Body> {
        let browser = request.headers().contains_key(SEC_FETCH_MODE);
        if let Denied::TooMany(wait) = denied {
            let error = json!({ "error": "too many attempts; the time to wait is in Retry-After" });
            let mut response = page::json(StatusCode::TOO_MANY_REQUESTS, &error);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            return response;
        }
        // A browser that remembers an old password sends it without being asked; the login page asks for the new one.
        if self.navigation && self.upgrade.is_none() && (denied == Denied::Stranger || browser) {
            return page::redirect(&login::address(request.uri(), &self.base));
        }
        let mut response = page::json(StatusCode::UNAUTHORIZED, &json!({ "error": "a login is needed" }));
        if !browser {
            // Browsers get no challenge: background requests of pages would make them show their own login dialog.
            let challenge = HeaderValue::from_static("Basic realm=\"desktopd\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
