//! `[[file]]` of a service file: a file that is written before each start.

use super::table::Reader;

/// A file that a service reads at its start; its content comes from the service file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Where it is; a template.
    pub path: String,
    /// The permissions.
    pub mode: u32,
    /// The content; a template, which may also name the secrets that the service is given.
    pub content: String,
}

/// Reads one.
pub(super) fn read(table: &mut Reader<'_>) -> Option<FileSpec> {
    let path = table.required("path", "where the file is written");
    let content = table.required("content", "what is written into it");
    // The default mode lets no other user read the file, because it may contain secrets.
    let mode = table.octal("mode", "an octal mode such as \"0644\"").unwrap_or(0o600);
    Some(FileSpec { path: path?, mode, content: content? })
}
