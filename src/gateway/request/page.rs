//! Builds our own answers: pages, redirects and errors, all with protective headers.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::base::Base;
use crate::gateway::upstream::body::Reply;

/// Content Security Policy: nothing inline, nothing from other origins, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const PROTECTION: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// Sets the headers of all our own answers, where they are not set already.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in PROTECTION {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Builds an answer.
pub(crate) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Reply> {
    let mut response = Response::new(Reply::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    protect(response.headers_mut());
    response
}

/// The text of one of our own errors, kept in the answer's extensions for the error page that users get instead.
#[derive(Clone)]
pub(crate) struct Said(pub(crate) String);

/// An HTML page. `head` and `body` are markup; all foreign text in them must have passed [`escape`]. `base` is for our
/// own addresses.
pub(crate) fn html(
    status: StatusCode,
    title: &str,
    (base, head): (&Base, &str),
    body: &str,
) -> Response<Reply> {
    let (title, style) = (escape(title), escape(&base.to("/desktopd/gateway.css")));
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"{style}\">\n{head}\
         </head>\n<body>\n{body}</body>\n</html>\n"
    );
    answer(status, "text/html; charset=utf-8", page)
}

/// A plain text answer.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Reply> {
    let text = text.into();
    said(answer(status, "text/plain; charset=utf-8", text.clone() + "\n"), text)
}

/// A JSON answer, mostly an error for programs.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Reply> {
    let mut text = value["error"].as_str().unwrap_or_default().to_owned();
    if let Some(reason) = value["reason"].as_str().filter(|reason| !reason.is_empty()) {
        text = format!("{text}: {reason}");
    }
    said(answer(status, "application/json", value.to_string()), text)
}

/// Keeps the text of an error in the answer's extensions.
pub(crate) fn said<B>(mut response: Response<B>, text: String) -> Response<B> {
    if response.status().as_u16() >= 400 {
        response.extensions_mut().insert(Said(text));
    }
    response
}

/// The answer to a request that exceeds the limits.
pub(crate) fn crowded() -> Response<Reply> {
    json(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "error": "too many requests at once" }))
}

/// A redirect to another page of this host, to be requested by GET; see [`Base::to`].
pub(crate) fn redirect(to: &str) -> Response<Reply> {
    let mut response = text(StatusCode::SEE_OTHER, "");
    let to = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, to);
    response
}

/// Escapes text for markup, also for quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let marks = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];
    marks.iter().fold(text.to_owned(), |text, (mark, name)| text.replace(mark, name))
}

/// Removes terminal escape sequences (such as colours) and control characters, except tabs.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.extend((!c.is_control() || c == '\t').then_some(c));
            continue;
        }
        match chars.next() {
            Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            // An OSC sequence (a title or a link), up to the bell or the string terminator.
            Some(']') => {
                while let Some(c) = chars.next() {
                    if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_are_removed() {
        for (text, plain_text) in [
            ("\u{1b}[1;31merror\u{1b}[0m: x", "error: x"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[", "a"),
            ("a\tb\rc\u{7}", "a\tbc"),
        ] {
            assert_eq!(plain(text), plain_text);
        }
    }

    proptest! {
        #[test]
        fn escaped_text_is_no_markup(text in "\\PC{0,60}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
        }
    }
}
