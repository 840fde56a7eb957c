//! The ways in from outside that a tunnel makes. None is opened yet: the page says so, and which ways there are.

use maud::{Markup, html};

use crate::config::env::Row;

use super::shell::{self, Answer, Page};
use super::view::View;

/// The variables that ask for a tunnel.
const ASKS: [&str; 2] = ["CF_TUNNEL_TOKEN", "CF_QUICK_TUNNELS"];

pub(super) async fn page(view: View) -> Answer {
    let rows = view.api.variables();
    let rows: Vec<&Row> = rows.iter().filter(|row| ASKS.contains(&row.name.as_str())).collect();
    let asked = rows.iter().any(|row| row.source != "default" && row.value != row.default);
    let body = html! {
        div.head { h1 { "Tunnels" } }
        section #tunnels aria-labelledby="tunnels-title" {
            h2 #tunnels-title { "No tunnel is open" }
            p {
                "A tunnel of Cloudflare leads from an https address of the internet to this machine, without an open port. "
                strong { "This version of desktopd opens no tunnels." }
                @if asked { " The variables below ask for one; until then they have another effect, which is said there." }
            }
            dl { @for row in rows { (variable(row)) } }
            p.dim {
                "A " code { "cloudflared" } " of your own in this container can lead to the ports below. With one of these "
                "variables set, the gateway believes the client's address that " code { "cloudflared" } " passes on."
            }
        }
        (by_ssh(&view))
    };
    shell::page(&view, Page::Tunnels, "Tunnels", &body)
}

fn variable(row: &Row) -> Markup {
    let is_set = row.source != "default";
    html! {
        dt { code { (row.name) } }
        dd {
            @if !is_set { "not set" } @else if row.secret { "set (" (row.source) ")" } @else { (row.value) " (" (row.source) ")" }
            br; small { (row.doc) }
        }
    }
}

/// What takes the place of a tunnel today.
fn by_ssh(view: &View) -> Markup {
    let routes: Vec<_> = view.snapshot.routes.iter().filter(|route| route.problem.is_none()).collect();
    html! {
        @if !routes.is_empty() {
            section aria-labelledby="ssh-title" {
                h2 #ssh-title { "Without a tunnel" }
                p { "With SSH to this machine or to its host, your own computer gets these ports. HOST is the name that you use for SSH:" }
                dl {
                    @for route in routes {
                        dt { bdi { (route.title) } }
                        dd {
                            code { "ssh -L " (route.port) ":localhost:" (route.port) " HOST" }
                            br; small { "then open port " (route.port) " of localhost" }
                        }
                    }
                }
            }
        }
    }
}
