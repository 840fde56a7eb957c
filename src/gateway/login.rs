//! The login page. It answers on every port, so that the way back is to the very page that was asked for.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::auth::{Auth, Denied};
use super::visit::Visit;
use super::{page, uri};

/// Where it is.
pub(super) const PATH: &str = "/desktopd/login";

/// Where a session is ended.
pub(super) const LOGOUT: &str = "/desktopd/logout";

/// A form is small and comes at once.
const FORM: usize = 16 * 1024;
const FORM_TIME: Duration = Duration::from_secs(10);

/// The address of the login page that leads back to `uri`.
pub(super) fn address(uri: &Uri) -> String {
    let back = uri.path_and_query().map_or("/", |path| path.as_str());
    match uri::local(back) {
        "/" => PATH.to_owned(),
        back => format!("{PATH}?next={}", uri::encode(back)),
    }
}

/// GET: the form, or straight on for whoever is logged in.
pub(super) fn show(auth: &Auth, request: &Request<Incoming>, secure: bool) -> Response<Body> {
    let next = request.uri().query().and_then(|query| uri::field(query, "next")).unwrap_or_default();
    let next = String::from_utf8(next).unwrap_or_default();
    if auth.session(request.headers(), secure).is_some() {
        return page::redirect(uri::local(&next));
    }
    form(StatusCode::OK, uri::local(&next), "")
}

/// POST: checks what was typed.
pub(super) async fn enter(auth: &Auth, request: Request<Incoming>, visit: &Visit) -> Response<Body> {
    let place = &visit.place.place;
    let Some(permit) = place.permit(false) else { return page::crowded() };
    let collected = tokio::time::timeout(FORM_TIME, Limited::new(request.into_body(), FORM).collect()).await;
    let Ok(Ok(collected)) = collected else {
        return page::text(StatusCode::BAD_REQUEST, "the form did not arrive whole");
    };
    let bytes = collected.to_bytes();
    // From here on it is our turn.
    let _permit = (place.permit(true), permit);
    let sent = String::from_utf8_lossy(&bytes);
    let field = |name| uri::field(&sent, name).unwrap_or_default();
    let next = String::from_utf8(field("next")).unwrap_or_default();
    let next = uri::local(&next);
    match auth.password(&field("user"), &field("password"), visit.peer).await {
        Ok(()) => {
            place.trust();
            let mut response = page::redirect(next);
            if let Some(cookie) = auth.log_in(visit.secure) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Err(Denied::TooMany(wait)) => {
            let text = format!("Too many attempts from your address. Try again in {}.", in_words(wait));
            let mut response = form(StatusCode::TOO_MANY_REQUESTS, next, &text);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            response
        }
        Err(_) => form(StatusCode::UNAUTHORIZED, next, "User name or password is wrong."),
    }
}

/// POST: ends the session.
pub(super) async fn leave(auth: &Auth, headers: &HeaderMap, secure: bool) -> Response<Body> {
    let mut response = page::redirect(PATH);
    for cookie in auth.log_out(headers, secure).await {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// How long to wait, for people.
fn in_words(wait: Duration) -> String {
    match wait.as_secs() {
        0..60 => "a few seconds".to_owned(),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

fn form(status: StatusCode, next: &str, problem: &str) -> Response<Body> {
    let next = page::escape(next);
    let problem = match problem {
        "" => String::new(),
        text => format!("<p class=\"problem\" role=\"alert\">{}</p>\n", page::escape(text)),
    };
    let body = format!(
        "<main class=\"card\">\n<h1>desktopd</h1>\n{problem}\
         <form method=\"post\" action=\"{PATH}\">\n\
         <input type=\"hidden\" name=\"next\" value=\"{next}\">\n\
         <label for=\"user\">User</label>\n\
         <input id=\"user\" name=\"user\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
         required autofocus>\n\
         <label for=\"password\">Password</label>\n\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\n\
         <button type=\"submit\">Log in</button>\n</form>\n\
         <p class=\"hint\">Forgotten? On the host: <code>docker exec CONTAINER desktopd credentials</code></p>\n\
         </main>\n"
    );
    page::html(status, "Log in · desktopd", "", &body)
}
