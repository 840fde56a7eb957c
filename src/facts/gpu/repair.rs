//! Device nodes that the container lacks, or that only root may open, and who can repair them.
//!
//! The kernel's number of a driver is in `/proc/devices`, so desktopd can make a missing control node of NVIDIA's, and it
//! can give a node that only root may open to a group. It does so only in a `/dev` of the container's own: a node that is
//! mounted from the host is the host's, and a change of the mode would change the host. The boot step `device-nodes` does
//! the work; a node of a GPU itself is never made, because the container may not have been given that GPU.

use std::path::Path;

use super::compute::{Action, Repair};
use super::context::Context;
use super::nodes;
use super::root::Root;
use crate::facts::account;
use crate::sys::mounts::{self, Mount};

/// How many nodes of `/dev/dri` are looked at.
const MOST: usize = 512;

/// The major number of NVIDIA's character devices, which is fixed.
const NVIDIA: u32 = 195;

/// NVIDIA's control nodes: name, minor number, and the names that the driver has in `/proc/devices`.
const CONTROLS: [(&str, u32, &[&str]); 4] = [
    ("nvidiactl", 255, &["nvidia", "nvidia-frontend", "nvidiactl"]),
    ("nvidia-modeset", 254, &["nvidia-modeset", "nvidia-frontend"]),
    ("nvidia-uvm", 0, &["nvidia-uvm"]),
    ("nvidia-uvm-tools", 1, &["nvidia-uvm"]),
];

/// What makes the control nodes on the host.
const ON_HOST: &str =
    "on the host run nvidia-modprobe -u -c=0, then start the container anew with --gpus all";

/// Looks for all of them.
pub(super) fn find(root: Root<'_>, context: &Context<'_>) -> Vec<Repair> {
    let mounts = mounts::parse(&root.list("/proc/self/mountinfo"));
    let mut repairs = missing(root, context, &mounts);
    repairs.extend(closed(root, context, &mounts));
    repairs
}

/// Control nodes of NVIDIA's that are missing beside the node of a GPU.
fn missing(root: Root<'_>, context: &Context<'_>, mounts: &[Mount]) -> Vec<Repair> {
    let shown = context.shown;
    if shown.minors().next().is_none() || context.container.wsl {
        return Vec::new();
    }
    let parts = context.container.capabilities.as_deref().unwrap_or_default();
    let draws = parts.split(',').any(|part| ["all", "display", "graphics"].contains(&part.trim()));
    let devices = root.text("/proc/devices");
    let lacking = CONTROLS.iter().filter(|(name, ..)| !shown.has(name));
    // Only what was asked for: Xorg alone needs this one.
    let lacking = lacking.filter(|(name, ..)| draws || *name != "nvidia-modeset");
    let repair = |(name, minor, drivers): &(&str, u32, &[&str])| {
        let node = format!("/dev/{name}");
        let hindrance = match (number(&devices, drivers), host(mounts, &node)) {
            _ if devices.is_empty() => Err("/proc/devices is not visible here".to_owned()),
            (None, _) => Err(format!("the host has not loaded the driver {}", drivers[0])),
            (_, Some(why)) => Err(why),
            _ if !context.judge.is_root() => Err("desktopd is not root here".to_owned()),
            _ if context.container.mknod != Some(true) => {
                Err("the container lacks the capability MKNOD".to_owned())
            }
            (Some(major), None) => Ok(Action::Make { major, minor: *minor }),
        };
        let lacks = match &hindrance {
            Ok(_) => format!("{node} is missing"),
            Err(why) => format!("{node} is missing, and cannot be made here: {why}"),
        };
        Repair { node, lacks, action: hindrance.ok(), remedy: ON_HOST.to_owned() }
    };
    lacking.map(repair).collect()
}

/// The number of a driver of character devices, by one of its names.
fn number(devices: &str, names: &[&str]) -> Option<u32> {
    let characters = devices.split("Block devices:").next().unwrap_or_default();
    let driver = |line: &str| {
        let (number, name) = line.trim().split_once(' ')?;
        names.contains(&name).then(|| number.parse().ok()).flatten()
    };
    let found = characters.lines().find_map(driver)?;
    // Drivers whose number is fixed have no other.
    (names[0] == "nvidia-uvm" || found == NVIDIA).then_some(found)
}

/// Nodes that only root may open. Without root, the reasons of the GPUs name the groups to join.
fn closed(root: Root<'_>, context: &Context<'_>, mounts: &[Mount]) -> Vec<Repair> {
    if !context.judge.is_root() {
        return Vec::new();
    }
    let is_dri = |name: &str| name.starts_with("card") || name.starts_with("renderD");
    let dri = root.names("/dev/dri", MOST, is_dri).0.into_iter().map(|name| format!("/dev/dri/{name}"));
    let nvidia = context.shown.nodes.iter().map(|name| format!("/dev/{name}"));
    let others = ["/dev/kfd", "/dev/uinput"].map(str::to_owned);
    let repair = |node: String| {
        let found = nodes::owner(root, &node)?;
        let everyone = found.mode & 0o006 == 0o006;
        let group = found.mode & 0o060 == 0o060 && found.gid != 0;
        if everyone || group || !found.is_device {
            return None;
        }
        let name = account::group_of_device(&node)?;
        let lacks = format!(
            "only root may open {node} (mode {:o}, group {})",
            found.mode & 0o777,
            context.judge.group(found.gid)
        );
        let remedy = format!("on the host run chgrp {name} {node} && chmod 660 {node}");
        Some(match host(mounts, &node) {
            Some(why) => Repair { lacks: format!("{lacks}: {why}"), action: None, remedy, node },
            None => Repair { lacks, action: Some(Action::Open { group: name.to_owned() }), remedy, node },
        })
    };
    nvidia.chain(dri).chain(others).filter_map(repair).collect()
}

/// Why a node in `/dev` is the host's, if so. Container engines make a `/dev` in memory and the nodes in it; where they
/// mount a node of the host, the node has a mount of its own.
fn host(mounts: &[Mount], node: &str) -> Option<String> {
    let Some(mount) = mounts::of(mounts, Path::new(node)) else {
        return Some("the mounts of this container are not known".to_owned());
    };
    let at = mount.at.display();
    let own = match mount.at.to_str() {
        Some("/dev") => mount.kind == "tmpfs",
        Some("/") => mount.kind != "devtmpfs",
        _ => false,
    };
    (!own).then(|| format!("{at} is mounted from the host, and a change here would be one there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_character_devices() {
        let devices = "Character devices:\n  1 mem\n195 nvidia\n195 nvidia-modeset\n195 nvidiactl\n508 nvidia-uvm\n\n\
                       Block devices:\n  7 nvidia-frontend\n";
        for (names, expected) in [
            (&["nvidia", "nvidia-frontend"][..], Some(195)),
            (&["nvidia-modeset"], Some(195)),
            (&["nvidia-uvm"], Some(508)),
            (&["nvidia-frontend"], None),
            (&["mem"], None),
        ] {
            assert_eq!(number(devices, names), expected, "{names:?}");
        }
        assert_eq!(number("", &["nvidia-uvm"]), None);
    }

    #[test]
    fn a_node_that_is_mounted_is_the_hosts() {
        let docker = "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /dev rw - tmpfs tmpfs rw\n";
        let bound = "3 2 0:5 /nvidia0 /dev/nvidia0 rw - devtmpfs udev rw\n";
        for (mounts, node, is_host) in [
            (docker.to_owned(), "/dev/nvidia0", false),
            (format!("{docker}{bound}"), "/dev/nvidia0", true),
            (format!("{docker}{bound}"), "/dev/nvidia1", false),
            ("1 0 0:1 / / rw - overlay overlay rw\n".to_owned(), "/dev/kfd", false),
            (
                "1 0 0:1 / / rw - ext4 a rw\n2 1 0:5 / /dev rw - devtmpfs udev rw\n".to_owned(),
                "/dev/kfd",
                true,
            ),
            (format!("{docker}3 2 0:5 /dri /dev/dri rw - devtmpfs udev rw\n"), "/dev/dri/renderD128", true),
            (String::new(), "/dev/kfd", true),
        ] {
            assert_eq!(host(&mounts::parse(&mounts), node).is_some(), is_host, "{node}: {mounts}");
        }
    }
}
