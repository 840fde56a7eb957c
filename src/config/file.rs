//! `[[file]]` and `[[listen]]` of a service file: what is made before each start. The paths and the content of a file are
//! templates; the content may also name the secrets that the service is given.

use super::table::Reader;
use crate::sys::launch::{Listener, NewFile};

/// Only the owner may read a file, which may hold secrets, and connect to a socket.
const USUAL_MODE: u32 = 0o600;

/// Reads one `[[file]]`.
pub(super) fn file(table: &mut Reader<'_>) -> Option<NewFile> {
    let path = table.required("path", "where the file is written");
    let content = table.required("content", "what is written into it");
    let mode = table.octal("mode", "an octal mode such as \"0644\"").unwrap_or(USUAL_MODE);
    Some(NewFile { path: path?.into(), mode, content: content? })
}

/// Reads one `[[listen]]`.
pub(super) fn listen(table: &mut Reader<'_>) -> Option<Listener> {
    let path = table.required("path", "where the socket is");
    let mode = table.octal("mode", "an octal mode such as \"0666\"").unwrap_or(USUAL_MODE);
    Some(Listener { path: path?.into(), mode })
}
