//! Errors as people see them: a page that says what is the matter and where it goes on, in place of what programs get.

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE};
use axum::http::{HeaderMap, Request, Response, StatusCode};

use super::base::Base;
use super::body::Reply;
use super::door::{Door, Target};
use super::visit::{self, Arrival};
use super::{login, origin, page};

/// Whoever reads the answer to a request with their own eyes.
pub(super) struct Reader {
    base: Base,
    /// Where the portal is, where that is known.
    portal: Option<String>,
    /// Whether they could still log in.
    outside: bool,
    by_cloudflare: bool,
}

impl Reader {
    /// Whether a person will see the answer; cheap for all others.
    pub(super) fn of<B>(door: &Door, arrival: &Arrival, request: &Request<B>) -> Option<Box<Self>> {
        let headers = request.headers();
        // A WebSocket is no page, nor is the api, wherever it is looked at.
        if !visit::wants_page(headers)
            || headers.contains_key(UPGRADE)
            || request.uri().path().starts_with("/api/")
        {
            return None;
        }
        let proxies = &door.settings.proxies;
        let secure = arrival.tls || proxies.says_https(arrival.peer, headers);
        let base = Base::new(proxies.prefix(arrival.peer, headers), request.uri().path());
        let outside = !door.auth.is_open(arrival.port) && door.auth.session(headers, secure).is_none();
        let portal = portal(door, arrival, headers, (secure, &base));
        let by_cloudflare = visit::is_by_cloudflare(headers);
        Some(Box::new(Self { base, portal, outside, by_cloudflare }))
    }

    /// The answer as they should see it: an error of ours as a page, and a service's that the browser would save as a
    /// file.
    pub(super) fn show(&self, target: &Target, response: Response<Reply>) -> Response<Reply> {
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return response;
        }
        let said = match response.extensions().get::<page::Said>() {
            Some(page::Said(said)) => said.clone(),
            None if is_unreadable(target, response.headers()) => String::new(),
            None => return response,
        };
        let (mut parts, _) = response.into_parts();
        let page = self.page(target, status, &said).map(Reply::from);
        for name in [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_DISPOSITION] {
            parts.headers.remove(name);
        }
        // The page is ours, whoever's answer it stands in for.
        for (name, value) in page.headers() {
            parts.headers.insert(name, value.clone());
        }
        if self.by_cloudflare && status.is_server_error() {
            parts.status = StatusCode::OK;
        }
        Response::from_parts(parts, page.into_body())
    }

    fn page(&self, target: &Target, status: StatusCode, said: &str) -> Response<Body> {
        let link = |address: &str, text: &str| {
            format!("<li><a href=\"{}\">{}</a></li>\n", page::escape(address), page::escape(text))
        };
        let mut ways = match target {
            Target::Own(_) => link(&self.base.to("/"), "Service portal"),
            Target::Service(route) => {
                let portal = self.portal.as_deref().map(|portal| link(portal, "Service portal"));
                link(&self.base.to(&route.path), &page::plain(&route.title)) + &portal.unwrap_or_default()
            }
        };
        if self.outside {
            ways += &link(&self.base.to(login::PATH), "Log in");
        }
        let said = match said {
            "" => String::new(),
            said => format!("<p>{}</p>\n", page::escape(&sentence(&page::plain(said)))),
        };
        let (title, number) = (title(status), status.as_u16());
        let body = format!(
            "<main class=\"card\">\n<h1>{title}</h1>\n{said}<p>Where it goes on:</p>\n\
             <ul class=\"ways\">\n{ways}</ul>\n<p class=\"hint\">HTTP {number}</p>\n</main>\n"
        );
        page::html(status, title, (&self.base, ""), &body)
    }
}

/// Where the portal is: preset, or on its port of the same host. Where somebody else's port or path leads here, ours are
/// not what leads there.
fn portal(
    door: &Door,
    arrival: &Arrival,
    headers: &HeaderMap,
    (secure, base): (bool, &Base),
) -> Option<String> {
    let snapshot = door.watch.borrow();
    let own = snapshot.routes.iter().find(|route| route.own && route.problem.is_none())?;
    if let Some(url) = &own.url {
        return (url.starts_with("https://") || url.starts_with("http://")).then(|| url.clone());
    }
    let host = origin::host(headers)?;
    let name = host.strip_suffix(&format!(":{}", arrival.port))?;
    let scheme = if secure { "https" } else { "http" };
    base.prefix().is_none().then(|| format!("{scheme}://{name}:{}/", own.port))
}

/// Whether a browser would save what a service says instead of showing it, or has nothing to show.
fn is_unreadable(target: &Target, headers: &HeaderMap) -> bool {
    match headers.get(CONTENT_TYPE) {
        Some(kind) => kind.as_bytes().starts_with(b"application/octet-stream"),
        None => matches!(target, Target::Own(_)),
    }
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "This request cannot be read",
        401 => "A login is needed",
        403 => "This is not allowed",
        404 => "There is nothing at this address",
        405 => "This address is used in another way",
        421 => "This port does not answer under that name",
        429 => "Too many attempts",
        431 => "The address is too long",
        500 => "desktopd has made a mistake",
        502 => "There was no proper answer",
        503 => "Not possible at the moment",
        _ => status.canonical_reason().unwrap_or("An error"),
    }
}

/// As people write it.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
