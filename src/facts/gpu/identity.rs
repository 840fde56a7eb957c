//! One identity for each GPU: joins what PCI, DRM, NVIDIA's driver, AMD's topology, NVML and EGL know about the same
//! device.
//!
//! Devices are joined by PCI address, UUID and NVIDIA's minor number, nodes by the device that sysfs says is behind
//! them. What cannot be joined for sure is an entry of its own and says so: a wrong GPU is worse than none. Only where
//! the kernel's files say nothing at all, as in a copy of a machine with few files, the order has to do: that of the
//! addresses is usually that of the numbers.

use std::collections::BTreeSet;

use super::amd::{Compute, Topology};
use super::context::{Context, OF_WINDOWS};
use super::drm::{self, Drm};
use super::nvidia::{Listed, Shown};
use super::pci::{self, Ids, Pci};
use super::root::number;
use super::tegra::Board;
use super::{Driver, Gpu, Nodes, NvmlDevice, RenderedDevice, Vendor};

/// What is known about one GPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) pci: Option<String>,
    pub(super) ids: Option<Ids>,
    /// The name of the driver in the kernel.
    pub(super) driver: Option<String>,
    /// Whether sysfs itself says that the device has no driver; a copy of a machine may only lack the name.
    pub(super) unbound: bool,
    pub(super) drm: Option<drm::Device>,
    pub(super) compute: Option<Compute>,
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
    /// N of `/dev/nvidiaN`.
    pub(super) minor: Option<u32>,
    pub(super) nvml: Option<NvmlDevice>,
    /// The position in NVML's list.
    pub(super) nvml_index: Option<usize>,
    pub(super) rendered: Option<RenderedDevice>,
    pub(super) nodes: Nodes,
    /// Whether only a node is known, and no device.
    pub(super) only_node: bool,
    /// Whether it is the GPU of a board (Tegra).
    pub(super) board: bool,
    /// Whether it is a screen of such a board, on which only NVIDIA's own libraries draw.
    pub(super) screen: bool,
    /// Whether NVIDIA's driver or a node of its kind is what is known.
    nvidia: bool,
}

impl Found {
    pub(super) fn vendor(&self) -> Vendor {
        if self.nvidia {
            return Vendor::Nvidia;
        }
        if self.compute.is_some() {
            return Vendor::Amd;
        }
        if self.screen {
            return Vendor::Display;
        }
        let by_driver = match self.driver.as_deref() {
            Some("vgem" | "vkms" | "hyperv_drm" | "virtio_gpu" | OF_WINDOWS) => Vendor::Virtual,
            Some("simple-framebuffer" | "simpledrm" | "efidrm" | "vesadrm" | "ofdrm" | "vc4-drm") => {
                Vendor::Display
            }
            Some("amdgpu") => Vendor::Amd,
            Some("nouveau") => Vendor::Nvidia,
            _ => Vendor::Other,
        };
        self.ids.map_or(by_driver, Ids::kind)
    }

    /// Whether the device belongs to NVIDIA's own driver, as far as that is known.
    pub(super) fn has_nvidia_driver(&self) -> bool {
        self.vendor() == Vendor::Nvidia && self.driver.as_deref().is_none_or(|driver| driver == "nvidia")
    }

    /// Whether the driver's list, the nodes or the variable by which the GPU was asked for show instances of the GPU (MIG).
    pub(super) fn is_divided(&self, context: &Context<'_>) -> bool {
        let shown = context.shown;
        let by_driver = self.minor.is_some_and(|minor| shown.divided.contains(&minor));
        // A container that has instances of one GPU has nothing else of NVIDIA's.
        let is_only = self.nodes.nvidia.is_some() && shown.minors().count() == 1;
        by_driver || is_only && (shown.instance_nodes || !context.instances().is_empty())
    }

    /// The entry of the answer, without judgement.
    pub(super) fn gpu(&self, shown: &Shown, versions: impl Fn(&str) -> Option<String>) -> Gpu {
        let renderer = self.rendered.as_ref().filter(|device| !device.software);
        let renderer = renderer.and_then(|device| device.renderer.as_deref());
        // "AMD Radeon RX 6800 XT (radeonsi, navi21, LLVM 19.1.7)", "NVIDIA GeForce RTX 3090/PCIe/SSE2".
        let drawn = renderer
            .map(|name| name.split([' ', '/']).take_while(|word| !word.starts_with('(')).collect::<Vec<_>>());
        let drawn = drawn.map(|words| {
            words.into_iter().filter(|word| !["PCIe", "SSE2"].contains(word)).collect::<Vec<_>>().join(" ")
        });
        let card = self.ids.and_then(Ids::name).map(str::to_owned);
        let driver = self
            .driver
            .clone()
            .or_else(|| self.nvidia.then(|| shown.module.clone().map(|_| "nvidia".to_owned())).flatten());
        Gpu {
            vendor: self.vendor(),
            name: self.name.clone().or(drawn).or(card),
            pci: self.pci.clone(),
            uuid: self.uuid.clone(),
            driver: driver.map(|name| Driver {
                version: if name == "nvidia" { shown.module.clone() } else { versions(&name) },
                name,
            }),
            nodes: self.nodes.clone(),
            egl: self.rendered.as_ref().and_then(|device| device.index),
            cuda: self.rendered.as_ref().and_then(|device| device.cuda),
            encoder: None,
            encoder_reason: None,
            usable: false,
            reason: String::new(),
        }
    }
}

/// Everything that names devices.
pub(super) struct Sources<'a> {
    pub(super) pci: Vec<Pci>,
    pub(super) drm: &'a Drm,
    pub(super) nvidia: &'a Shown,
    pub(super) amd: &'a Topology,
    pub(super) nvml: &'a [NvmlDevice],
    pub(super) board: Option<Board>,
    /// Whether a GPU of Windows is here (WSL).
    pub(super) windows: bool,
}

/// All GPUs, in the order of their PCI addresses, those without one last.
pub(super) fn join(sources: Sources<'_>) -> Vec<Found> {
    let Sources { pci, drm, nvidia, amd, nvml, board, windows } = sources;
    let found = pci.into_iter().map(|one| Found {
        pci: Some(one.address),
        ids: one.ids,
        unbound: one.driver.is_none() && one.linked,
        driver: one.driver,
        ..Found::default()
    });
    let mut all: Vec<Found> = found.collect();
    for device in &drm.devices {
        add_drm(&mut all, device);
    }
    for gpu in &nvidia.gpus {
        add_listed(&mut all, gpu);
    }
    for gpu in &amd.gpus {
        let one = by_address(&mut all, &gpu.pci);
        one.compute = Some(gpu.clone());
    }
    for (index, device) in nvml.iter().enumerate() {
        add_nvml(&mut all, index, device);
    }
    add_nvidia_nodes(&mut all, nvidia);
    if let Some(board) = board {
        add_board(&mut all, board);
    }
    if windows && all.is_empty() {
        all.push(Found { driver: Some(OF_WINDOWS.to_owned()), ..Found::default() });
    }
    add_dri_nodes(&mut all, drm);
    all.sort_by_key(|one| {
        let address = one.pci.as_deref().map(pci::order);
        let card = one.nodes.card.clone().or_else(|| one.drm.as_ref()?.card.clone());
        (
            one.only_node,
            address.is_none(),
            address,
            one.minor,
            card.is_none(),
            card.map(|card| (card.len(), card)),
        )
    });
    all
}

/// The GPU with this address, made if there is none.
fn by_address<'a>(all: &'a mut Vec<Found>, address: &str) -> &'a mut Found {
    let at = all.iter().position(|one| one.pci.as_deref() == Some(address)).unwrap_or_else(|| {
        all.push(Found { pci: Some(address.to_owned()), ..Found::default() });
        all.len() - 1
    });
    &mut all[at]
}

fn add_drm(all: &mut Vec<Found>, device: &drm::Device) {
    let one = match &device.pci {
        Some(address) => by_address(all, address),
        // A link that leads nowhere is no device.
        None if device.name.is_empty() && device.driver.is_none() && device.ids.is_none() => return,
        None => {
            all.push(Found::default());
            let last = all.len() - 1;
            &mut all[last]
        }
    };
    one.driver = one.driver.take().or_else(|| device.driver.clone());
    one.ids = one.ids.or(device.ids);
    one.drm = Some(device.clone());
}

fn add_listed(all: &mut Vec<Found>, gpu: &Listed) {
    let one = by_address(all, &gpu.pci);
    one.nvidia = true;
    one.name.clone_from(&gpu.name);
    one.uuid.clone_from(&gpu.uuid);
    one.minor = gpu.minor;
}

fn add_nvml(all: &mut Vec<Found>, index: usize, device: &NvmlDevice) {
    let address = device.pci.as_deref().and_then(pci::normal);
    let same = |one: &Found| {
        let known = |own: Option<&String>, theirs: Option<&String>| own.is_some() && own == theirs;
        known(one.pci.as_ref(), address.as_ref())
            || known(one.uuid.as_ref(), device.uuid.as_ref())
            || one.minor.is_some() && one.minor == device.minor && address.is_none()
    };
    let at = all.iter().position(same).unwrap_or_else(|| {
        all.push(Found { pci: address.clone(), ..Found::default() });
        all.len() - 1
    });
    let one = &mut all[at];
    one.nvidia = true;
    one.name = device.name.clone().or_else(|| one.name.take());
    one.uuid = device.uuid.clone().or_else(|| one.uuid.take());
    one.minor = device.minor.or(one.minor);
    // A container that has one instance of a divided GPU has that, and not the whole GPU.
    if let [instance] = &device.mig[..] {
        one.uuid = Some(instance.clone());
    }
    one.nvml = Some(device.clone());
    one.nvml_index = Some(index);
}

fn add_nvidia_nodes(all: &mut Vec<Found>, shown: &Shown) {
    let mut left: Vec<u32> =
        shown.minors().filter(|minor| !all.iter().any(|one| one.minor == Some(*minor))).collect();
    // The only node without a GPU belongs to the only GPU without a number.
    let mut nameless = all.iter_mut().filter(|one| one.minor.is_none() && one.has_nvidia_driver());
    if let (&[minor], Some(one), None) = (&left[..], nameless.next(), nameless.next()) {
        one.minor = Some(minor);
        left.clear();
    }
    left.retain(|minor| !add_by_order(all, *minor));
    for minor in left {
        all.push(Found { minor: Some(minor), nvidia: true, only_node: true, ..Found::default() });
    }
    // In a damaged list two GPUs have one number. A node is one GPU's.
    let mut given = BTreeSet::new();
    for one in all {
        let minor = one.minor.filter(|minor| given.insert(*minor));
        let node = minor.map(|minor| format!("nvidia{minor}")).filter(|node| shown.has(node));
        one.nodes.nvidia = node.map(|node| format!("/dev/{node}"));
    }
}

/// Gives the node to the GPU at its place in the order of the addresses: so the driver numbers the GPUs that it finds when
/// it is loaded. Only where the driver's own list does not say more. Whether there is such a GPU.
fn add_by_order(all: &mut [Found], minor: u32) -> bool {
    let mut own: Vec<&mut Found> =
        all.iter_mut().filter(|one| one.pci.is_some() && one.has_nvidia_driver()).collect();
    own.sort_by_key(|one| one.pci.as_deref().map(pci::order));
    let place = own.into_iter().nth(minor as usize).filter(|one| one.minor.is_none());
    place.map(|one| one.minor = Some(minor)).is_some()
}

/// The GPU of a board. NVIDIA's driver for the board's screens can have `/dev/nvidia0`; it is a node of the same chip.
fn add_board(all: &mut Vec<Found>, board: Board) {
    for one in all.iter_mut().filter(|one| one.pci.is_none() && one.drm.is_some()) {
        one.screen = true;
    }
    let at = all.iter().position(|one| one.only_node && one.nodes.nvidia.is_some());
    let mut own = at.map(|at| all.remove(at)).unwrap_or_default();
    own.nodes.nvidia = own.nodes.nvidia.or(board.node);
    all.push(Found {
        board: true,
        nvidia: true,
        only_node: false,
        driver: Some(board.driver),
        name: board.name,
        ..own
    });
}

fn add_dri_nodes(all: &mut Vec<Found>, drm: &Drm) {
    for one in all.iter_mut() {
        let device = one.drm.as_ref();
        one.nodes.card = drm.node(device.and_then(|device| device.card.as_ref()));
        one.nodes.render = drm.node(device.and_then(|device| device.render.as_ref()));
    }
    // AMD's topology says it where sysfs does not.
    for at in 0..all.len() {
        let Some(render) = all[at].compute.as_ref().and_then(|compute| drm.node(compute.render.as_ref()))
        else {
            continue;
        };
        if !all.iter().any(|one| one.nodes.render.as_ref() == Some(&render)) {
            all[at].nodes.render.get_or_insert(render);
        }
    }
    let known = |path: &String| {
        all.iter().any(|one| one.nodes.card.as_ref() == Some(path) || one.nodes.render.as_ref() == Some(path))
    };
    let left: Vec<String> =
        drm.nodes.iter().map(|node| node.path.clone()).filter(|path| !known(path)).collect();
    let is_card = |path: &&String| number(path, "/dev/dri/card").is_some();
    let (mut cards, mut renders): (Vec<&String>, Vec<&String>) = left.iter().partition(is_card);
    if all.is_empty() && !left.is_empty() && cards.len() <= 1 && renders.len() <= 1 {
        all.push(Found { only_node: true, ..Found::default() });
    }
    // Where sysfs is hidden or says nothing about the nodes, as many nodes as GPUs belong to the GPUs in their order.
    let nothing_said = !drm.known
        || all.first().is_some_and(|one| one.only_node && one.nodes == Nodes::default())
        || left.iter().all(|path| drm.is_unplaced(path));
    let fits = |nodes: &[&String]| nodes.is_empty() || nodes.len() == all.len();
    if nothing_said && fits(&cards) && fits(&renders) {
        cards.sort_by_key(|path| (path.len(), *path));
        renders.sort_by_key(|path| (path.len(), *path));
        for (place, one) in all.iter_mut().enumerate() {
            one.nodes.card = one.nodes.card.take().or_else(|| cards.get(place).map(|path| (*path).clone()));
            one.nodes.render =
                one.nodes.render.take().or_else(|| renders.get(place).map(|path| (*path).clone()));
        }
        return;
    }
    for path in &left {
        let node = Some(path.clone());
        let nodes = if is_card(&path) {
            Nodes { card: node, ..Nodes::default() }
        } else {
            Nodes { render: node, ..Nodes::default() }
        };
        all.push(Found { nodes, only_node: true, ..Found::default() });
    }
}

/// Gives each GPU its device in EGL's list.
pub(super) fn add_rendered(all: &mut [Found], devices: &[RenderedDevice]) {
    let mut left: Vec<&RenderedDevice> = devices.iter().collect();
    let known = |own: Option<&String>, theirs: Option<&String>| own.is_some() && own == theirs;
    for one in all.iter_mut() {
        let same = |device: &&RenderedDevice| {
            known(one.nodes.card.as_ref(), device.card.as_ref())
                || known(one.nodes.render.as_ref(), device.render.as_ref())
        };
        if let Some(at) = left.iter().position(same) {
            one.rendered = Some(left.remove(at).clone());
        }
    }
    // NVIDIA's devices have no DRM nodes in a container without /dev/dri.
    let is_nvidia = |device: &&RenderedDevice| {
        device.cuda.is_some() || device.vendor.as_deref().is_some_and(|vendor| vendor.contains("NVIDIA"))
    };
    left.retain(is_nvidia);
    let open = |one: &Found| one.rendered.is_none() && one.nodes.nvidia.is_some();
    let count = all.iter().filter(|one| open(one)).count();
    if count == 1 && left.len() == 1 {
        if let Some(one) = all.iter_mut().find(|one| open(one)) {
            one.rendered = left.first().map(|device| (*device).clone());
        }
        return;
    }
    for device in left {
        let named = |one: &&mut Found| {
            let renderer = device.renderer.as_deref().and_then(|name| name.split('/').next());
            open(one) && one.name.is_some() && one.name.as_deref() == renderer
        };
        let mut same = all.iter_mut().filter(named);
        if let (Some(one), None) = (same.next(), same.next()) {
            one.rendered = Some(device.clone());
        }
    }
}
