//! Questions that a service is asked from outside: whether it is ready, and later whether it still is.

use std::fmt;

use crate::config::table::Reader;

use super::PROGRAM;

/// Something to try that works or does not. The texts are templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A Unix socket accepts a connection.
    Socket(String),
    /// A TCP port, `HOST:PORT`, accepts a connection.
    Tcp(String),
    /// A URL answers with a status of 200 to 399.
    Http(String),
    /// A command ends well.
    Exec(Vec<String>),
    /// An X server lets a client in.
    X11 {
        /// The display: `:0`.
        display: String,
        /// The file with its key.
        xauthority: String,
    },
}

/// What is asked, as it stands in reasons.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(text) | Self::Tcp(text) | Self::Http(text) => f.write_str(text),
            Self::Exec(argv) => f.write_str(&argv.join(" ")),
            Self::X11 { display, .. } => write!(f, "display {display}"),
        }
    }
}

/// Which question.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Socket,
    Tcp,
    Http,
    Exec,
    X11,
}

/// Their names in a file.
pub(super) const KINDS: [(&str, Kind); 5] = [
    ("socket", Kind::Socket),
    ("tcp", Kind::Tcp),
    ("http", Kind::Http),
    ("exec", Kind::Exec),
    ("x11", Kind::X11),
];

/// Every key that says more about one of them.
pub(super) const DETAILS: [&str; 6] = ["path", "address", "url", "command", "display", "xauthority"];

/// Reads what `kind` needs from the table that it stands in.
pub(super) fn read(table: &mut Reader<'_>, kind: Kind) -> Option<Probe> {
    match kind {
        Kind::Socket => table.required("path", "the path of a Unix socket").map(Probe::Socket),
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
