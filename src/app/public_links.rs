//! The links from outside, as they are shown to users: ports, their problems, and the URLs that lead to them.

use std::net::IpAddr;

use axum::http::Uri;
use tokio::sync::mpsc;

use crate::config::{Config, Provider};
use crate::facts::public_address::PublicAddress;
use crate::observe::{RouteStatus, Seen};
use crate::plan::{Link, Links, Plan, Portal};

/// All links.
pub(super) struct PublicLinks {
    /// The portal is open from the start.
    pub(super) portal: Portal,
    portal_problem: Option<String>,
    /// Whether no port is opened at all.
    shut: bool,
    links: Links,
    /// Each with its preset URL, if one was set.
    all: Vec<(RouteStatus, Option<String>)>,
}

impl PublicLinks {
    /// Before anything is planned: only the portal's.
    pub(super) fn new(config: &Config, portal: Portal, portal_problem: Option<String>) -> Self {
        let shut = config.env.opens_no_port();
        Self { portal, portal_problem, shut, links: Links::of(config), all: Vec::new() }
    }

    /// Takes over the links of the plan, with the ports that could not be opened and why.
    pub(super) fn take(&mut self, plan: &Plan, taken: &[(u16, String)]) {
        let Portal { title, port, path, url } = &self.portal;
        let mut portal = route_status("", title, *port, path);
        (portal.own, portal.problem) = (true, self.portal_problem.clone());
        let mut all = if self.shut { Vec::new() } else { vec![(portal, url.clone())] };
        for route in &plan.routes {
            let mut status = route_status(&route.unit, &route.title, route.listen, &route.path);
            status.shows.clone_from(&route.shows);
            let taken = taken.iter().find(|(port, _)| *port == route.listen);
            status.problem = taken.map(|(_, problem)| problem.clone());
            all.push((status, route.url.clone()));
        }
        all.extend(
            plan.links.iter().map(|Link { title, port, path }| (route_status("", title, *port, path), None)),
        );
        self.all = all;
    }

    /// The public address was looked up. Returns whether this changed links.
    pub(super) fn found(&mut self, public: IpAddr) -> bool {
        self.links.found(public)
    }

    /// The links, as users and programs see them.
    pub(super) fn shown(&self) -> Vec<RouteStatus> {
        let with_links = |(status, preset): &(RouteStatus, Option<String>)| {
            let preset = preset.as_deref();
            RouteStatus {
                url: self.links.known(preset, status.port, &status.path),
                address: self.links.shown(preset, status.port, &status.path),
                ..status.clone()
            }
        };
        self.all.iter().map(with_links).collect()
    }
}

fn route_status(unit: &str, title: &str, port: u16, path: &str) -> RouteStatus {
    RouteStatus {
        unit: unit.to_owned(),
        own: false,
        title: title.to_owned(),
        port,
        path: path.to_owned(),
        url: None,
        address: String::new(),
        problem: None,
        shows: Vec::new(),
        seen: Seen::default(),
    }
}

/// The host names under which ports without a login answer: the names that were configured.
pub(super) fn names(config: &Config) -> Vec<String> {
    let vars = &config.env.vars;
    let preset = [&vars.serviceportal_url, &vars.selkies_url, &vars.vnc_url];
    let hosts =
        preset.into_iter().flatten().filter_map(|url| Some(url.0.parse::<Uri>().ok()?.host()?.to_owned()));
    let provider = Provider::of(&config.env.raw).names();
    std::iter::once(vars.direct_address.0.clone()).chain(provider).chain(hosts).collect()
}

/// Starts the look-up of the public address, if it is wanted and not configured. The first channel requests another
/// look-up, the second returns the results.
pub(super) fn look_up(config: &Config) -> (mpsc::Sender<()>, mpsc::Receiver<IpAddr>) {
    let (ask, asked) = mpsc::channel(1);
    let (found, addresses) = mpsc::channel(1);
    let vars = &config.env.vars;
    if vars.direct_address_get_wan && Links::of(config).lack_the_public_address() {
        let keep = std::time::Duration::from_secs(vars.external_ip_cache_secs.into());
        tokio::spawn(PublicAddress::new(&vars.external_ip_url, keep).tell(asked, found));
    }
    (ask, addresses)
}
