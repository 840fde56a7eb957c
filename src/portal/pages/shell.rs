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
    Machine,
    Display,
    Boot,
    Tunnels,
    Setup,
    Terminal,
    Settings,
}

impl Page {
    /// How many pages a narrow screen shows at once; the others are behind a button.
    const FIRST: usize = 4;

    /// All, in the order of the navigation.
    pub(super) const ALL: [Self; 10] = [
        Self::Home,
        Self::Services,
        Self::Logs,
        Self::Machine,
        Self::Display,
        Self::Boot,
        Self::Tunnels,
        Self::Setup,
        Self::Terminal,
        Self::Settings,
    ];

    /// Whether the navigation leads to the page.
    pub(super) fn is_shown(self, view: &View) -> bool {
        self != Self::Terminal
            || view.api.terminals.as_ref().is_some_and(|terminals| terminals.user().is_ok())
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Home => "Home",
            Self::Services => "Services",
            Self::Logs => "Logs",
            Self::Display => "Display",
            Self::Boot => "Boot",
            Self::Machine => "Machine",
            Self::Tunnels => "Tunnels",
            Self::Setup => "Setup",
            Self::Terminal => "Terminal",
            Self::Settings => "Settings",
        }
    }

    /// The address, relative to all other pages.
    pub(super) fn address(self) -> &'static str {
        match self {
            Self::Home => "./",
            Self::Services => "services",
            Self::Logs => "logs",
            Self::Display => "display",
            Self::Boot => "boot",
            Self::Machine => "machine",
            Self::Tunnels => "tunnels",
            Self::Setup => "setup",
            Self::Terminal => "terminal",
            Self::Settings => "settings",
        }
    }

    /// The letter that leads here, after `g`.
    fn key(self) -> char {
        match self {
            Self::Home => 'h',
            Self::Services => 's',
            Self::Logs => 'l',
            Self::Machine => 'm',
            Self::Display => 'd',
            Self::Boot => 'b',
            Self::Tunnels => 't',
            Self::Setup => 'u',
            Self::Settings => 'e',
            Self::Terminal => 'x',
        }
    }

    fn icon(self) -> Markup {
        match self {
            Self::Home => icons::home(),
            Self::Services => icons::services(),
            Self::Logs => icons::logs(),
            Self::Display => icons::display(),
            Self::Boot => icons::boot(),
            Self::Machine => icons::machine(),
            Self::Tunnels => icons::tunnels(),
            Self::Setup => icons::setup(),
            Self::Terminal => icons::terminal(),
            Self::Settings => icons::settings(),
        }
    }
}

/// A page as an answer: it must not be kept by the browser.
pub(super) type Answer = ([(HeaderName, HeaderValue); 2], String);

/// A page with this title and content. The scripts replace the elements `#summary` and `#main` with newer ones.
pub(super) fn page(view: &View, page: Page, title: &str, body: &Markup) -> Answer {
    written(view, page, title, &[], true, body)
}

/// The same, with files of its own that are part of the compiled scripts: without those the page has none of them.
pub(super) fn with_scripts(view: &View, page: Page, title: &str, own: &[&str], body: &Markup) -> Answer {
    written(view, page, title, if assets::has_scripts() { own } else { &[] }, true, body)
}

/// The same, for a page that is the answer to a form: scripts must not fetch it again.
pub(super) fn still(view: &View, page: Page, title: &str, body: &Markup) -> Answer {
    written(view, page, title, &[], false, body)
}

/// The same, with further style sheets and scripts. A page with scripts of its own keeps itself up to date.
pub(super) fn whole(view: &View, page: Page, title: &str, own: &[&str], body: &Markup) -> Answer {
    written(view, page, title, own, !own.iter().any(|file| is(file, ".js")), body)
}

fn is(file: &str, kind: &str) -> bool {
    file.ends_with(kind)
}

/// The text of a page. `live`: the common scripts keep the page up to date.
fn written(view: &View, page: Page, title: &str, own: &[&str], live: bool, body: &Markup) -> Answer {
    let all: Vec<Page> = Page::ALL.into_iter().filter(|page| page.is_shown(view)).collect();
    let (first, more) = all.split_at(Page::FIRST);
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
                    script src=(assets::address(file)) type=[live.then_some("module")] defer[!live] {}
                }
            }
            body data-live[live] data-daemon=(view.snapshot.started_at) {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    p.brand { strong { "desktopd" } " " span title="The name of this machine" { (view.host) } }
                    (summary(view))
                    button #commands .quiet type="button" aria-haspopup="dialog" hidden { "Commands " kbd { "Ctrl K" } }
                    form method="post" action="desktopd/logout" { button.quiet type="submit" { "Log out" } }
                }
                nav.pages aria-label="Pages" {
                    @for one in first { (link(*one, page)) }
                    button.more type="button" popovertarget="more" data-current[more.contains(&page)] {
                        (icons::more()) span { "More" }
                    }
                    div #more popover { @for one in more { (link(*one, page)) } }
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

/// A link to `one` on the page `here`.
fn link(one: Page, here: Page) -> Markup {
    html! {
        a href=(one.address()) data-key=(one.key()) aria-current=[(one == here).then_some("page")] { (one.icon()) span { (one.title()) } }
    }
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
                button value="" { "Cancel" }
                button #question-yes .danger value="yes" {}
            }
        }
    }
}
