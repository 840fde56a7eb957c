//! The container's host name, and the name under which the container's engine knows this container, for use after
//! `docker exec`.

use std::path::Path;

use crate::sys::mounts::{self, Mount};

/// The length of an id in the output of the engine's commands.
const SHORT: usize = 12;

/// The container's id, if it can be known from inside.
pub fn container_id() -> Option<String> {
    of_mounts(&mounts::all()).or_else(|| host().filter(|name| is_id(name, SHORT)))
}

/// The machine's host name.
pub fn host() -> Option<String> {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok())
}

/// Reads the id from the mounts: the engine mounts its own `/etc/hostname` and two more files into each container, from
/// a folder that is named by the id.
pub(super) fn of_mounts(mounts: &[Mount]) -> Option<String> {
    const OWN: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    let ours = mounts.iter().filter(|mount| OWN.iter().any(|own| mount.at == Path::new(own)));
    let mut names = ours.flat_map(|mount| mount.from.split('/'));
    names.find(|name| is_id(name, 64)).map(|id| id[..SHORT].to_owned())
}

fn is_id(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_in_the_mounts_of_the_engine() {
        let id = "3f2a9c1d7b6e".to_owned() + &"0".repeat(52);
        let line =
            |from: &str, to: &str| format!("812 803 8:1 {from} {to} rw,relatime - ext4 /dev/sda1 rw\n");
        for (mounts, expected) in [
            (
                line(&format!("/var/lib/docker/containers/{id}/hostname"), "/etc/hostname"),
                Some("3f2a9c1d7b6e"),
            ),
            (
                line(&format!("/containers/overlay-containers/{id}/userdata/hosts"), "/etc/hosts"),
                Some("3f2a9c1d7b6e"),
            ),
            // A volume with such a name is not the container.
            (line(&format!("/var/lib/docker/volumes/{id}/_data"), "/workspace"), None),
            (line("/kubelet/pods/1b2c/etc-hosts", "/etc/hosts"), None),
            (String::new(), None),
        ] {
            assert_eq!(of_mounts(&mounts::parse(&mounts)).as_deref(), expected, "{mounts}");
        }
    }
}
