//! The buttons' requests as a form sends them: start, stop and restart without scripts.

use axum::Extension;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;

use crate::portal::api::{Api, Problem};
use crate::supervise::{Asker, Verb};

use super::events::encoded;
use super::shell::{self, Page};
use super::view::View;

/// What a button sends.
#[derive(Deserialize)]
pub(super) struct Wish {
    name: String,
    verb: String,
}

/// Carries out the request, and leads to the page of the service. A refusal becomes a page that says why.
pub(super) async fn act(
    State(api): State<Api>,
    view: View,
    asker: Option<Extension<Asker>>,
    body: String,
) -> Response {
    let Some(Wish { name, verb }) = wish(&body) else {
        return refused(&view, &Problem(StatusCode::BAD_REQUEST, "the form lacks 'name' or 'verb'".into()));
    };
    let Some(verb) = Verb::ALL.into_iter().find(|known| known.name() == verb) else {
        let text = format!("'{verb}' is not start, stop or restart");
        return refused(&view, &Problem(StatusCode::BAD_REQUEST, text));
    };
    let to = format!("./service?name={}", encoded(&name));
    match api.change(verb, vec![name], false, asker.unwrap_or_default().0).await {
        Ok(_) => (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response(),
        Err(problem) => refused(&view, &problem),
    }
}

fn wish(body: &str) -> Option<Wish> {
    let value = |wanted: &str| {
        let pair =
            body.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == wanted))?;
        let plain = pair.1.replace('+', " ");
        Some(percent_encoding::percent_decode_str(&plain).decode_utf8().ok()?.into_owned())
    };
    Some(Wish { name: value("name")?, verb: value("verb")? })
}

fn refused(view: &View, problem: &Problem) -> Response {
    let body = html! {
        section.notice role="alert" { h2 { "That was refused" } p { (problem.1) } }
        p { a.button href="services" { "Back to the services" } }
    };
    let page = shell::still(view, Page::Services, "Refused", &body);
    (problem.0, [(HeaderName::from_static("cache-control"), "no-store")], page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let found = wish("name=my+app%26x&verb=stop").unwrap();
        assert_eq!((found.name.as_str(), found.verb.as_str()), ("my app&x", "stop"));
        assert!(wish("name=a").is_none() && wish("").is_none() && wish("name=%ff&verb=stop").is_none());
    }
}
