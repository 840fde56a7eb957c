//! Why a device node cannot be opened, for the reasons of a driver's library that says only that it failed.
//!
//! Only for child processes: a driver may hang in `open`.

use rustix::fs::{Mode, OFlags, open, stat};
use rustix::io::Errno;

/// Why a node cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The container's device rules refuse the node, as after a daemon-reload on the host.
    ByRules(String),
    /// Another cause.
    Other(String),
}

/// Why the node `path` cannot be opened; `None` if it can. The node is only opened: a read from a DRM node blocks for
/// ever.
pub(super) fn refusal(path: &str) -> Option<Refusal> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let error = open(path, flags, Mode::empty()).err()?;
    Some(Refusal::Other(match error {
        Errno::PERM => {
            return Some(Refusal::ByRules(format!("the container's device rules refuse {path}")));
        }
        Errno::NOENT => format!("there is no {path}"),
        Errno::ACCESS => match stat(path) {
            Ok(node) => format!("no permission for {path}, whose group has the id {}", node.st_gid),
            Err(_) => format!("no permission for {path}"),
        },
        Errno::NXIO | Errno::NODEV => format!("no driver of the host is behind {path}"),
        error => format!("opening {path}: {error}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_node_is_named_and_one_that_opens_has_no_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nvidiactl");
        let path = path.to_str().unwrap();
        assert_eq!(refusal(path), Some(Refusal::Other(format!("there is no {path}"))));
        assert_eq!(refusal("/dev/null"), None);
    }
}
