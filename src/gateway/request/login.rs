//! The login page. It exists on every port, so that after the login the user returns to the requested page.

use std::time::Duration;

use axum::http::header::{REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::base::Base;
use super::context::RequestContext;
use super::{page, uri};
use crate::gateway::auth::{Auth, Denied, How, SessionId, user_problems};
use crate::gateway::upstream::body::Reply;
use crate::gateway::upstream::headers::SEC_FETCH_MODE;

/// The path of the login page.
pub(crate) const PATH: &str = "/desktopd/login";

/// The path that ends a session.
pub(crate) const LOGOUT: &str = "/desktopd/logout";

/// Limits for the login form: its size in bytes, and the time until all of it has arrived.
const FORM: usize = 16 * 1024;
const FORM_TIME: Duration = Duration::from_secs(10);

/// The address of the login page that leads back to `uri`.
pub(crate) fn address(uri: &Uri, base: &Base) -> String {
    let back = uri.path_and_query().map_or("/", |path| path.as_str());
    match uri::local(back) {
        "/" => base.to(PATH),
        back => base.to(&format!("{PATH}?next={}", uri::encode(back))),
    }
}

/// The answer to a request that is not admitted: the login page for users, 401 or 429 for programs.
pub(crate) fn deny<B>(context: &RequestContext<'_>, denied: Denied, request: &Request<B>) -> Response<Reply> {
    let browser = request.headers().contains_key(SEC_FETCH_MODE);
    if let Denied::TooMany(wait) = denied {
        let error = json!({ "error": "too many attempts; the time to wait is in Retry-After" });
        let mut response = page::json(StatusCode::TOO_MANY_REQUESTS, &error);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        return response;
    }
    // A browser that remembers an old password sends it without being asked; the login page asks for the new one.
    if context.page && (denied == Denied::Stranger || browser) {
        return page::redirect(&address(request.uri(), &context.base));
    }
    let mut response = page::json(StatusCode::UNAUTHORIZED, &json!({ "error": "a login is needed" }));
    if !browser {
        // Browsers get no challenge: background requests of pages would make them show their own login dialog.
        let challenge = HeaderValue::from_static("Basic realm=\"desktopd\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// GET: shows the form; users who are already logged in are redirected.
pub(crate) fn show(
    auth: &Auth,
    request: &Request<Incoming>,
    context: &RequestContext<'_>,
) -> Response<Reply> {
    let next = request.uri().query().and_then(|query| uri::field(query, "next")).unwrap_or_default();
    let next = String::from_utf8(next).unwrap_or_default();
    if auth.session(request.headers(), context.secure).is_some() {
        return page::redirect(&context.base.to(uri::local(&next)));
    }
    form(StatusCode::OK, &Form { next: uri::local(&next), ..Form::default() }, &context.base)
}

/// POST: checks user name and password.
pub(crate) async fn enter(
    auth: &Auth,
    request: Request<Incoming>,
    context: &RequestContext<'_>,
) -> Response<Reply> {
    let browser = auth.browser(request.headers(), context.secure);
    let slot = &context.connection.resources.slot;
    let Some(permit) = slot.permit(false) else { return page::crowded() };
    let collected = tokio::time::timeout(FORM_TIME, Limited::new(request.into_body(), FORM).collect()).await;
    let Ok(Ok(collected)) = collected else {
        return page::text(StatusCode::BAD_REQUEST, "the form did not arrive completely");
    };
    let bytes = collected.to_bytes();
    // From here on the request waits for us and not for the client, so the connection counts as busy.
    let _permit = (slot.permit(true), permit);
    let sent = String::from_utf8_lossy(&bytes);
    let field = |name| uri::field(&sent, name).unwrap_or_default();
    let next = String::from_utf8(field("next")).unwrap_or_default();
    let next = uri::local(&next);
    let user = field("user");
    let shown = typed(&user);
    let again = |problem| Form { next, user: &shown, problem };
    match auth.password(&user, &field("password"), context.peer, browser).await {
        Ok(()) => {
            slot.trust();
            let cookies = auth
                .log_in(How::Password, context.secure)
                .into_iter()
                .chain(auth.know_browser(context.secure));
            redirect(context, next, cookies)
        }
        Err(Denied::TooMany(wait)) => {
            let text = format!(
                "Too many attempts. Try again in {}. A link with a token (?token=…) still works.",
                in_words(wait)
            );
            let mut response = form(StatusCode::TOO_MANY_REQUESTS, &again(&text), &context.base);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            response
        }
        Err(_) => form(StatusCode::UNAUTHORIZED, &again("User name or password is wrong."), &context.base),
    }
}

/// POST: ends the session.
pub(crate) async fn leave(auth: &Auth, headers: &HeaderMap, context: &RequestContext<'_>) -> Response<Reply> {
    redirect(context, PATH, auth.log_out(headers, context.secure).await)
}

/// A redirect to one of our paths, with cookies.
fn redirect(
    context: &RequestContext<'_>,
    path: &str,
    cookies: impl IntoIterator<Item = HeaderValue>,
) -> Response<Reply> {
    let mut response = page::redirect(&context.base.to(path));
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Answers a request with a token in its address, such as that of the cloud provider's button: a cookie replaces the
/// token, so that the address, the history and every Referer no longer contain it. `crosses`: the client may have to
/// continue by https, where that cookie is not valid.
pub(crate) fn exchange(
    auth: &Auth,
    clean: &str,
    session: Option<SessionId>,
    context: &RequestContext<'_>,
    crosses: bool,
) -> Response<Reply> {
    let cookie = if session.is_none() { auth.log_in(How::Token, context.secure) } else { None };
    let crossing = if crosses { auth.cross() } else { None };
    let mut response = redirect(context, uri::local(clean), cookie.into_iter().chain(crossing));
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A waiting time in words, for the login page.
fn in_words(wait: Duration) -> String {
    match wait.as_secs() {
        0..60 => "a few seconds".to_owned(),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// The user name that was typed, to be shown again in the form; empty if it cannot be a user name.
fn typed(user: &[u8]) -> String {
    let user = String::from_utf8_lossy(user);
    if user_problems(&user).is_empty() { user.into_owned() } else { String::new() }
}

/// The variable parts of the page.
#[derive(Default)]
struct Form<'a> {
    next: &'a str,
    user: &'a str,
    problem: &'a str,
}

fn form(status: StatusCode, shows: &Form<'_>, base: &Base) -> Response<Reply> {
    let (next, user, address) =
        (page::escape(shows.next), page::escape(shows.user), page::escape(&base.to(PATH)));
    // If the user name is already filled in, the password has the focus.
    let (at_user, at_password) = if user.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    let problem = match shows.problem {
        "" => String::new(),
        text => format!("<p class=\"problem\" role=\"alert\">{}</p>\n", page::escape(text)),
    };
    let body = format!(
        "<main class=\"card\">\n<h1>desktopd</h1>\n{problem}\
         <form method=\"post\" action=\"{address}\">\n\
         <input type=\"hidden\" name=\"next\" value=\"{next}\">\n\
         <label for=\"user\">User</label>\n\
         <input id=\"user\" name=\"user\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
         value=\"{user}\" required{at_user}>\n\
         <label for=\"password\">Password</label>\n\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" \
         required{at_password}>\n\
         <button type=\"submit\">Log in</button>\n</form>\n\
         <p class=\"hint\">Forgotten? On the host: <code>docker exec CONTAINER desktopd credentials</code></p>\n\
         </main>\n"
    );
    page::html(status, "Log in · desktopd", (base, ""), &body)
}
