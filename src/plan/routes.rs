//! Which ports the gateway opens, and what stands behind each.

use std::net::SocketAddr;

use serde::Serialize;

use crate::config::Problem;

/// One listening port of the front door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// The unit that answers: its state decides between the service and the waiting page.
    pub unit: String,
    /// What a person reads.
    pub title: String,
    /// The port that the gateway listens on, on all addresses.
    pub listen: u16,
    /// Where the service listens, on loopback.
    pub upstream: SocketAddr,
    /// The path that a link opens.
    pub path: String,
    /// A link that was given ready made, instead of one made from the address that the person uses.
    pub url: Option<String>,
}

/// Takes out routes whose port another one has; the first, and the portal's, keeps it.
pub(super) fn check(routes: &mut Vec<Route>, portal: u16, problems: &mut Vec<Problem>) {
    let mut owners = vec![(portal, "the service portal".to_owned())];
    routes.retain(|route| {
        if let Some((port, owner)) = owners.iter().find(|(port, _)| *port == route.listen) {
            let message = format!("port {port} belongs to {owner}; nothing leads to {} now", route.unit);
            problems.push(Problem::new(&route.unit, "route.listen", message));
            return false;
        }
        owners.push((route.listen, route.unit.clone()));
        true
    });
}
