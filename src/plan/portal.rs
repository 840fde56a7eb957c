//! Applies `PORTAL_CONFIG` to the ports of the gateway. An entry that leads to the inner port of the portal or of a
//! service of desktopd changes its title, path and outer port. Any other entry is a route of its own, and an entry
//! whose two ports are equal is only a link.
//!
//! A port that was set by a variable of desktopd has priority over an entry: templates contain all entries, chosen or
//! not.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::config::portal_config::Entry;
use crate::config::{Config, PortalConfig, Problem, Provider};

use super::routes::{Route, Upstream};

/// The usual inner ports, as templates and documentation name them.
const PORTAL: u16 = 11111;
const DESKTOP: u16 = 16100;
const VNC: u16 = 16200;

/// The portal's own port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Portal {
    /// The title for users.
    pub title: String,
    /// The port that the gateway listens on.
    pub port: u16,
    /// The path that a link opens.
    pub path: String,
    /// A preset URL.
    pub url: Option<String>,
}

/// A link of the portal to a port that the gateway does not serve, or that has a route already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The title for users.
    pub title: String,
    /// The port.
    pub port: u16,
    /// The path that the link opens.
    pub path: String,
}

impl Link {
    fn of(entry: &Entry) -> Self {
        Self { title: entry.name.clone(), port: entry.external, path: entry.path.clone() }
    }
}

impl Portal {
    /// The portal's port. It is known before anything is planned, because the portal answers before.
    pub fn of(config: &Config) -> Self {
        let vars = &config.env.vars;
        let entry = config.portal.entries.iter().find(|entry| is_portal(config, entry));
        let chosen = config.env.is_given("SERVICEPORTAL_PORT_HOST");
        let port = entry.filter(|entry| entry.is_proxied() && !chosen).map(|entry| entry.external);
        Self {
            title: entry.map_or("Service portal", |entry| &entry.name).to_owned(),
            port: port.unwrap_or(vars.serviceportal_port_host.0),
            path: entry.map_or("/", |entry| &entry.path).to_owned(),
            url: vars.serviceportal_url.as_ref().map(|url| url.0.clone()),
        }
    }

    /// All entries, for the file that lists them: the portal is always among them.
    pub fn among(&self, entries: &[Entry]) -> Vec<Entry> {
        let (hostname, name) = ("localhost".to_owned(), "Instance Portal".to_owned());
        let own = Entry { hostname, external: self.port, internal: PORTAL, path: "/".to_owned(), name };
        let listed = entries.iter().any(|entry| is_local(&entry.hostname) && entry.internal == PORTAL);
        (!listed).then_some(own).into_iter().chain(entries.iter().cloned()).collect()
    }
}

/// The entries that have no route yet.
pub(super) struct PortalEntries<'a> {
    config: &'a Config,
    rest: Vec<&'a Entry>,
    /// Links to ports that have a route already.
    links: Vec<Link>,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl<'a> PortalEntries<'a> {
    pub(super) fn new(config: &'a Config, problems: &'a mut Vec<Problem>) -> Self {
        let (own, rest): (Vec<&Entry>, Vec<&Entry>) =
            config.portal.entries.iter().partition(|entry| is_portal(config, entry));
        let mut entries = Self { config, rest, links: Vec::new(), problems };
        let vars = &config.env.vars;
        for entry in own {
            entries.report_fixed_port(entry, "SERVICEPORTAL_PORT_HOST", vars.serviceportal_port_host.0);
        }
        entries
    }

    /// Gives routes of services the title, path and port of their entries.
    pub(super) fn rename(&mut self, routes: &mut [Route], portal: &Portal) {
        let before: Vec<(u16, Upstream)> =
            routes.iter().map(|route| (route.listen, route.upstream.clone())).collect();
        let (mut named, mut moved) = (Vec::new(), Vec::new());
        for entry in std::mem::take(&mut self.rest) {
            let variable = self.variable(entry);
            let leads = |(listen, upstream): &(u16, Upstream)| match variable {
                Some((_, port)) => *listen == port,
                None => {
                    is_local(&entry.hostname)
                        && matches!(upstream, Upstream::Tcp(address) if address.port() == entry.internal)
                }
            };
            let meant: Vec<usize> = (0..before.len()).filter(|at| leads(&before[*at])).collect();
            if meant.is_empty() {
                // A service that is not in the plan needs no port.
                if variable.is_none() {
                    self.rest.push(entry);
                }
                continue;
            }
            let fixed = variable.filter(|(name, _)| self.config.env.is_given(name));
            if let Some((name, port)) = fixed {
                self.report_fixed_port(entry, name, port);
            }
            for at in meant {
                let route = &mut routes[at];
                if named.contains(&at) {
                    let path = if entry.path == "/" { &route.path } else { &entry.path };
                    let path = path.clone();
                    self.links.push(Link { port: route.listen, path, ..Link::of(entry) });
                    continue;
                }
                named.push(at);
                route.title.clone_from(&entry.name);
                // The pages beside a bridge are desktopd's own; paths of another server do not exist there.
                if entry.path != "/" && route.bridge.is_none() {
                    route.path.clone_from(&entry.path);
                }
                if entry.is_proxied() && fixed.is_none() {
                    route.listen = entry.external;
                    moved.push((at, entry));
                }
            }
        }
        self.move_back(routes, &before, moved, portal);
    }

    /// Moves routes back to their own port if the new port belongs to another route. Two routes may swap ports.
    fn move_back(
        &mut self,
        routes: &mut [Route],
        before: &[(u16, Upstream)],
        mut moved: Vec<(usize, &Entry)>,
        portal: &Portal,
    ) {
        loop {
            let owner = |at: usize, port: u16| {
                // Units that replace each other have the same port.
                let other = |other: &usize| routes[*other].listen == port && before[*other].0 != before[at].0;
                let title = (0..routes.len()).find(other).map(|other| routes[other].title.clone());
                if port == portal.port { Some(portal.title.clone()) } else { title }
            };
            let taken = moved
                .iter()
                .enumerate()
                .find_map(|(nth, (at, entry))| owner(*at, entry.external).map(|owner| (nth, owner)));
            let Some((nth, owner)) = taken else { return };
            let (at, entry) = moved.remove(nth);
            routes[at].listen = before[at].0;
            let why = format!("port {} belongs to {owner}; it stays at {}", entry.external, before[at].0);
            self.tell(entry, &why);
        }
    }

    /// Leaves out entries whose port is not reachable from outside, as vast.ai's own portal does: its templates name
    /// ports that the user may not have mapped. Returns the messages about them.
    pub(super) fn leave_out(&mut self) -> Vec<String> {
        let provider = Provider::of(&self.config.env.raw);
        let (out, rest): (Vec<&Entry>, Vec<&Entry>) =
            self.rest.iter().partition(|entry| provider.passes_nothing_to(entry.external));
        self.rest = rest;
        let PortalConfig { place, key, .. } = &self.config.portal;
        let said = |entry: &Entry| {
            let port = entry.external;
            format!("{place}: {key}: \"{entry}\": vast.ai maps no port {port}; it is left out")
        };
        out.into_iter().map(said).collect()
    }

    /// Gives the remaining entries routes of their own. Returns the entries that are only links.
    pub(super) fn assign(mut self, routes: &mut Vec<Route>, portal: &Portal) -> Vec<Link> {
        let mut added = Vec::new();
        for entry in std::mem::take(&mut self.rest) {
            let (link, upstream) = (Link::of(entry), upstream(entry));
            let taken: Vec<&Route> = routes.iter().filter(|route| route.listen == entry.external).collect();
            if !entry.is_proxied() || taken.iter().any(|route| route.upstream == upstream) {
                self.links.push(link);
                continue;
            }
            let ours = (entry.external == portal.port).then_some(&portal.title);
            if let Some(owner) = ours.or(taken.first().map(|route| &route.title)) {
                self.tell(entry, &format!("port {} belongs to {owner}; it is left out", entry.external));
                continue;
            }
            added.push(entry);
            routes.push(Route {
                shows: Vec::new(),
                unit: String::new(),
                title: link.title,
                listen: link.port,
                inner: None,
                upstream,
                bridge: None,
                path: link.path,
                url: None,
                secure_context: false,
                webrtc: None,
                rewrite: crate::config::rewrite::Rewrite::default(),
            });
        }
        // Only now all listening ports are known.
        let ours: Vec<u16> = routes.iter().map(|route| route.listen).chain([portal.port]).collect();
        for entry in added.iter().filter(|entry| is_local(&entry.hostname) && ours.contains(&entry.internal))
        {
            routes.retain(|route| route.listen != entry.external);
            let why =
                format!("port {} is one that desktopd itself listens on; it is left out", entry.internal);
            self.tell(entry, &why);
        }
        self.links
    }

    /// The variable for the outer port of an entry's service, with its value.
    fn variable(&self, entry: &Entry) -> Option<(&'static str, u16)> {
        let vars = &self.config.env.vars;
        let inner = is_local(&entry.hostname).then_some(entry.internal)?;
        let services = [
            ([DESKTOP, vars.selkies_port_local.0], ("SELKIES_PORT_HOST", vars.selkies_port_host.0)),
            ([VNC, vars.vnc_port_local.0], ("VNC_PORT_HOST", vars.vnc_port_host.0)),
        ];
        services.into_iter().find(|(ports, _)| ports.contains(&inner)).map(|(_, variable)| variable)
    }

    /// Reports an entry whose port differs from the variable that was set.
    fn report_fixed_port(&mut self, entry: &Entry, variable: &str, port: u16) {
        if self.config.env.is_given(variable) && entry.is_proxied() && entry.external != port {
            self.tell(entry, &format!("{variable} says {port}, and that is used"));
        }
    }

    fn tell(&mut self, entry: &Entry, why: &str) {
        let PortalConfig { place, key, .. } = &self.config.portal;
        self.problems.push(Problem::new(place, *key, format!("\"{entry}\": {why}")));
    }
}

fn is_portal(config: &Config, entry: &Entry) -> bool {
    let inner = [PORTAL, config.env.vars.serviceportal_port_local.0];
    is_local(&entry.hostname) && inner.contains(&entry.internal)
}

/// Whether a host name means this machine.
fn is_local(hostname: &str) -> bool {
    let bare = hostname.trim_start_matches('[').trim_end_matches(']');
    hostname.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

fn upstream(entry: &Entry) -> Upstream {
    let Entry { hostname, internal, .. } = entry;
    match format!("{hostname}:{internal}").parse::<SocketAddr>() {
        Ok(address) => Upstream::Tcp(address),
        Err(_) => Upstream::Name { host: hostname.clone(), port: *internal },
    }
}
