//! The credentials, shown once after the password was given again.
//!
//! Invariants: a page with credentials is the answer to a form with the right password and to nothing else: it has no
//! address of its own, must not be kept by the browser, and is not fetched again by scripts; the password is checked in
//! the same way as that of a login, so this form is no other way to guess it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use crate::gateway::auth::Denied;
use crate::gateway::uri;
use crate::portal::api::{Api, Client};
use crate::portal::credentials::Credentials;

use crate::portal::pages::shell::{self, Page};
use crate::portal::pages::view::View;
use crate::portal::pages::ways;

pub(super) fn section(view: &View) -> Markup {
    let Ok(login) = view.api.login() else { return html! {} };
    html! {
        section #credentials aria-labelledby="credentials-title" {
            h2 #credentials-title { "Credentials" }
            @if login.is_required() { (form(&login.current().user, "")) } @else { (open()) }
        }
    }
}

/// Why there is nothing to show.
fn open() -> Markup {
    html! {
        p {
            "Authentication is disabled (" code { "WEB_ENABLE_AUTH" } " is false): every client that reaches the ports can use \
             the desktop, without credentials."
        }
    }
}

fn form(user: &str, problem: &str) -> Markup {
    html! {
        p {
            "User, password, token and links that log in are shown once, after you give the password again. In a terminal: "
            code { "desktopd credentials" } ", as root."
        }
        @if !problem.is_empty() { p.reason role="alert" { (problem) } }
        form.field method="post" action="credentials" {
            // Programs that remember passwords look for the user name.
            input.hidden type="text" name="user" value=(user) autocomplete="username" readonly tabindex="-1" aria-label="User";
            label for="password" { "Password of the web services" }
            div.actions {
                input #password type="password" name="password" autocomplete="current-password" required
                    aria-invalid=[(!problem.is_empty()).then_some("true")];
                button { "Show the credentials" }
            }
        }
    }
}

/// Answers the form.
pub(super) async fn show(State(api): State<Api>, view: View, client: Client, body: String) -> Response {
    let (Ok(login), Some(visitor)) = (api.login(), client.visitor) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !login.is_required() {
        return page(&view, StatusCode::OK, &open());
    }
    let user = login.current().user;
    let password = uri::field(&body, "password").unwrap_or_default();
    match visitor.confirm(&login.auth, &password).await {
        Ok(()) => {
            tracing::info!("{} had the credentials of the web services shown", client.by.0);
            page(&view, StatusCode::OK, &shown(&view, &login.current()))
        }
        Err(Denied::TooMany(wait)) => {
            let seconds = wait.as_secs().max(1);
            let problem = format!("Too many attempts. Try again in {seconds} s.");
            let mut response = page(&view, StatusCode::TOO_MANY_REQUESTS, &form(&user, &problem));
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            response
        }
        Err(Denied::Wrong | Denied::Stranger) => {
            page(&view, StatusCode::FORBIDDEN, &form(&user, "The password is wrong."))
        }
    }
}

fn page(view: &View, status: StatusCode, content: &Markup) -> Response {
    let body = html! {
        div.head { h1 { "Credentials" } a.button href="settings" { "Back to the settings" } }
        section aria-label="Credentials" { (content) }
    };
    (status, shell::still(view, Page::Settings, "Credentials", &body)).into_response()
}

fn shown(view: &View, credentials: &Credentials) -> Markup {
    let (desktop, rest) = ways::elsewhere(&view.snapshot);
    let own = view.snapshot.routes.iter().filter(|route| route.own);
    let routes =
        desktop.into_iter().chain(rest).chain(own).filter(|route| route.own || !route.unit.is_empty());
    let links: Vec<_> = routes
        .filter_map(|route| {
            let link = ways::link(route, &view.address)?;
            Some((route.title.as_str(), uri::with_token(&link, &credentials.token)))
        })
        .collect();
    html! {
        p { "This page shows them once. Close it, or go back to the settings, when you are done." }
        dl {
            dt { "User" } dd { (secret("user", &credentials.user)) }
            dt { "Password" }
            dd {
                @match &credentials.password {
                    Some(password) => (secret("password", password)),
                    None if credentials.chosen => {
                        "The one that you just gave. It was set with " code { "set-web-credentials" } ", and desktopd keeps only \
                         its hash."
                    }
                    None => "The one that you just gave. desktopd was given only its hash.",
                }
            }
            dt { "Token" } dd { (secret("token", &credentials.token)) }
            @for (title, link) in &links {
                dt { "Link to " bdi { (title) } } dd { (secret(title, link)) }
            }
        }
        p.dim { "A client with the token, or with a link that contains it, needs no password." }
    }
}

fn secret(name: &str, text: &str) -> Markup {
    html! {
        code { (text) } " "
        button.quiet type="button" data-copy=(text) aria-label={ "Copy: " (name) } hidden { "Copy" }
    }
}
