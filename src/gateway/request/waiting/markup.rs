//! What the waiting page shows: the state of a service in words, and the markup. All foreign text in it is escaped.

use serde::Serialize;

use crate::gateway::request::base::Base;
use crate::gateway::request::page;
use crate::logs::Logs;
use crate::observe::{RouteStatus, Sight, Snapshot};
use crate::plan::routes::Route;

/// Number of log lines that are shown.
pub(super) const LINES: usize = 12;

/// The path that starts the services without which there is nothing to see.
pub(crate) const START: &str = "/desktopd/wait/start";

/// The query field by which a user opens the service although it is not well.
pub(super) const ANYWAY: &str = "desktopd-anyway";

/// The state of a service, as the page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    /// The headline.
    pub(super) headline: String,
    /// The service that is the reason.
    pub(super) unit: String,
    /// The name of its state.
    pub(super) state: &'static str,
    /// The reason for the state.
    pub(super) reason: String,
    /// Since when, in milliseconds since the Unix epoch; 0 if unknown or meaningless.
    pub(super) since: i64,
    /// The services that it waits for, with their states.
    pub(super) needs: Vec<Need>,
    /// What happens next, and whether the user has to do something.
    pub(super) hint: &'static str,
    /// The services that the user can start with the button.
    pub(super) start: Vec<String>,
    /// Whether the service may have something to show anyway.
    pub(super) anyway: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Need {
    pub(super) name: String,
    pub(super) state: &'static str,
}

/// The body of the page.
pub(super) fn body(
    standing: &Standing,
    snapshot: &Snapshot,
    route: &Route,
    (base, logs): (&Base, &Logs),
) -> String {
    let Standing { headline, state, reason, since, needs, hint, start, anyway, .. } = standing;
    let item = |need: &Need| {
        let name = page::escape(&need.name);
        format!("<li>{name} <span class=\"state {0}\">{0}</span></li>", need.state)
    };
    let needs = needs.iter().map(item).collect::<Vec<_>>().concat();
    let lines: String = logs
        .tail(&standing.unit, LINES)
        .iter()
        .map(|line| page::escape(&page::plain(&line.text)) + "\n")
        .collect();
    let at = jiff::Timestamp::from_millisecond(*since).ok().filter(|_| *since > 0);
    let time = at.map(|at| format!("since <time datetime=\"{at:.0}\">{at:.0}</time>")).unwrap_or_default();
    let hidden = |hidden: bool| if hidden { " hidden" } else { "" };
    let path = base.to(&route.path);
    let anyway_link = match path.split_once('?') {
        Some((path, query)) => format!("{path}?{query}&{ANYWAY}"),
        None => format!("{path}?{ANYWAY}"),
    };
    format!(
        "<main class=\"card wide\">\n<h1 id=\"headline\">{}</h1>\n\
         <p aria-live=\"polite\"><span id=\"state\" class=\"state {state}\">{state}</span> \
         <span id=\"reason\">{}</span> <span id=\"since\">{time}</span></p>\n<ul id=\"needs\">{needs}</ul>\n\
         <form id=\"start\" method=\"post\" action=\"{}\"{}><button type=\"submit\">Start {}</button></form>\n\
         <p id=\"refused\" class=\"problem\" role=\"alert\" hidden></p>\n\
         <pre id=\"log\" aria-label=\"log\">{lines}</pre>\n<p class=\"hint\" id=\"hint\">{hint}</p>\n\
         <p class=\"hint\" id=\"anyway\"{}><a href=\"{}\">Open the page anyway</a></p>\n{}</main>\n",
        page::escape(headline),
        page::escape(reason),
        page::escape(&base.to(START)),
        hidden(start.is_empty()),
        page::escape(&start.join(", ")),
        hidden(!anyway),
        page::escape(&anyway_link),
        others(snapshot, route),
    )
}

/// Links to the other ports. The page's script adapts the links to the address that the user uses.
fn others(snapshot: &Snapshot, route: &Route) -> String {
    let other = |way: &&RouteStatus| way.port != route.listen && way.problem.is_none();
    let item = |way: &RouteStatus| {
        let RouteStatus { title, port, path, url, address, seen, .. } = way;
        let href =
            if address.is_empty() { String::new() } else { format!(" href=\"{}\"", page::escape(address)) };
        let preset = if url.is_some() { String::new() } else { format!(" data-port=\"{port}\"") };
        let state = if seen.sight == Sight::Ready {
            String::new()
        } else {
            format!(" <span class=\"state {0}\">{0}</span>", seen.sight.name())
        };
        let (title, path) = (page::escape(&page::plain(title)), page::escape(path));
        format!("<li><a{href}{preset} data-path=\"{path}\">{title}</a> on port {port}{state}</li>")
    };
    let items: String = snapshot.routes.iter().filter(other).map(item).collect();
    if items.is_empty() {
        return items;
    }
    format!("<p class=\"hint\">Other ports:</p>\n<ul id=\"ways\">{items}</ul>\n")
}
