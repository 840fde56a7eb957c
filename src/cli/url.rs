//! `desktopd url`: the addresses under which the desktop can be opened, the one that works from outside first.

mod qr;

use crate::config::{Config, own};
use crate::gateway::uri::with_token;
use crate::observe::{RouteStatus, Snapshot};
use crate::portal::Credentials;
use crate::sys::launch::Orders;
use crate::sys::print;

use super::args::Url;
use super::client::Client;
use super::layout::{columns, filled};
use super::{Failure, Screen, render, run};

/// Runs the command.
pub(super) async fn url(client: &Client, args: &Url, screen: Screen) -> Result<(), Failure> {
    let snapshot = client.status().await?;
    let mut ways = wanted(&snapshot, args.service.as_deref())?;
    if args.token {
        let credentials: Credentials = client.get("/api/credentials").await?;
        if credentials.enabled {
            for way in &mut ways {
                log_in(way, &credentials.token);
            }
        } else {
            print::error("desktopd: WEB_ENABLE_AUTH is false: no address needs a token");
        }
    }
    render::print(args.json, &ways, || text(&ways, args.service.is_some()))?;
    match ways.first() {
        Some(first) if args.qr => Ok(print::out(&qr::code(&first.address, screen)?)?),
        _ => Ok(()),
    }
}

/// What `--open` needs: the orders for the desktop's programs, and the address that works inside the container.
pub async fn to_open(config: &Config, args: &Url) -> Result<(Orders, String), Failure> {
    let client = Client::new(config);
    let mut way = wanted(&client.status().await?, args.service.as_deref())?.swap_remove(0);
    way.address = inside(&way);
    if args.token {
        let credentials: Credentials = client.get("/api/credentials").await?;
        log_in(&mut way, &credentials.token);
    }
    Ok((run::session(config).await?, way.address))
}

/// The ways in, those of one service if one is named. Never empty.
fn wanted(snapshot: &Snapshot, service: Option<&str>) -> Result<Vec<RouteStatus>, Failure> {
    let open: Vec<&RouteStatus> =
        snapshot.routes.iter().filter(|way| !way.address.is_empty() && way.problem.is_none()).collect();
    if open.is_empty() {
        return Err(Failure::of("no port of this desktop is open; the reason: desktopd status"));
    }
    let Some(name) = service else { return Ok(open.into_iter().cloned().collect()) };
    let unit = snapshot.unit(name).map_or(name, |unit| &unit.name);
    let is_meant = |way: &&&RouteStatus| {
        (!way.unit.is_empty() && way.unit == unit)
            || way.title.eq_ignore_ascii_case(name)
            || (way.own && own::is_own(name))
    };
    let meant: Vec<RouteStatus> = open.iter().filter(is_meant).map(|way| (**way).clone()).collect();
    if !meant.is_empty() {
        return Ok(meant);
    }
    let known = open.iter().map(|way| if way.unit.is_empty() { "portal" } else { way.unit.as_str() });
    let mut known: Vec<&str> = known.collect();
    known.dedup();
    let known = known.join(", ");
    if snapshot.unit(name).is_some() {
        return Err(Failure::of(format!("{name} has no address; those that have one: {known}")));
    }
    Err(super::names::unknown(snapshot, name, "url"))
}

/// One address a line: of one service all, for scripts; of all services the first of each, with its title.
fn text(ways: &[RouteStatus], of_one: bool) -> String {
    if of_one {
        let all = ways.iter().flat_map(|way| way.links.iter().map(|link| &link.url));
        return all.flat_map(|url| [url.as_str(), "\n"]).collect();
    }
    let width = ways.iter().map(|way| columns(&way.title)).max().unwrap_or(0);
    let lines: Vec<String> =
        ways.iter().map(|way| format!("{}  {}\n", filled(&way.title, width), way.address)).collect();
    lines.concat()
}

/// Puts the token into all addresses of a way.
fn log_in(way: &mut RouteStatus, token: &str) {
    way.address = with_token(&way.address, token);
    way.url = way.url.as_deref().map(|url| with_token(url, token));
    for link in &mut way.links {
        link.url = with_token(&link.url, token);
    }
}

/// The address inside the container: a provider's address may not lead back to the container that it is of.
fn inside(way: &RouteStatus) -> String {
    let secure = way.links.last().is_some_and(|link| link.url.starts_with("https:"));
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://localhost:{}{}", way.port, way.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{route, unit};
    use crate::observe::{Link, Source, UnitState};
    use std::sync::Arc;

    fn snapshot() -> Snapshot {
        let mut desktop = route("selkies", "Desktop", 6100);
        let link = |source, url: &str| Link { source, url: url.to_owned() };
        desktop.links = vec![
            link(Source::Provider, "http://203.0.113.9:40610/?a=b"),
            link(Source::Direct, "https://localhost:6100/?a=b"),
        ];
        desktop.address = desktop.links[0].url.clone();
        desktop.path = "/?a=b".to_owned();
        let mut units = vec![unit("selkies", UnitState::Ready), unit("kde", UnitState::Ready)];
        Arc::make_mut(&mut units[0].info).aliases = vec!["stream".to_owned()];
        let mut shut = route("vnc", "VNC", 6200);
        shut.problem = Some("the port is taken".to_owned());
        Snapshot { units, routes: vec![route("", "Portal", 1111), desktop, shut], ..Snapshot::default() }
    }

    #[test]
    fn all_ways_have_their_first_address_and_one_way_has_all() {
        let snapshot = snapshot();
        let all = wanted(&snapshot, None).unwrap();
        assert_eq!(
            text(&all, false),
            "Portal   http://localhost:1111/\nDesktop  http://203.0.113.9:40610/?a=b\n"
        );
        for name in ["selkies", "stream", "desktop"] {
            let one = wanted(&snapshot, Some(name)).unwrap();
            assert_eq!(
                text(&one, true),
                "http://203.0.113.9:40610/?a=b\nhttps://localhost:6100/?a=b\n",
                "{name}"
            );
        }
        assert_eq!(wanted(&snapshot, Some("portal")).unwrap()[0].port, 1111);
        assert_eq!(inside(&all[1]), "https://localhost:6100/?a=b");
    }

    #[test]
    fn errors_name_what_has_an_address() {
        let snapshot = snapshot();
        for (name, expected) in [
            ("kde", "kde has no address; those that have one: portal, selkies"),
            ("selkiez", "no service is named 'selkiez'; did you mean 'selkies'? desktopd url selkies"),
        ] {
            assert_eq!(wanted(&snapshot, Some(name)).unwrap_err().message, expected);
        }
        let none = wanted(&Snapshot::default(), None).unwrap_err();
        assert_eq!(none.message, "no port of this desktop is open; the reason: desktopd status");
    }

    #[test]
    fn the_token_is_a_part_of_the_query() {
        for (url, expected) in [
            ("http://a:1/", "http://a:1/?token=s%2Bt"),
            ("http://a:1/?b=c", "http://a:1/?b=c&token=s%2Bt"),
            ("http://a:1/x#y?z", "http://a:1/x?token=s%2Bt#y?z"),
        ] {
            assert_eq!(with_token(url, "s+t"), expected);
        }
        let mut way = snapshot().routes.remove(1);
        log_in(&mut way, "t");
        assert!(way.links.iter().all(|link| link.url.ends_with("?a=b&token=t")), "{:?}", way.links);
    }
}
