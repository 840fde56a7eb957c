//! `[route]` of a service file: a port of the gateway, and the service behind it.

use super::rewrite::{self, Rewrite};
use super::table::Reader;

/// A port of the gateway that leads to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// The title of the link.
    pub title: String,
    /// The outer port; a template.
    pub listen: String,
    /// A further port on loopback on which the gateway serves the route; a template.
    pub inner: Option<String>,
    /// The service's own address on loopback, `127.0.0.1:PORT`, or its socket, `unix:/PATH`; a template.
    pub upstream: String,
    /// The path at which a WebSocket carries the bytes of a connection to the service, which itself speaks neither
    /// WebSocket nor HTTP.
    pub bridge: Option<String>,
    /// The folder whose files are served beside the bridge; a template.
    pub files: Option<String>,
    /// The services whose output users see there: without them the page is black. The service's own name is not among
    /// them.
    pub shows: Vec<String>,
    /// The path that a link opens.
    pub path: String,
    /// Whether browsers need a secure context (https, or this very machine) for it.
    pub secure_context: bool,
    /// Variables of which one must be set for WebRTC to be offered to browsers without a secure context; for a service
    /// whose mode can be read and changed as that of Selkies.
    pub webrtc: Option<Vec<String>>,
    /// A link that is shown instead of one made from the address in the user's browser; a template, empty for none.
    pub url: Option<String>,
    /// The changes to requests and responses.
    pub rewrite: Rewrite,
}

pub(super) fn read(table: &mut Reader<'_>, name: &str) -> Option<RouteSpec> {
    let text = "a text";
    let rooted = |text: &str| Some(text.to_owned()).filter(|t| t.starts_with('/') && !t.starts_with("//"));
    let title = table.get("title", text).unwrap_or_else(|| name.to_owned());
    let path = table.parse("path", "a path such as \"/\"", rooted).unwrap_or_else(|| "/".to_owned());
    let shows = table.get("shows", "a list of services").unwrap_or_default();
    let url = table.get("url", text);
    let secure_context = table.get("secure-context", "true or false").unwrap_or(false);
    let webrtc = table.get("webrtc", "a list of variables");
    let listen = table.required("listen", "the port that people connect to, as a text");
    let inner = table.get("inner", "a port on loopback, as a text");
    let upstream = table.required("upstream", "the service's own address such as \"127.0.0.1:8080\"");
    let plain = |text: &str| rooted(text).filter(|path| !path.contains(['?', '#']));
    let without_bridge = table.untouched("bridge");
    let bridge = table.parse("bridge", "a path such as \"/websockify\"", plain);
    let files = table.get("files", "the path of a folder");
    if files.is_some() && without_bridge {
        table.problem("files", "it needs `bridge`: without one, all requests go to the service");
    }
    let rewrite = rewrite::read(table, bridge.is_some());
    Some(RouteSpec {
        title,
        shows,
        path,
        secure_context,
        webrtc,
        url,
        bridge,
        files,
        rewrite,
        listen: listen?,
        inner,
        upstream: upstream?,
    })
}
