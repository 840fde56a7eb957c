//! The ways in: the routes with the links that lead there from this browser.

use axum::http::Uri;

use crate::gateway::BrowserAddress;
use crate::observe::{RouteStatus, Sight, Snapshot};

/// The link to a route, as this browser must open it; `None` if the route is not there.
pub(super) fn link(route: &RouteStatus, address: &BrowserAddress) -> Option<String> {
    if route.problem.is_some() {
        return None;
    }
    let url = route.url.clone().unwrap_or_else(|| {
        let path = route.path.trim_start_matches('/');
        format!("{}://{}:{}/{path}", address.scheme(), address.host, route.port)
    });
    // A link with another scheme could run a script.
    let scheme = url.parse::<Uri>().ok()?.scheme_str()?.to_ascii_lowercase();
    matches!(scheme.as_str(), "http" | "https").then_some(url)
}

/// The portal's own route, if the browser opened it on another port: then other ports may also have other numbers
/// outside the container.
pub(super) fn mapped<'a>(snapshot: &'a Snapshot, address: &BrowserAddress) -> Option<&'a RouteStatus> {
    snapshot.routes.iter().find(|route| route.own && route.url.is_none() && route.port != address.port)
}

/// The routes that lead elsewhere, with the desktop first: the best way in that works, else the first of all.
pub(super) fn elsewhere(snapshot: &Snapshot) -> (Option<&RouteStatus>, Vec<&RouteStatus>) {
    let others: Vec<&RouteStatus> = snapshot.routes.iter().filter(|route| !route.own).collect();
    let desktops = || others.iter().filter(|route| !route.shows.is_empty() && route.seen.sight != Sight::Off);
    let first = desktops().min_by_key(|route| route.seen.sight).copied();
    let rest = others.iter().filter(|route| !first.is_some_and(|first| std::ptr::eq(first, **route)));
    (first, rest.copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Seen;

    fn browser(host: &str, port: u16) -> BrowserAddress {
        BrowserAddress { secure: true, host: host.to_owned(), port }
    }

    #[test]
    fn links_use_the_address_of_the_browser_unless_one_is_right_for_all() {
        let mut route = RouteStatus::new("Desktop", 6100, "/vnc.html?x=1", None);
        let from = browser("[::1]", 1111);
        assert_eq!(link(&route, &from).unwrap(), "https://[::1]:6100/vnc.html?x=1");
        for (url, expected) in [
            ("http://desk.example:40001/", Some("http://desk.example:40001/")),
            ("javascript:alert(1)", None),
            ("not an address", None),
        ] {
            route.url = Some(url.to_owned());
            assert_eq!(link(&route, &from).as_deref(), expected, "{url}");
        }
        route.problem = Some("port 6100 is taken".to_owned());
        assert_eq!(link(&route, &from), None);
    }

    #[test]
    fn the_desktop_that_works_comes_first() {
        let route = |title: &str, shows: &[&str], sight| RouteStatus {
            shows: shows.iter().map(|name| (*name).to_owned()).collect(),
            seen: Seen { sight, ..Seen::default() },
            ..RouteStatus::new(title, 1, "/", None)
        };
        let own = RouteStatus { own: true, ..route("Portal", &[], Sight::Ready) };
        let routes = vec![
            own,
            route("Selkies", &["kde"], Sight::Failed),
            route("Files", &[], Sight::Ready),
            route("VNC", &["kde"], Sight::Ready),
        ];
        let snapshot = Snapshot { routes, ..Snapshot::default() };
        let (first, rest) = elsewhere(&snapshot);
        assert_eq!(first.map(|route| route.title.as_str()), Some("VNC"));
        assert_eq!(rest.iter().map(|route| route.title.as_str()).collect::<Vec<_>>(), ["Selkies", "Files"]);
        assert!(
            mapped(&snapshot, &browser("a", 1)).is_none() && mapped(&snapshot, &browser("a", 2)).is_some()
        );
    }
}
