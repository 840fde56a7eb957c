//! Short addresses of the ways in: `/go/NAME` leads to a route by its title, its service, an alias or a port. What the
//! address says only chooses among the routes, so that no link leads anywhere else.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use crate::observe::{RouteStatus, Snapshot};

use super::events::encoded;
use super::view::View;
use super::ways;

/// The longest name that is looked for. Bytes.
const LONGEST: usize = 128;

/// `/go/NAME`: the way in that the portal itself would show.
pub(super) async fn by_name(view: View, Path(name): Path<String>) -> Response {
    lead(&view, &name, "../")
}

/// `/go/NAME/direct` and `/go/NAME/tunnel`.
pub(super) async fn by_kind(view: View, Path((name, kind)): Path<(String, String)>) -> Response {
    match kind.as_str() {
        "direct" => lead(&view, &name, "../../"),
        _ => home("../../", &name, &kind),
    }
}

fn lead(view: &View, name: &str, up: &str) -> Response {
    match find(&view.snapshot, name) {
        Some(route) if route.own => redirect(up.to_owned()),
        Some(route) => match ways::link(route, &view.address) {
            Some(link) => redirect(link),
            None => home(up, name, "closed"),
        },
        None => home(up, name, ""),
    }
}

fn home(up: &str, name: &str, kind: &str) -> Response {
    let name: String = name.chars().take(LONGEST).collect();
    redirect(format!("{up}?go={}&why={}", encoded(&name), encoded(kind)))
}

fn redirect(to: String) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to), (CACHE_CONTROL, "no-store".to_owned())]).into_response()
}

/// Why Home was shown instead of the way in.
#[derive(Default, serde::Deserialize)]
pub(super) struct Missed {
    go: Option<String>,
    #[serde(default)]
    why: String,
}

impl Missed {
    /// The message on Home.
    pub(super) fn message(&self) -> Markup {
        let Some(name) = &self.go else { return html! {} };
        html! {
            p.notice role="alert" {
                @match self.why.as_str() {
                    "tunnel" => { "No tunnel leads to '" bdi { (name) } "'. The ways in that there are:" },
                    "closed" => { "The way to '" bdi { (name) } "' is not open: see below why." },
                    "" | "direct" => { "No way in is called '" bdi { (name) } "'. The ways in that there are:" },
                    _ => { "An address is /go/NAME, /go/NAME/direct or /go/NAME/tunnel. The ways in that there are:" },
                }
            }
        }
    }
}

/// The route that a name means: by port, title or service, else the only one whose title has the name in it.
fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a RouteStatus> {
    let wanted = folded(name);
    if wanted.is_empty() || name.len() > LONGEST {
        return None;
    }
    let routes = || snapshot.routes.iter();
    if let Ok(port) = name.parse::<u16>() {
        return routes().find(|route| route.port == port);
    }
    let unit = snapshot.unit(name).map_or("", |unit| unit.name.as_str());
    let is_exact = |route: &&RouteStatus| {
        folded(&route.title) == wanted
            || folded(&route.unit) == wanted
            || (!unit.is_empty() && (route.unit == unit || route.shows.iter().any(|shown| shown == unit)))
    };
    let mut close = routes().filter(|route| folded(&route.title).contains(&wanted));
    routes().find(is_exact).or_else(|| close.next().filter(|_| close.next().is_none()))
}

/// Letters and digits alone, because people write names in many ways.
fn folded(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{UnitInfo, UnitState, UnitStatus};

    fn snapshot() -> Snapshot {
        let mut kde = crate::observe::testing::unit("kde", UnitState::Ready);
        kde = UnitStatus {
            info: UnitInfo { aliases: vec!["plasma".to_owned()], ..(*kde.info).clone() }.into(),
            ..kde
        };
        let route = |title: &str, port, unit: &str| RouteStatus {
            unit: unit.to_owned(),
            ..RouteStatus::new(title, port, "/", None)
        };
        let desktop =
            RouteStatus { shows: vec!["kde".to_owned()], ..route("Selkies Desktop", 6100, "selkies") };
        let routes = vec![
            desktop,
            route("VNC", 6200, "kasmvnc"),
            route("Files", 8384, "syncthing"),
            route("File view", 8385, ""),
        ];
        Snapshot { units: vec![kde], routes, ..Snapshot::default() }
    }

    #[test]
    fn a_route_is_found_by_all_its_names() {
        let snapshot = snapshot();
        for (name, port) in [
            ("selkies", Some(6100)),
            ("Selkies-Desktop", Some(6100)),
            ("desktop", Some(6100)),
            ("kde", Some(6100)),
            ("plasma", Some(6100)),
            ("6200", Some(6200)),
            ("vnc", Some(6200)),
            ("files", Some(8384)),
            // Two titles have it.
            ("file", None),
            ("6201", None),
            ("https://evil.example/", None),
            ("//evil.example", None),
            ("..", None),
            ("", None),
            (&"x".repeat(1000), None),
        ] {
            assert_eq!(find(&snapshot, name).map(|route| route.port), port, "{name}");
        }
    }
}
