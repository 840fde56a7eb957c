//! `[[listen]]` of a service file: a listening socket that exists before the service is ready.

use super::table::Reader;

/// A Unix socket that the service is given at its start, open and listening, by systemd's protocol (`LISTEN_FDS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// Where it is; a template.
    pub path: String,
    /// The permissions: the users that may connect.
    pub mode: u32,
}

/// Reads one.
pub(super) fn read(table: &mut Reader<'_>) -> Option<ListenSpec> {
    let path = table.required("path", "where the socket is");
    let mode = table.octal("mode", "an octal mode such as \"0666\"").unwrap_or(0o600);
    Some(ListenSpec { path: path?, mode })
}
