//! Probes: checks of a service from outside, for readiness and later for health.

use std::fmt;

use crate::config::table::Reader;

/// The form of a command, for messages.
pub(super) const PROGRAM: &str = "a list: the program and its arguments";

/// A check that succeeds or fails. The texts are templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A Unix socket accepts a connection.
    Socket(String),
    /// A service that speaks first sends the expected bytes on its Unix socket. A frozen service accepts a connection
    /// and sends nothing.
    Banner {
        /// The socket.
        path: String,
        /// The expected beginning of its first bytes.
        expect: String,
    },
    /// Objects on a message bus answer.
    DBus {
        /// The bus's address.
        bus: String,
        /// `NAME/PATH` of each object. The first one must exist; the others must answer if they exist.
        objects: Vec<String>,
    },
    /// A TCP port, `HOST:PORT`, accepts a connection.
    Tcp(String),
    /// A URL answers with a status of 200 to 399.
    Http(String),
    /// A command ends with exit code 0.
    Exec(Vec<String>),
    /// An X server accepts a client.
    X11 {
        /// The display: `:0`.
        display: String,
        /// The file with its key.
        xauthority: String,
    },
}

/// The probe as reasons in messages show it.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(text) | Self::Tcp(text) | Self::Http(text) => f.write_str(text),
            Self::Banner { path, .. } => f.write_str(path),
            Self::DBus { objects, .. } => f.write_str(&objects.join(", ")),
            Self::Exec(argv) => f.write_str(&argv.join(" ")),
            Self::X11 { display, .. } => write!(f, "display {display}"),
        }
    }
}

/// The kind of a probe.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Socket,
    Banner,
    DBus,
    Tcp,
    Http,
    Exec,
    X11,
}

/// Their names in a file.
pub(super) const KINDS: [(&str, Kind); 7] = [
    ("socket", Kind::Socket),
    ("tcp", Kind::Tcp),
    ("http", Kind::Http),
    ("exec", Kind::Exec),
    ("x11", Kind::X11),
    ("banner", Kind::Banner),
    ("dbus", Kind::DBus),
];

/// Every key that belongs to one of the kinds.
pub(super) const DETAILS: [&str; 9] =
    ["path", "address", "url", "command", "display", "xauthority", "expect", "bus", "objects"];

/// The expected value of `objects`.
const OBJECTS: &str = "a list of names with paths such as \"org.kde.KWin/KWin\"";

fn is_object(text: &str) -> bool {
    text.find('/').is_some_and(|at| at > 0 && at + 1 < text.len())
}

/// Reads the keys that `kind` needs.
pub(super) fn read(table: &mut Reader<'_>, kind: Kind) -> Option<Probe> {
    match kind {
        Kind::Socket => table.required("path", "the path of a Unix socket").map(Probe::Socket),
        Kind::Banner => {
            let path = table.required("path", "the path of a Unix socket");
            let expect = table.required("expect", "what the service says first, such as \"RFB \"");
            Some(Probe::Banner { path: path?, expect: expect? })
        }
        Kind::DBus => {
            let bus = table.required("bus", "the bus's address");
            let objects: Vec<String> = table.get("objects", OBJECTS).unwrap_or_default();
            if objects.is_empty() || !objects.iter().all(|object| is_object(object)) {
                table.problem("objects", format!("it has to be {OBJECTS}"));
                return None;
            }
            bus.map(|bus| Probe::DBus { bus, objects })
        }
        Kind::Tcp => table.required("address", "HOST:PORT").map(Probe::Tcp),
        Kind::Http => table.required("url", "a URL such as \"http://127.0.0.1:80/\"").map(Probe::Http),
        Kind::Exec => {
            let argv: Vec<String> = table.get("command", PROGRAM).unwrap_or_default();
            if argv.is_empty() {
                table.problem("command", format!("it is missing: {PROGRAM}"));
            }
            (!argv.is_empty()).then_some(Probe::Exec(argv))
        }
        Kind::X11 => {
            let mut text =
                |key, expected, usual: &str| table.get(key, expected).unwrap_or_else(|| usual.to_owned());
            let display = text("display", "an X display such as \":0\"", "${display}");
            let xauthority = text("xauthority", "the path of an Xauthority file", "${xauthority}");
            Some(Probe::X11 { display, xauthority })
        }
    }
}
