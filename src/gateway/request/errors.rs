//! Error pages: users get a page with the error and links to continue, in place of the short answer for programs.

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderMap, Request, Response, StatusCode};

use super::context::RequestContext;
use super::{login, origin, page};
use crate::gateway::state::RequestHandler;
use crate::gateway::upstream::body::Reply;
use crate::gateway::upstream::target::Target;

/// The user who will see the answer to a request as a page.
pub(crate) struct Reader {
    /// The address of the portal, if it is known.
    portal: Option<String>,
    /// Whether the user is not logged in, so that the page offers a login.
    outside: bool,
}

impl Reader {
    /// The reader, if a user will see the answer as a page; cheap for all other requests.
    pub(crate) fn of<B>(
        handler: &RequestHandler,
        context: &RequestContext<'_>,
        request: &Request<B>,
    ) -> Option<Self> {
        let headers = request.headers();
        // A WebSocket is no page, and API answers stay as they are even in a browser.
        if !context.wants_page || headers.contains_key(UPGRADE) || request.uri().path().starts_with("/api/") {
            return None;
        }
        let auth = &handler.auth;
        let outside =
            !auth.is_open(context.connection.port) && auth.session(headers, context.secure).is_none();
        Some(Self { portal: portal(handler, context, headers), outside })
    }

    /// The answer for the user: replaces our own errors by a page, and also errors of a service that the browser would
    /// save as a file.
    pub(crate) fn show(&self, context: &RequestContext<'_>, response: Response<Reply>) -> Response<Reply> {
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let said = match response.extensions().get::<page::Said>() {
            Some(page::Said(said)) => said.clone(),
            None if is_unreadable(context.target, response.headers()) => String::new(),
            None => return response,
        };
        let (mut parts, _) = response.into_parts();
        let page = self.page(context, status, &said);
        for name in [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_DISPOSITION] {
            parts.headers.remove(name);
        }
        // The page is ours, even if it replaces an answer of the service.
        for (name, value) in page.headers() {
            parts.headers.insert(name, value.clone());
        }
        if context.by_cloudflare && status.is_server_error() {
            parts.status = StatusCode::OK;
        }
        Response::from_parts(parts, page.into_body())
    }

    fn page(&self, context: &RequestContext<'_>, status: StatusCode, said: &str) -> Response<Reply> {
        let base = &context.base;
        let link = |address: &str, text: &str| {
            format!("<li><a href=\"{}\">{}</a></li>\n", page::escape(address), page::escape(text))
        };
        let mut ways = match context.target {
            Target::Own(_) => link(&base.to("/"), "Service portal"),
            Target::Service(route) => {
                let portal = self.portal.as_deref().map(|portal| link(portal, "Service portal"));
                link(&base.to(&route.path), &page::plain(&route.title)) + &portal.unwrap_or_default()
            }
        };
        if self.outside {
            ways += &link(&base.to(login::PATH), "Log in");
        }
        let said = match said {
            "" => String::new(),
            said => format!("<p>{}</p>\n", page::escape(&sentence(&page::plain(said)))),
        };
        let (title, number) = (title(status), status.as_u16());
        let body = format!(
            "<main class=\"card\">\n<h1>{title}</h1>\n{said}<p>You can continue here:</p>\n\
             <ul class=\"ways\">\n{ways}</ul>\n<p class=\"hint\">HTTP {number}</p>\n</main>\n"
        );
        page::html(status, title, (base, ""), &body)
    }
}

/// The address of the portal: configured, or its port on the same host. Unknown if the client reached us through a
/// foreign port or path: our own port number would then lead nowhere.
fn portal(handler: &RequestHandler, context: &RequestContext<'_>, headers: &HeaderMap) -> Option<String> {
    let snapshot = handler.watch.borrow();
    let own = snapshot.routes.iter().find(|route| route.own && route.problem.is_none())?;
    if let Some(url) = &own.url {
        return (url.starts_with("https://") || url.starts_with("http://")).then(|| url.clone());
    }
    let host = origin::host(headers)?;
    let name = host.strip_suffix(&format!(":{}", context.connection.port))?;
    let scheme = if context.secure { "https" } else { "http" };
    context.base.prefix().is_none().then(|| format!("{scheme}://{name}:{}/", own.port))
}

/// Whether a browser would save an answer as a file instead of showing it, or has nothing to show.
fn is_unreadable(target: &Target, headers: &HeaderMap) -> bool {
    match headers.get(CONTENT_TYPE) {
        Some(kind) => kind.as_bytes().starts_with(b"application/octet-stream"),
        None => matches!(target, Target::Own(_)),
    }
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "This request cannot be read",
        401 => "Login required",
        403 => "This is not allowed",
        404 => "There is nothing at this address",
        405 => "This address does not accept this method",
        421 => "This port does not answer under that name",
        429 => "Too many attempts",
        431 => "The address is too long",
        500 => "Internal error of desktopd",
        502 => "There was no valid answer",
        503 => "Not possible at the moment",
        _ => status.canonical_reason().unwrap_or("An error"),
    }
}

/// The text as a sentence: with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
