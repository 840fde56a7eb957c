//! What all pages share: head, navigation, the line that sums up, and the question's dialog.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use maud::{DOCTYPE, Markup, html};

use crate::observe::Phase;
use crate::portal::assets;

use super::icons;
use super::view::View;

/// The pages of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Home,
    Services,
    Logs,
    Display,
    Boot,
}

impl Page {
    const ALL: [Self; 5] = [Self::Home, Self::Services, Self::Logs, Self::Display, Self::Boot];

    fn title(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Services => "Services",
            Self::Logs => "Logs",
            Self::Display => "Display",
            Self::Boot => "Boot",
        }
    }

    /// The address, relative to all other pages.
    fn address(self) -> &'static str {
        match self {
            Self::Home => "./",
            Self::Services => "services",
            Self::Logs => "logs",
            Self::Display => "display",
            Self::Boot => "boot",
        }
    }

    fn icon(self) -> Markup {
        match self {
            Self::Home => icons::home(),
            Self::Services => icons::services(),
            Self::Logs => icons::logs(),
            Self::Display => icons::display(),
            Self::Boot => icons::boot(),
        }
    }
}

/// A page as an answer: it must not be kept by the browser.
pub(super) type Answer = ([(HeaderName, HeaderValue); 2], String);

/// A page with this title and content. The scripts replace the elements `#summary` and `#main` with newer ones.
pub(super) fn page(view: &View, page: Page, title: &str, body: &Markup) -> Answer {
    whole(view, page, title, &[], body)
}

/// The same, with further style sheets and scripts of its own: such a page keeps itself up to date.
pub(super) fn whole(view: &View, page: Page, title: &str, own: &[&str], body: &Markup) -> Answer {
    let is = |file: &&&str, kind: &str| file.ends_with(kind);
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (view.host) }
                link rel="icon" href=(assets::address("icon.svg"));
                link rel="stylesheet" href=(assets::address("portal.css"));
                @for file in own.iter().filter(|file| is(file, ".css")) {
                    link rel="stylesheet" href=(assets::address(file));
                }
                @if assets::has_scripts() {
                    script src=(assets::address("app.js")) type="module" {}
                }
                @for file in own.iter().filter(|file| is(file, ".js")) {
                    script src=(assets::address(file)) defer {}
                }
            }
            body data-live[own.is_empty()] data-daemon=(view.snapshot.started_at) {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    p.brand { strong { "desktopd" } " " span title="The name of this machine" { (view.host) } }
                    (summary(view))
                    form method="post" action="desktopd/logout" { button.quiet type="submit" { "Log out" } }
                }
                nav.pages aria-label="Pages" {
                    @for one in Page::ALL {
                        a href=(one.address()) aria-current=[(one == page).then_some("page")] {
                            (one.icon()) span { (one.title()) }
                        }
                    }
                }
                p #connection .notice role="status" hidden {}
                main #main tabindex="-1" { (body) }
                (dialog())
                p #message role="status" hidden {}
            }
        }
    };
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    ([kind, (CACHE_CONTROL, HeaderValue::from_static("no-store"))], text.into_string())
}

fn summary(view: &View) -> Markup {
    let snapshot = &view.snapshot;
    let class = match snapshot.phase {
        Phase::Running if snapshot.ready && snapshot.problems.is_empty() => "ready",
        Phase::Running if !snapshot.ready && snapshot.up => "failed",
        Phase::Running if !snapshot.problems.is_empty() => "failed",
        _ => "starting",
    };
    html! { p #summary .state.(class) aria-live="polite" { (snapshot.summary) } }
}

/// Filled in by the scripts.
fn dialog() -> Markup {
    html! {
        dialog #question aria-labelledby="question-title" aria-describedby="question-text" {
            h2 #question-title {}
            p #question-text {}
            form.actions method="dialog" {
                button value="" autofocus { "Cancel" }
                button #question-yes .danger value="yes" {}
            }
        }
    }
}
