//! Which ports the gateway opens, and what stands behind each.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::config::env::LocalhostPorts;
use crate::config::rewrite::Rewrite;
use crate::config::service::Service;
use crate::config::{Config, Problem, nearest};

use super::expander::Expander;
use super::{Fate, Unit};

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// An address; of a service of ours on loopback.
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
        /// The user that must be the one who listens there. Whoever may write into the socket's folder could put
        /// another socket in its place, and the daemon is let in nearly everywhere.
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

/// What stands in for a service that knows neither HTTP nor WebSocket, such as a VNC server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bridge {
    /// The path at which a WebSocket's messages are the bytes of a connection to the service.
    pub path: String,
    /// The folder whose files are served beside it.
    pub files: Option<PathBuf>,
}

/// One listening port of the front door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    /// The unit that answers: its state decides between the service and the waiting page. Empty where nobody here
    /// knows who answers, if anybody does.
    pub unit: String,
    /// What a person reads.
    pub title: String,
    /// The port that the gateway listens on, on all addresses.
    pub listen: u16,
    /// A port on loopback on which it listens as well, for tunnels of people's own (`ssh -L`).
    pub inner: Option<u16>,
    /// Where the service listens.
    pub upstream: Upstream,
    /// How it is reached when it does not speak HTTP.
    pub bridge: Option<Bridge>,
    /// The services that people see there; without them there is nothing to see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<String>,
    /// The path that a link opens.
    pub path: String,
    /// Whether browsers need a secure context (https, or this very machine) for it.
    pub secure_context: bool,
    /// Whether WebRTC is offered to browsers without one; none for a service that knows no such mode.
    pub webrtc: Option<bool>,
    /// A link that was given ready made, instead of one made from the address that the person uses.
    pub url: Option<String>,
    /// How requests and answers are changed on their way.
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

/// Gives what routes show the names of its services. A name that is none is a mistake in the file, of a service that
/// runs all the same.
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
                    let hint = nearest(name, known.map(String::as_str));
                    let hint = hint.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
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

/// Takes out routes whose port another one has. The portal keeps its own; of two units the one that runs has the port,
/// and of two that run the first.
pub(super) fn check(routes: &mut Vec<Route>, units: &[Unit], portal: u16, problems: &mut Vec<Problem>) {
    let runs = |name: &str| units.iter().any(|unit| unit.name == name && unit.fate == Fate::Run);
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

/// Asks for services as `localhost` that a variable names by their own ports.
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
