//! The terminal, or how to turn it on.

use maud::{Markup, html};

use crate::config::env::TerminalUser;
use crate::portal::{Terminals, assets};

use super::shell::{self, Answer, Page};
use super::view::View;

pub(super) async fn page(view: View) -> Answer {
    let user = match &view.api.terminals {
        Some(terminals) => terminals.user(),
        None => Err("it is not part of this portal"),
    };
    match user {
        Ok(user) if assets::has_scripts() => {
            let name = view.api.terminals.as_ref().map(Terminals::login).unwrap_or_default();
            shell::whole(
                &view,
                Page::Terminal,
                "Terminal",
                &["terminal.css", "terminal.js"],
                &on(user, &name),
            )
        }
        Ok(_) => shell::page(&view, Page::Terminal, "Terminal", &off("this build has no scripts for pages")),
        Err(why) => shell::page(&view, Page::Terminal, "Terminal", &off(why)),
    }
}

fn on(user: TerminalUser, name: &str) -> Markup {
    let whose = match user {
        TerminalUser::User => "the desktop's user",
        TerminalUser::Root => "root",
    };
    html! {
        div.head {
            h1 { "Terminal" }
            button #terminal-end type="button" hidden { "End the terminal" }
        }
        @let text = format!("A shell of {whose}. It ends when this page is closed.");
        p #terminal-status role="status" data-whose=(text) { (text) }
        section #terminal-form-section {
            form #terminal-form .unlock method="post" action="terminal" {
                input.hidden type="text" name="user" value=(name) autocomplete="username" tabindex="-1" aria-hidden="true" readonly;
                label for="terminal-password" { "Your password, again" }
                input #terminal-password type="password" name="password" autocomplete="current-password" required;
                button #terminal-open disabled { "Open the terminal" }
                label.dim { input #terminal-reader type="checkbox"; " for a screen reader" }
            }
            noscript { p { "The terminal needs scripts. Without scripts: " code { "docker exec -it CONTAINER bash" } } }
        }
        div #terminal-screen hidden {}
        p.more {
            "Tab belongs to the shell: " kbd { "Ctrl" } " " kbd { "Alt" } " " kbd { "X" } " leads out of the terminal. "
            "Copy by selecting, paste with " kbd { "Ctrl" } " " kbd { "Shift" } " " kbd { "V" } "."
        }
    }
}

fn off(why: &str) -> Markup {
    html! {
        h1 { "Terminal" }
        section {
            h2 { "The terminal is off" }
            p.reason { (why) }
            @if why.starts_with("PORTAL_TERMINAL") {
                p { "To turn it on, start the container with this variable. The terminal then asks for the password again each time." }
                dl {
                    dt { code { "PORTAL_TERMINAL=user" } }
                    dd { "a shell of the desktop's user" }
                    dt { code { "PORTAL_TERMINAL=root" } }
                    dd { "a shell of root, who may change everything in the container" }
                }
            } @else {
                p { "Mend the cause above, then start the container again." }
            }
        }
        section.quiet {
            h2 { "Meanwhile" }
            p { "On the host: " code { "docker exec -it CONTAINER bash" } ". On the desktop: its own terminal program." }
        }
    }
}
