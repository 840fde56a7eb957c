//! The ports that the gateway opens, and the target behind each port.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::config::env::LocalhostPorts;
use crate::config::rewrite::Rewrite;
use crate::config::service::Service;
use crate::config::{Config, Problem, hint};

use super::expander::Expander;
use super::{Disposition, Unit};

/// The address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// An address; services of desktopd have one on loopback.
    Tcp(SocketAddr),
    /// A name, which may mean several addresses: `localhost` has two.
    Name {
        /// The name.
        host: String,
        /// The port there.
        port: u16,
    },
    /// A Unix socket.
    Unix {
        /// The socket.
        path: PathBuf,
        /// The user that must own the listener. Other users who can write to the socket's folder could replace the
        /// socket, and the daemon can connect nearly everywhere.
        owner: u32,
    },
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The bridge to a service that speaks neither HTTP nor WebSocket, such as a VNC server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bridge {
    /// The path of the WebSocket, whose messages carry the bytes of a connection to the service.
    pub path: String,
    /// The folder of the files that are served beside it.
    pub files: Option<PathBuf>,
}

/// One listening port of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// The unit that answers: its state decides between the service and the waiting page. Empty if no unit of this
    /// daemon is known to answer.
    pub unit: String,
    /// The title for users.
    pub title: String,
    /// The port that the gateway listens on, on all addresses.
    pub listen: u16,
    /// A second port, on loopback only, for the user's own port forwarding (`ssh -L`).
    pub inner: Option<u16>,
    /// Where the service listens.
    pub upstream: Upstream,
    /// The bridge, for a service that does not speak HTTP.
    pub bridge: Option<Bridge>,
    /// The services whose output the page shows; without them the page is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<String>,
    /// The path that a link opens.
    pub path: String,
    /// Whether browsers need a secure context (https, or this very machine) for it.
    pub secure_context: bool,
    /// Whether WebRTC is offered to browsers without a secure context; `None` for a service without that mode.
    pub webrtc: Option<bool>,
    /// A preset URL, which replaces the URL made from the address that the browser uses.
    pub url: Option<String>,
    /// How requests and responses are changed.
    #[serde(skip_serializing_if = "Rewrite::is_nothing")]
    pub rewrite: Rewrite,
}

/// The route that a service file describes. `owner` is the user that the service runs as.
pub(super) fn of(
    service: &Service,
    owner: u32,
    expander: &mut Expander<'_>,
    is_on: impl Fn(&str) -> bool,
) -> Option<Route> {
    let spec = service.route.as_ref()?;
    let listening = port("route.listen", &spec.listen, expander);
    let inner = spec.inner.as_ref().and_then(|text| port("route.inner", text, expander));
    let upstream = expander.text("route.upstream", &spec.upstream);
    let address = address(&upstream, owner);
    if address.is_none() && !upstream.is_empty() {
        let expected =
            "an address on loopback such as 127.0.0.1:8080, nor a socket such as unix:/run/app.sock";
        expander.problem("route.upstream", format!("\"{upstream}\" is neither {expected}"));
    }
    let files = spec.files.as_ref().map(|files| expander.text("route.files", files));
    if let Some(files) = files.as_ref().filter(|files| !files.is_empty() && !Path::new(files).is_absolute()) {
        expander.problem("route.files", format!("\"{files}\" is not an absolute path"));
    }
    let url = spec.url.as_ref().map(|url| expander.text("route.url", url));
    Some(Route {
        unit: service.name.clone(),
        title: spec.title.clone(),
        listen: listening?,
        inner,
        upstream: address?,
        bridge: spec.bridge.clone().map(|path| Bridge { path, files: files.map(PathBuf::from) }),
        shows: spec.shows.clone(),
        path: spec.path.clone(),
        secure_context: spec.secure_context,
        webrtc: spec.webrtc.as_ref().map(|names| names.iter().any(|name| is_on(name))),
        url: url.filter(|url| !url.is_empty()),
        rewrite: spec.rewrite.clone(),
    })
}

fn port(key: &str, text: &str, expander: &mut Expander<'_>) -> Option<u16> {
    let text = expander.text(key, text);
    let port = text.parse::<u16>().ok().filter(|port| *port != 0);
    if port.is_none() && !text.is_empty() {
        expander.problem(key, format!("\"{text}\" is not a port from 1 to 65535"));
    }
    port
}

fn address(text: &str, owner: u32) -> Option<Upstream> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(Upstream::Unix { path: path.into(), owner }).filter(|_| Path::new(path).is_absolute());
    }
    text.parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback()).map(Upstream::Tcp)
}

/// Replaces aliases in `shows` by the names of services. An unknown name is a mistake in the file; the service runs
/// nevertheless.
pub(super) fn name_shown(routes: &mut [Route], units: &[Unit], config: &Config, problems: &mut Vec<Problem>) {
    let called = |unit: &Unit, name: &String| unit.name == *name || unit.aliases.contains(name);
    for service in &config.services {
        let Some(spec) = &service.route else { continue };
        let mut shown = Vec::new();
        for name in &spec.shows {
            let message = match units.iter().find(|unit| called(unit, name)) {
                Some(unit) if unit.name != service.name => {
                    shown.push(unit.name.clone());
                    continue;
                }
                Some(_) => format!("\"{name}\" is this service itself; leave it out"),
                None => {
                    let known = units.iter().flat_map(|unit| unit.aliases.iter().chain([&unit.name]));
                    let hint = hint(name, known.map(String::as_str));
                    format!("\"{name}\" is not the name of a service{hint}")
                }
            };
            problems.push(Problem::new(service.file.display().to_string(), "route.shows", message));
        }
        for route in routes.iter_mut().filter(|route| route.unit == service.name) {
            route.shows.clone_from(&shown);
        }
    }
}

/// Removes routes whose port belongs to another route. The portal keeps its port; of two units, the running one gets
/// the port, and of two running ones the first.
pub(super) fn check(routes: &mut Vec<Route>, units: &[Unit], portal: u16, problems: &mut Vec<Problem>) {
    let runs =
        |name: &str| units.iter().any(|unit| unit.name == name && unit.disposition == Disposition::Run);
    routes.sort_by_key(|route| !runs(&route.unit));
    let mut owners = vec![(portal, "the service portal".to_owned())];
    routes.retain(|route| {
        if let Some((port, owner)) = owners.iter().find(|(port, _)| *port == route.listen) {
            if runs(&route.unit) {
                let message = format!("port {port} belongs to {owner}; nothing leads to {} now", route.unit);
                problems.push(Problem::new(&route.unit, "route.listen", message));
            }
            return false;
        }
        owners.push((route.listen, route.unit.clone()));
        true
    });
}

/// Sets the Host header `localhost` for services whose own ports are listed in the variable.
pub(super) fn ask_for_localhost(routes: &mut [Route], ports: &LocalhostPorts) {
    for route in routes {
        let port = match &route.upstream {
            Upstream::Tcp(address) => address.port(),
            Upstream::Name { port, .. } => *port,
            Upstream::Unix { .. } => continue,
        };
        route.rewrite.localhost |= ports.contains(port);
    }
}
