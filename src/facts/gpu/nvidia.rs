//! What NVIDIA's driver shows in `/proc/driver/nvidia`, and its nodes in `/dev`.

use super::pci;
use super::root::{Root, number};

/// How many entries of a folder are looked at.
const MOST: usize = 512;

/// The driver's list of GPUs.
const GPUS: &str = "/proc/driver/nvidia/gpus";

/// The driver's list of what can be given to a container in parts.
const CAPABILITIES: &str = "/proc/driver/nvidia/capabilities";

/// A GPU in `/proc/driver/nvidia/gpus`. In a container, NVIDIA's toolkit shows only those that the container has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) pci: String,
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
    /// N of `/dev/nvidiaN`.
    pub(super) minor: Option<u32>,
}

/// What the driver shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The version of the kernel module.
    pub(super) module: Option<String>,
    pub(super) gpus: Vec<Listed>,
    /// The names of nodes in `/dev`.
    pub(super) nodes: Vec<String>,
    /// Names of nodes at which there is a folder: an engine makes a folder for `-v PATH:PATH` where the host has nothing.
    pub(super) folders: Vec<String>,
    /// A folder that has more entries than were looked at.
    pub(super) crowded: Option<&'static str>,
    /// Whether there are nodes of instances (MIG), below `/dev/nvidia-caps`, where the driver's list cannot be seen. They
    /// do not say of which GPU.
    pub(super) instance_nodes: bool,
    /// The minors of GPUs that are divided into instances (MIG).
    pub(super) divided: Vec<u32>,
}

impl Shown {
    pub(super) fn read(root: Root<'_>) -> Self {
        let (nodes, more_nodes) = root.names("/dev", MOST, is_node_name);
        let (nodes, folders) = nodes.into_iter().partition(|name| root.is_node(&format!("/dev/{name}")));
        let (gpus, more_gpus) = root.names(GPUS, MOST, |name| pci::normal(name).is_some());
        let divided = root.names(CAPABILITIES, MOST, |name| name.starts_with("gpu")).0;
        Self {
            module: module(root),
            gpus: gpus.iter().filter_map(|name| listed(root, name)).collect(),
            nodes,
            folders,
            crowded: more_nodes.then_some("/dev").or(more_gpus.then_some(GPUS)),
            instance_nodes: !root.is_folder(CAPABILITIES)
                && !root.names("/dev/nvidia-caps", 1, is_instance).0.is_empty(),
            divided: divided.iter().filter_map(|name| divided_minor(root, name)).collect(),
        }
    }

    pub(super) fn has(&self, node: &str) -> bool {
        self.nodes.iter().any(|name| name == node)
    }

    /// The minors of the GPUs' nodes.
    pub(super) fn minors(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().filter_map(|name| number(name, "nvidia"))
    }
}

/// The version of the kernel module.
pub(super) fn module(root: Root<'_>) -> Option<String> {
    let files = ["/proc/driver/nvidia/version", "/sys/module/nvidia/version"];
    files.iter().find_map(|file| version(&root.text(file)))
}

/// `nvidia0`, `nvidiactl`, `nvidia-uvm`. The folder `nvidia-caps` is none.
fn is_node_name(name: &str) -> bool {
    let rest = name.strip_prefix("nvidia");
    rest.is_some_and(|rest| rest == "ctl" || rest.starts_with('-') || number(name, "nvidia").is_some())
}

/// Whether a name below `/dev/nvidia-caps` is that of an instance. The first two are for settings and for watching.
fn is_instance(name: &str) -> bool {
    number(name, "nvidia-cap").is_some_and(|number| number > 2)
}

/// The first dotted number of the first line: the banners of the open module and of the other one have it in different
/// columns, and the second line has the version of a compiler.
fn version(banner: &str) -> Option<String> {
    let is_version = |word: &&str| {
        let mut parts = word.split('.');
        word.contains('.')
            && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    banner.trim_start().lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

fn listed(root: Root<'_>, folder: &str) -> Option<Listed> {
    let text = root.text(&format!("{GPUS}/{folder}/information"));
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(str::trim).filter(|value| !value.is_empty() && *value != "Unknown").map(str::to_owned)
    };
    Some(Listed {
        pci: pci::normal(folder)?,
        name: value("Model"),
        // Before the first use of the GPU there are question marks.
        uuid: value("GPU UUID").filter(|uuid| !uuid.contains('?')),
        minor: value("Device Minor").and_then(|minor| minor.parse().ok()),
    })
}

/// The minor of `gpuN` in the capabilities, if the GPU has instances.
fn divided_minor(root: Root<'_>, name: &str) -> Option<u32> {
    let minor = number(name, "gpu")?;
    let folder = format!("{CAPABILITIES}/{name}/mig");
    let instances = root.names(&folder, 1, |name| name.starts_with("gi")).0;
    (!instances.is_empty()).then_some(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_dotted_number_of_the_banner() {
        for (banner, expected) in [
            (
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024",
                Some("550.54.14"),
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  570.86.15  Release Build  (dvs-builder@U22-I3.1)",
                Some("570.86.15"),
            ),
            (
                "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  555.58  Release Build",
                Some("555.58"),
            ),
            ("550.163.01\n", Some("550.163.01")),
            ("NVRM version: none 1. .2 a.b", None),
            ("NVRM version: NVIDIA UNIX x86_64 Kernel Module\nGCC version:  gcc version 12.3.0\n", None),
            ("", None),
        ] {
            assert_eq!(version(banner).as_deref(), expected, "{banner}");
        }
    }
}
