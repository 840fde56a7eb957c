//! Files that commands write for people.

use std::path::Path;
use std::{fs, io};

use crate::sys::read;
use crate::sys::replace::replace;

use super::Failure;

/// Writes a file, whole or not at all.
pub(super) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    // A rename would replace a device or a link such as /dev/stdout, too.
    let is_file = fs::symlink_metadata(path).map_or(Ok(()), |found| read::regular(&found));
    is_file.and_then(|()| replace(path, bytes, mode)).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "name a file on a disk with space, or - for standard output"
            }
            _ => "name a file in a folder that you can write, or - for standard output",
        };
        Failure::of(format!("writing {}: {error}; {remedy}", path.display()))
    })
}
